"""Samples of a latency: exact up to a million of them, and beyond that a histogram with a stated error."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from copy import deepcopy
from fractions import Fraction
from math import isqrt
from operator import mul
from typing import TYPE_CHECKING, Any

from cosim.study.statistics.blocks import Blocks
from cosim.study.statistics.interval import BLOCKS, Interval, interval

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[np.int64]]

EXACT = 1_000_000
"""As many samples are kept; with one more, all are counted in a histogram."""

FINE = 9
"""log2 of the buckets into which the histogram cuts each power of two; up to two to the power of this plus 1, each
picosecond has its own."""

RELATIVE_ERROR = 2.0 ** -(FINE + 1)
"""How far a quantile of the histogram may be from the sample of its rank: less than 0.1 %."""

TOLD = 1 << 16
"""New samples are taken into the histogram so many at a time."""


class Samples:
    """Integers that are not negative, in picoseconds: `add` each, then ask for `quantiles`, `largest` and how many.

    They take 8 bytes each until there are more than `exact`; from then on each bucket takes 8. Quantiles are
    nearest-rank: a sample that was seen, or, once `relative_error` is not 0, the middle of the bucket that holds it.

    Who adds a great many appends to `new`, and calls `fold` when there are more than `room`.
    """

    __slots__ = ("_blocks", "_counts", "_exact", "_folded", "_most", "_squares", "_sum", "new", "room")

    def __init__(self, exact: int = EXACT) -> None:
        self._exact = self.room = exact
        self.new = array("q")
        self._counts: Array | None = None
        self._folded = 0
        self._most = self._sum = self._squares = 0
        self._blocks = Blocks()

    def add(self, sample: int) -> None:
        """Take in a sample."""
        new = self.new
        new.append(sample)
        if len(new) > self.room:
            self.fold()

    def __len__(self) -> int:
        return self._folded + len(self.new)

    @property
    def relative_error(self) -> float:
        """0 as long as every sample is kept."""
        return RELATIVE_ERROR if len(self) > self._exact else 0.0

    @property
    def largest(self) -> int:
        """The largest sample, which is exact; 0 if there is none."""
        return max(self._most, *self.new) if self.new else self._most

    def quantiles(self, wanted: Mapping[str, Fraction]) -> dict[str, int]:
        """The quantiles of all samples, by name; there must be a sample."""
        import numpy as np

        count = len(self)
        if count <= self._exact:
            ordered = np.sort(np.frombuffer(self.new, dtype=np.int64))
            return {name: int(ordered[rank(q, count)]) for name, q in wanted.items()}
        if self.new:
            self.fold()
        assert self._counts is not None
        below = np.cumsum(self._counts)
        buckets = [int(np.searchsorted(below, rank(q, count), side="right")) for q in wanted.values()]
        return {name: min(middle(bucket), self._most) for name, bucket in zip(wanted, buckets, strict=True)}

    @property
    def deviation(self) -> int:
        """The standard deviation, to the nearest integer below; 0 if there are not two samples."""
        count, total = len(self), self._sum + sum(self.new)
        squares = self._squares + sum(map(mul, self.new, self.new))
        return isqrt((squares * count - total * total) // (count * (count - 1))) if count > 1 else 0

    def distribution(self) -> dict[int, int]:
        """How many samples there are of each bucket, by the smallest that belongs to it; only where there are any."""
        import numpy as np

        counts = np.zeros(0, dtype=np.int64) if self._counts is None else self._counts
        if self.new:
            counts = _added(counts, np.bincount(bucket_of(np.frombuffer(self.new, dtype=np.int64))))
        return {least(bucket): int(counts[bucket]) for bucket in np.flatnonzero(counts).tolist()}

    def interval(self) -> Interval | str:
        """The 95 % confidence interval of the mean of what the samples are of, or in words why there is none."""
        import numpy as np

        count = len(self)
        if count < BLOCKS:
            return f"too short: {count} samples, and {BLOCKS} are needed"
        new = np.frombuffer(self.new, dtype=np.int64)
        if not self._folded:
            size = count // BLOCKS
            sums = np.add.reduce(new[count - size * BLOCKS :].reshape(BLOCKS, size), axis=1)
            return interval([one / size for one in sums.tolist()])
        blocks = deepcopy(self._blocks)
        blocks.take(new)
        return interval(blocks.means(BLOCKS))

    def all(self) -> array[int]:
        """Every sample in the order in which they came, if no more than `exact` were added."""
        return array("q", self.new)

    def fold(self) -> None:
        """Take the new samples into the histogram."""
        import numpy as np

        self.room = TOLD
        self._most = self.largest
        self._folded += len(self.new)
        self._sum += sum(self.new)
        self._squares += sum(map(mul, self.new, self.new))
        new = np.array(self.new, dtype=np.int64)
        self._blocks.take(new)
        counts = np.bincount(bucket_of(new))
        self._counts = counts if self._counts is None else _added(self._counts, counts)
        del self.new[:]


def _added(some: Array, others: Array) -> Array:
    longer, shorter = sorted((some, others), key=len, reverse=True)
    longer[: len(shorter)] += shorter
    return longer


def rank(q: Fraction, count: int) -> int:
    """The place of a quantile among `count` samples in order, from 0 on."""
    return -(-q.numerator * count // q.denominator) - 1


def bucket_of(samples: Array) -> Array:
    """The bucket of each sample: its leading bits and how far they are shifted, so that buckets follow one another."""
    import numpy as np

    powers = 1 << np.arange(FINE + 1, 63, dtype=np.int64)
    shift = np.searchsorted(powers, samples, side="right")
    return (shift << FINE) + (samples >> shift)


def least(bucket: int) -> int:
    """The smallest sample of a bucket."""
    shift = max(0, (bucket >> FINE) - 1)
    return bucket - (shift << FINE) << shift


def middle(bucket: int) -> int:
    """The sample in the middle of a bucket."""
    shift = max(0, (bucket >> FINE) - 1)
    return least(bucket) + ((1 << shift) >> 1)


def sums_of(groups: Sequence[Sequence[int]]) -> list[int]:
    """The sum of each part, by its number, over all groups."""
    return [sum(of_part) for of_part in zip(*groups, strict=True)]
