"""The confidence interval of a mean by batch means (Schmeiser 1982), whose samples may depend on one another.

What follows one another in a queue is alike for a long time, so that the mean of a run is known less well than its
number of samples promises. The run is cut into 320 blocks:

1. The correlation of neighbouring blocks says how many independent samples the run is worth, as if it were
   autoregressive. Fewer than 24, and it is too short.
2. MSER (White 1997) says which blocks at the beginning are best left out. If they differ from the rest, and would move
   the mean by more than a quarter of the interval, the warm-up was not over.
3. If neighbours are hardly alike, 16 batches of blocks make the interval, else 10 or 20, whichever say less. What
   correlation is left between batches widens it, as if autoregressive, and for their skewness t is transformed
   (Willink 2005): the mean of a queue is more often far below than far above what a short run has measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import cbrt, fsum, sqrt
from typing import NamedTuple

from cosim.study.statistics.student import quantile

BLOCKS = 320
"""What a run is cut into."""
WORTH = 24
"""As many independent samples a run must be worth."""
ALIKE = 0.5
"""A correlation of neighbouring blocks from which on they are much alike."""
FEW, MANY, SOME = 10, 20, 16
"""How many batches are made of the blocks: few and many if they are much alike, else some."""
SURELY = 0.9999
"""How sure it has to be, on either side, that the beginning differs from the rest."""
LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Interval:
    """Where the mean is, in 95 of 100 runs."""

    low: float
    high: float


class _Batches(NamedTuple):
    """The mean of some batches, the variance of that mean, and the skewness of the batches."""

    mean: float
    variance: float
    skewness: float


def interval(blocks: Sequence[float]) -> Interval | str:
    """The interval of the mean of a run from the means of its 320 blocks, in order; else in words why there is none."""
    if cold := _not_warm(blocks):
        return cold
    alike = correlation(blocks)
    worth = BLOCKS * (1 - alike) / (1 + alike)
    if worth < WORTH:
        return f"too short: worth {worth:.0f} independent samples, and {WORTH} are needed"
    return _interval(blocks, alike)


def _interval(blocks: Sequence[float], alike: float) -> Interval:
    if alike <= ALIKE:
        used, freedom = of_batches(blocks, SOME), SOME - 1
        variance = used.variance
    else:
        used, freedom = of_batches(blocks, FEW), FEW - 1
        variance = max(used.variance, of_batches(blocks, MANY).variance)
    t = quantile((1 + LEVEL) / 2, freedom)
    lean = used.skewness / (6 * sqrt(freedom + 1))
    half = sqrt(variance)
    return Interval(used.mean - _leaning(t, lean) * half, used.mean - _leaning(-t, lean) * half)


def _not_warm(blocks: Sequence[float]) -> str:
    """In words, that the beginning was not like the rest, if that matters; else nothing."""
    cut = mser(blocks)
    if not cut:
        return ""
    first, rest = fsum(blocks[:cut]) / cut, of_batches(blocks[cut:], SOME)
    apart = abs(first - rest.mean)
    moved = apart * cut / len(blocks)
    if apart <= quantile(SURELY, SOME - 1) * sqrt(rest.variance * len(blocks) / cut):
        return ""
    if moved <= quantile((1 + LEVEL) / 2, SOME - 1) * sqrt(rest.variance) / 4:
        return ""
    return f"not warm: the first {100 * cut / len(blocks):.0f} % differ from the rest; raise run.warmup"


def mser(blocks: Sequence[float]) -> int:
    """How many blocks at the beginning, at most half, are best left out: the error of the mean is least then (MSER)."""
    best, least, total, squares = 0, float("inf"), 0.0, 0.0
    middle = fsum(blocks) / len(blocks)
    for cut in range(len(blocks) - 1, -1, -1):
        off = blocks[cut] - middle
        total += off
        squares += off * off
        left = len(blocks) - cut
        if 2 * cut <= len(blocks):
            error = (squares - total * total / left) / (left * left)
            if error <= least:
                best, least = cut, error
    return best


def of_batches(blocks: Sequence[float], batches: int) -> _Batches:
    """What so many batches of blocks say, the oldest blocks left out of which there is no whole batch."""
    size = len(blocks) // batches
    begin = len(blocks) - size * batches
    means = [fsum(blocks[at : at + size]) / size for at in range(begin, len(blocks), size)]
    mean = fsum(means) / batches
    second = fsum((one - mean) ** 2 for one in means) / batches
    third = fsum((one - mean) ** 3 for one in means) / batches
    if second <= 0:
        return _Batches(mean, 0.0, 0.0)
    alike = min(max(0.0, correlation(means)), 0.9)
    variance = second / (batches - 1) * (1 + alike) / (1 - alike)
    return _Batches(mean, variance, third / second**1.5 * sqrt(batches * (batches - 1)) / (batches - 2))


def correlation(values: Sequence[float]) -> float:
    """That of neighbours, less what few values make it too small by (Kendall 1954); from -0.5 to 0.99."""
    mean = fsum(values) / len(values)
    off = [value - mean for value in values]
    squares = fsum(one * one for one in off)
    if squares <= 0:
        return 0.0
    found = fsum(one * following for one, following in pairwise(off)) / squares
    return min(max(-0.5, found + (1 + 4 * found) / len(values)), 0.99)


def _leaning(t: float, lean: float) -> float:
    """Willink's transformation of t for batches of this skewness."""
    if abs(lean) < 1e-9:
        return t
    inner = 1 + 6 * lean * (t - lean)
    return (cbrt(inner) - 1) / (2 * lean)
