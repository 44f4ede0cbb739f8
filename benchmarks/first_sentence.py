"""How often the first sentence of a report is right, over random systems.

`python benchmarks/first_sentence.py [FIRST [LAST [KIND]]]` takes the seeds from FIRST to below LAST of one KIND of
systems: `system` (if not said), `spread` over two memories and IOMMUs, or `varied` in all that parts can be set to.
Each system is run as it is and with what its first sentence proposes, nothing else changed. Printed is by how much the
throughput of the device, or the mean latency of the requests, that the sentence speaks of became better, and at the end
how many were wrong, with the interval of Wilson that holds the rate of all such systems with a confidence of 95 %.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.study.run.systems import MARGIN, improvement, spread, system, varied

KINDS = {kind.__name__: kind for kind in (system, spread, varied)}

CONFIDENCE = 1.96
"""Standard deviations that hold 95 % of a normal distribution."""


def interval(wrong: int, judged: int) -> tuple[float, float]:
    """The interval of Wilson for a rate of which `wrong` of `judged` were seen."""
    rate, square = wrong / judged, CONFIDENCE**2 / judged
    middle = rate + square / 2
    half = CONFIDENCE * math.sqrt(rate * (1 - rate) / judged + square / (4 * judged))
    return max(0.0, (middle - half) / (1 + square)), min(1.0, (middle + half) / (1 + square))


def main(first: int, last: int, kind: str) -> None:
    wrong = judged = 0
    for seed in range(first, last):
        said, better = improvement(seed, drawn=KINDS[kind])
        if better is None:
            continue
        judged += 1
        wrong += better <= MARGIN
        print(f"{seed:4} {better:8.1%} {'' if better > MARGIN else 'wrong':5} {said}", flush=True)
    low, high = interval(wrong, judged) if judged else (0.0, 1.0)
    print(f"{judged} systems, {wrong} not better by {MARGIN:.0%}: between {low:.1%} and {high:.1%} of all such systems")


if __name__ == "__main__":
    words = sys.argv[1:]
    begin = int(words[0]) if words else 0
    main(begin, int(words[1]) if len(words) > 1 else begin + 100, words[2] if len(words) > 2 else "system")
