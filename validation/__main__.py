"""Makes every run of the targets that is missing, and writes docs/validation.md: `python -m validation [TARGET...]`.

Exit code 1 if a target that was run is farther off than is wanted, 2 for a target that is none, 130 after Ctrl-C:
what has ended is kept, and the same command goes on.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from cosim.study.fit.evaluation import InterruptedFit
from cosim.study.run.model import model_version
from cosim.study.run.stop import Stop
from cosim.study.sweep.sweep import SIGNALS
from cosim.units.nearest import nearest
from validation.kept import ROOT, Kept, read, write
from validation.page import PAGE, page, percent
from validation.runs import Runs
from validation.target import Outcome, Target
from validation.targets import TARGETS

RESULTS = ROOT / ".validation" / "results.sqlite"


def main(arguments: list[str]) -> int:
    """Run the targets that are named, or all."""
    known = {target.name: target for target in TARGETS}
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m validation")
    parser.add_argument("targets", nargs="*", help=f"{', '.join(known)}; all, if none is named")
    parser.add_argument("-j", "--jobs", type=int, help="processes; one for each CPU")
    parser.add_argument("-o", "--output", type=Path, default=RESULTS, help="the results file")
    options = parser.parse_args(arguments)
    for name in options.targets:
        if name not in known:
            parser.error(f"{name} is no target; {nearest(name, known)}")
    stop = Stop()
    good = True
    with stop.listening(SIGNALS):
        for target in [known[name] for name in options.targets] or TARGETS:
            try:
                good &= one(target, Runs(options.output, options.jobs, stop))
            except InterruptedFit:
                print(f"interrupted; what has ended is in {options.output}, and the same command goes on")
                return 130
    return 0 if good else 1


def one(target: Target, runs: Runs) -> bool:
    """Run a target and keep what it has come to; whether that is as near as is wanted."""
    began = sum(os.times()[:4])
    outcome = target.run(runs)
    cpu_s = sum(os.times()[:4]) - began  # this process and those that it has waited for
    kept = read()
    if runs.made < runs.counted and target.name in kept:  # what is taken from the file was paid for before
        cpu_s = max(cpu_s, kept[target.name].cpu_s)
    kept[target.name] = Kept(outcome, model_version(), runs.counted, cpu_s)
    write(kept)
    (ROOT / "docs" / PAGE).write_text(page(), encoding="utf-8")
    worst = outcome.worst
    said = f"worst predicted {percent(worst.error)} ({worst.series}, {worst.at})" if worst else "nothing predicted"
    print(f"{target.name}: {said}; {runs.made} of {runs.counted} runs made now", flush=True)
    return within(target, outcome)


def within(target: Target, outcome: Outcome) -> bool:
    """Whether all predictions are as near as is wanted."""
    wanted = 0.0 if target.kind == "exact" else target.within
    return wanted is None or all(abs(row.error) <= wanted for row in outcome.predicted)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
