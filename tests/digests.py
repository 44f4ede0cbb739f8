"""Run every shipped topology under each Python that is named, in an environment of its own, and compare the digests.

The places in the source of all actions of a few explored runs are compared as well. `rack` is left out: a run of it
takes minutes.

Usage: python tests/digests.py python3.11 python3.12 python3.13
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
CODE = """
import hashlib, json, cosim
from cosim.system.load import shipped
found = {}
for name in shipped():
    for seed in (1, 2) if name != "rack" else ():
        for executor in ("agenda", "plain"):
            result = cosim.run(name, seed=seed, set={"run.executor": executor})
            found[f"{name} seed {seed} {executor}"] = result.digest
found["zero_day_rtl, a fill held"] = cosim.run("zero_day_rtl", schedule=["nic0.fill#140:2"]).digest
found["concurrent_attach v2"] = cosim.run("concurrent_attach", driver="v2").digest

from cosim.sim.actions import Actions
begin, taken = Actions.__init__, []

def watched(self, *arguments):
    begin(self, *arguments)
    self.watchers.append(taken.append)

Actions.__init__ = watched
for name in ("concurrent_attach", "two_iommus", "rcu"):
    taken.clear()
    cosim.run(name, schedule=["nobody#0:0"])
    assert any(each.place.startswith("policies.") for each in taken)
    places = repr([(each.name, each.size, each.place) for each in taken])
    found[f"{name}, the place of each of {len(taken)} actions"] = hashlib.sha256(places.encode()).hexdigest()[:16]
print(json.dumps(found))
"""


def digests(python: str, folder: Path) -> dict[str, str] | None:
    """The digest of each point under `python`; None if that one cannot be had."""
    try:
        version = subprocess.run([python, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        print(f"{python}: not here")
        return None
    environment = folder / version.replace(" ", "-")
    subprocess.run([python, "-m", "venv", str(environment)], check=True)
    own = environment / "bin" / "python"
    subprocess.run([own, "-m", "pip", "install", "--quiet", str(ROOT)], check=True)
    output = subprocess.run([own, "-c", CODE], capture_output=True, text=True, check=True, cwd=folder)
    found: dict[str, str] = json.loads(output.stdout)
    first, digest = next(iter(found.items()))
    print(f"{version}: {len(found)} runs, the first, {first}: {digest}")
    return found


def main(pythons: list[str]) -> int:
    """Exit code 1 if two Pythons differ, 2 if there were not two to compare."""
    with tempfile.TemporaryDirectory() as folder:
        found = [each for python in pythons if (each := digests(python, Path(folder))) is not None]
    if len(found) < 2:
        print("there were no two Pythons to compare")
        return 2
    different = [point for point in found[0] if len({each[point] for each in found}) > 1]
    for point in different:
        print(f"{point}: {', '.join(each[point] for each in found)}")
    print(f"{len(found)} Pythons: {'DIFFERENT DIGESTS' if different else 'the same digests'}")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
