"""How long what a lazy domain has unmapped stays within reach: until a flush that began after it has ended."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict

from cosim.events import FlushEnded, FlushGivenUp, FlushQueued
from cosim.sim.simulation import Sim
from cosim.study.run.window import Window


class Exposures:
    """The ranges that were put into a flush queue and flushed inside the window, by domain.

    One whose flush has failed is counted by nobody: its IOVAs are never given out again.
    """

    __slots__ = ("_ended", "_longest", "_queued", "_total_ps", "_window")

    def __init__(self, sim: Sim, window: Window) -> None:
        self._window = window
        self._queued: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
        """By domain, when each range was queued, and where it begins."""
        self._ended: defaultdict[str, int] = defaultdict(int)
        self._total_ps: defaultdict[str, int] = defaultdict(int)
        self._longest: defaultdict[str, int] = defaultdict(int)
        sim.probe(FlushQueued).watch(self._was_queued)
        sim.probe(FlushEnded).watch(self._was_flushed)
        sim.probe(FlushGivenUp).watch(self._was_given_up)

    def numbers(self) -> dict[str, int | float]:
        """Of each domain in which unmaps waited how many did, and how long on average and at most."""
        found: dict[str, int | float] = {}
        for domain, count in self._ended.items():
            found[f"{domain}.exposed.ranges"] = count
            found[f"{domain}.exposed.mean_ps"] = self._total_ps[domain] / count
            found[f"{domain}.exposed.max_ps"] = self._longest[domain]
        return found

    def _was_queued(self, event: FlushQueued) -> None:
        self._queued[event.domain].append((event.time, event.iova))

    def _was_flushed(self, event: FlushEnded) -> None:
        queued, domain = self._queued[event.domain], event.domain
        reached = bisect_right(queued, event.began, key=lambda each: each[0])
        for time, _ in queued[:reached]:
            if self._window and time >= self._window.opened:
                self._ended[domain] += 1
                self._total_ps[domain] += event.time - time
                self._longest[domain] = max(self._longest[domain], event.time - time)
        del queued[:reached]

    def _was_given_up(self, event: FlushGivenUp) -> None:
        queued = self._queued[event.domain]
        queued[:] = [each for each in queued if each[1] != event.iova]
