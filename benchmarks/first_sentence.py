"""How often the first sentence of a report is right, over random systems: `python benchmarks/first_sentence.py [N]`.

Each system is run as it is and with what its first sentence proposes. Printed is by how much the throughput of the
device, or the latency of the requests, that the sentence speaks of became better.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.study.run.systems import improvement
from tests.study.run.test_first_sentence import MARGIN


def main(number: int) -> None:
    wrong = judged = 0
    for seed in range(number):
        said, better = improvement(seed)
        if better is None:
            continue
        judged += 1
        wrong += better <= MARGIN
        print(f"{seed:4} {better:8.1%} {'' if better > MARGIN else 'wrong':5} {said}", flush=True)
    print(f"{judged} systems, {wrong} of which did not become better by {MARGIN:.0%}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
