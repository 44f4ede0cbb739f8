"""Latencies of one kind of request or call: their distribution, and the parts that they are made of."""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction

SLOWEST = 1000
"""How many of the slowest samples keep their own parts."""

QUANTILES: Mapping[str, Fraction] = {
    "p50_ps": Fraction(50, 100),
    "p95_ps": Fraction(95, 100),
    "p99_ps": Fraction(99, 100),
    "p999_ps": Fraction(999, 1000),
}


@dataclass(frozen=True, slots=True)
class Latency:
    """A distribution of latencies in picoseconds, of `count` samples.

    Quantiles are nearest-rank: values that were really seen. `parts` are the parts of the mean and add up to
    `mean_ps`; `tail` are those of the samples from `p99_ps` on (of the slowest thousand, if there are more), and
    add up to their mean.
    """

    count: int
    mean_ps: int
    p50_ps: int
    p95_ps: int
    p99_ps: int
    p999_ps: int
    max_ps: int
    parts: dict[str, int]
    tail: dict[str, int]

    def as_json(self) -> dict[str, object]:
        """The object that `run --json` prints for it."""
        return {name: getattr(self, name) for name in self.__slots__}


def share_out(parts: Mapping[str, int], count: int) -> tuple[int, dict[str, int]]:
    """The mean of `count` samples and its parts, from the parts' sums: integers, so that they add up exactly.

    The mean is rounded to the nearest picosecond; each part is rounded down, and the remainder goes, a picosecond
    each, to the parts that lost most (largest remainder).
    """
    total = sum(parts.values())
    mean = (2 * total + count) // (2 * count)
    shares = {part: ps // count for part, ps in parts.items()}
    missing = mean - sum(shares.values())
    by_loss = sorted(parts, key=lambda part: (-(parts[part] % count), part))
    for part in by_loss[:missing]:
        shares[part] += 1
    return mean, {part: ps for part, ps in shares.items() if ps}


@dataclass(slots=True)
class Latencies:
    """The latencies seen so far of one kind of request or call."""

    totals: array[int] = field(default_factory=lambda: array("q"))
    sums: dict[str, int] = field(default_factory=dict)
    _slowest: list[tuple[int, int, Mapping[str, int]]] = field(default_factory=list)

    def add(self, total: int, parts: Mapping[str, int]) -> None:
        """Add a sample; ValueError if its parts do not add up to it, for then the model lost time somewhere."""
        if sum(parts.values()) != total:
            raise ValueError(f"a latency of {total} ps has parts of {sum(parts.values())} ps: {dict(parts)}")
        sums = self.sums
        for part, ps in parts.items():
            sums[part] = sums.get(part, 0) + ps
        sample = (total, len(self.totals), parts)
        self.totals.append(total)
        if len(self._slowest) < SLOWEST:
            heapq.heappush(self._slowest, sample)
        elif total > self._slowest[0][0]:
            heapq.heapreplace(self._slowest, sample)

    @property
    def longest(self) -> int:
        """The largest sample, in picoseconds; 0 if there is none."""
        return max(self.totals, default=0)

    def summary(self) -> Latency:
        """The distribution of all samples; there must be one."""
        ordered = sorted(self.totals)
        count = len(ordered)
        quantiles = {name: ordered[_rank(q, count)] for name, q in QUANTILES.items()}
        mean, parts = share_out(self.sums, count)
        tail = [parts for total, _, parts in self._slowest if total >= quantiles["p99_ps"]]
        return Latency(
            count=count,
            mean_ps=mean,
            max_ps=ordered[-1],
            parts=parts,
            tail=share_out(_sum(tail), len(tail))[1],
            **quantiles,
        )


def _rank(q: Fraction, count: int) -> int:
    return -(-q.numerator * count // q.denominator) - 1


def _sum(samples: Iterable[Mapping[str, int]]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for parts in samples:
        for part, ps in parts.items():
            sums[part] = sums.get(part, 0) + ps
    return sums
