"""Which effects of a run may be held: those behind which, within a hold, a conflicting one took hold."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Hashable, Sequence

from cosim.sim.actions import Taken
from cosim.sim.footprints import Every, conflict


def in_conflict(taken: Sequence[Taken], hold_ps: int) -> list[Taken]:
    """Of the effects of a run, in order, those that ask and conflict with a later one at most `hold_ps` behind them."""
    index = _Index(taken)
    return [each for at, each in enumerate(taken) if each.asks and index.conflicts(at, each.time + hold_ps)]


class _Index:
    """The places in a run of each key that a footprint names, so that few pairs have to be compared."""

    def __init__(self, taken: Sequence[Taken]) -> None:
        self._taken = taken
        self._times = [each.time for each in taken]
        self._places: defaultdict[Hashable, list[int]] = defaultdict(list)
        self._wide: list[int] = []
        """The effects that touch several words or all of something: they are compared with everything."""
        for at, each in enumerate(taken):
            for key in each.footprint:
                if isinstance(key, range | Every):
                    self._wide.append(at)
                else:
                    self._places[key].append(at)

    def conflicts(self, at: int, until: int) -> bool:
        """Whether the effect at `at` conflicts with one behind it, up to a time."""
        one, end = self._taken[at], bisect_right(self._times, until)
        if any(isinstance(key, range | Every) for key in one.footprint):
            return any(conflict(one, self._taken[other]) for other in range(at + 1, end))
        return any(
            conflict(one, self._taken[other])
            for places in (*(self._places[key] for key in one.footprint), self._wide)
            for other in places[bisect_right(places, at) : bisect_right(places, end - 1)]
        )
