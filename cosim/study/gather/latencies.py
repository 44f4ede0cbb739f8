"""The latencies of one kind of request or call, as they come: their distribution, and the sums of their parts."""

from __future__ import annotations

from array import array
from collections.abc import Mapping

from cosim.sim.spent import Parts, spent_in
from cosim.study.run.latency import Latency, share_out
from cosim.study.run.samples import EXACT, Samples, sums_of
from cosim.study.statistics.interval import Interval
from cosim.system.number_names import QUANTILES

GROUPS = 1000
"""As many latencies that differ have their parts summed apart; of more, the nearest ones together."""

COARSEST = 6
"""log2 of the groups into which each power of two is cut at least: each is 1.6 % wide or less."""

APART = 62
"""log2 of the groups of a power of two at first: every latency has its own."""


def group_of(total: int, fine: int) -> int:
    """Which group of like samples a sample belongs to, where a power of two has two to the `fine` of them."""
    shift = total.bit_length() - fine - 1
    return total if shift <= 0 else (shift << fine) + (total >> shift)


def _least(group: int, fine: int) -> int:
    """The smallest sample of a group."""
    shift = max(0, (group >> fine) - 1)
    return group - (shift << fine) << shift


class Last:
    """The parts that the last sample of a latency had, and how often they have come again since."""

    __slots__ = ("again", "spent")

    def __init__(self, spent: list[int]) -> None:
        self.spent = spent
        self.again = 0


class Latencies:
    """The latencies seen so far of one kind of request or call.

    Parts are summed for groups of samples of the same latency, or about the same if there are many, so that those of
    the tail can be told whichever samples turn out to be its own, and none has to be kept. Most samples are like the
    last one of the same latency in each part: these are counted, and summed when they are asked for.
    """

    __slots__ = ("_counts", "_fine", "_last", "_new", "_room", "_samples", "_sums")

    def __init__(self, exact: int = EXACT) -> None:
        self._samples = Samples(exact)
        self._new = self._samples.new
        self._room = self._samples.room
        self._fine = APART
        self._sums: dict[int, list[int]] = {}
        self._counts: dict[int, int] = {}
        self._last: dict[int, Last] = {}

    def add(self, total: int, parts: Mapping[str, int]) -> None:
        """Add a sample, whose parts do not change any more.

        ValueError if its parts do not add up to it, for then the model lost time somewhere.
        """
        spent = parts.spent if isinstance(parts, Parts) else spent_in(parts)
        last = self._last.get(total)
        if last is not None and last.spent == spent:
            last.again += 1
        else:
            self._add_another(total, spent, last)
        new = self._new
        new.append(total)
        if len(new) > self._room:
            self._samples.fold()
            self._room = self._samples.room

    def _add_another(self, total: int, spent: list[int], last: Last | None) -> None:
        """The same of one that is not like the last of this latency."""
        if sum(spent) != total:
            raise ValueError(f"a latency of {total} ps has parts of {sum(spent)} ps: {Parts(spent)}")
        if last is not None and last.again:
            self._sum(total, last.spent, last.again)
        elif last is None and len(self._last) == GROUPS:
            self._sum_all()
        self._last[total] = Last(spent)
        self._sum(total, spent, 1)

    def _sum(self, total: int, spent: list[int], count: int) -> None:
        """Add so many samples with these parts to the group that they belong to."""
        group = total if self._fine == APART else group_of(total, self._fine)
        sums = self._sums.get(group)
        if sums is None:
            self._sums[group] = [ps * count for ps in spent]
            self._counts[group] = count
            if len(self._sums) > GROUPS:
                self._coarsen()
            return
        for part, ps in enumerate(spent):
            if ps:
                sums[part] += ps * count
        self._counts[group] += count

    def _sum_all(self) -> None:
        """Add all samples that were only counted so far."""
        for total, last in self._last.items():
            if last.again:
                self._sum(total, last.spent, last.again)
        self._last.clear()

    def _coarsen(self) -> None:
        """Put the nearest groups together, until there are few again."""
        while len(self._sums) > GROUPS and self._fine > COARSEST:
            before, fine = self._fine, 12 if self._fine == APART else self._fine - 1
            self._fine = fine
            groups: dict[int, list[int]] = {}
            for group in self._sums:
                groups.setdefault(group_of(_least(group, before), fine), []).append(group)
            self._counts = {new: sum(self._counts[old] for old in olds) for new, olds in groups.items()}
            self._sums = {new: sums_of([self._sums[old] for old in olds]) for new, olds in groups.items()}

    @property
    def longest(self) -> int:
        """The largest sample, in picoseconds; 0 if there is none."""
        return self._samples.largest

    def summary(self) -> Latency:
        """The distribution of all samples; there must be one."""
        self._sum_all()
        count = len(self._samples)
        error = self._samples.relative_error
        quantiles = self._samples.quantiles(QUANTILES)
        mean, parts = share_out(Parts(sums_of(list(self._sums.values()))), count)
        first = group_of(quantiles["p99_ps"], self._fine)
        slow = [group for group in self._sums if group >= first]
        slow = slow or [max(self._sums)]
        tail = sums_of([self._sums[group] for group in slow])
        known = self._samples.interval()
        return Latency(
            count=count,
            mean_ps=mean,
            max_ps=self.longest,
            parts=parts,
            tail=share_out(Parts(tail), sum(self._counts[group] for group in slow))[1],
            relative_error=error,
            sd_ps=self._samples.deviation,
            ci95_ps=(round(known.low), round(known.high)) if isinstance(known, Interval) else None,
            no_ci95="" if isinstance(known, Interval) else known,
            distribution=self._samples.distribution(),
            **quantiles,
        )

    def samples(self) -> array[int]:
        """Every sample in the order in which they came; what has made this must have asked for all (`exact`)."""
        return self._samples.all()
