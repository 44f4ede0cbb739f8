"""What `cosim` gives to a program: a run that leaves a trace, a result that can be kept, and an answer to a slip."""

import json
import pickle
import tempfile
from collections import Counter
from pathlib import Path

import cosim

with tempfile.TemporaryDirectory() as folder:
    trace = Path(folder) / "trace.jsonl"
    result: cosim.Result = cosim.run("quickstart", until="150 us", seed=3, trace=trace)
    events = Counter(json.loads(line)["event"] for line in trace.read_text().splitlines())

print("outcome", result.outcome, "of", result.topology, "by", result.driver)
print("in the trace:", ", ".join(f"{count} {name}" for name, count in events.most_common(3)))

assert (result.version, result.model) == (cosim.__version__, cosim.model_version)  # which cosim, and which model
assert pickle.loads(pickle.dumps(result)) == result  # so that it can come from a process pool, or from a file
assert json.loads(json.dumps(result.as_json()))["digest"] == result.digest  # what `run --json` prints

for slip in ({"set": {"iommu0.walkers": 8}}, {"driver": "context-first"}):
    try:
        cosim.run("quickstart", **slip)
    except cosim.TopologyError as error:
        print(error)
