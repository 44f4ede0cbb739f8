"""The latencies of a run: those of each device's requests and of each thread's calls, by name."""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from sys import maxsize

from cosim.events import CallDone
from cosim.sim.simulation import Sim
from cosim.study.gather.latencies import Latencies
from cosim.study.run.latency import Latency
from cosim.study.run.samples import EXACT
from cosim.study.run.window import Window


class LatenciesByName:
    """A latency counts if its request was issued, or its call begun, inside the window and was over before its end.

    `ended` is how many requests and calls ended inside the window, whenever they began, and `opened` when it opened, -1
    before that. Requests come from `Requests`. With `keep` every sample is kept, in the order in which they ended,
    however many there are.
    """

    __slots__ = ("_found", "_keeps", "_returned", "_window", "ended", "opened")

    def __init__(self, sim: Sim, window: Window, *, keep: bool = False) -> None:
        self.ended = 0
        self.opened = -1
        self._window = window
        window.on_open.append(self._open)
        self._keeps = keep
        self._found: defaultdict[str, Latencies] = defaultdict(lambda: Latencies(maxsize if keep else EXACT))
        self._returned: Counter[str] = Counter()
        sim.probe(CallDone).watch(self._call_done)

    def summaries(self) -> dict[str, Latency]:
        """The distribution for each kind of request and each call of each thread, sorted by name."""
        return {name: found.summary() for name, found in sorted(self._found.items())}

    def samples(self) -> dict[str, array[int]]:
        """Every sample in picoseconds, sorted by name; none if they were not to be kept."""
        return {name: found.samples() for name, found in sorted(self._found.items())} if self._keeps else {}

    def rates(self, window_ps: int) -> dict[str, float]:
        """Calls a second, such as ``cpu0.map-unmap.map.per_s``, over a window of this length, by name."""
        if window_ps <= 0:
            return {}
        return {f"{name}.per_s": count * 1e12 / window_ps for name, count in sorted(self._returned.items())}

    def longest(self, name: str) -> int:
        """The longest latency of this name, in picoseconds; -1 if there is none."""
        return self._found[name].longest if name in self._found else -1

    def of(self, name: str) -> Latencies:
        """Where the latencies of this name are gathered; there is one at least, from here on."""
        return self._found[name]

    def _open(self) -> None:
        self.opened = self._window.opened

    def _call_done(self, event: CallDone) -> None:
        opened = self.opened
        if opened < 0:
            return
        self.ended += 1
        if opened <= event.began:
            name = f"{event.who}.{event.call}"
            self._returned[name] += 1
            self._found[name].add(event.time - event.began, event.parts)
