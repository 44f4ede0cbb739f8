"""What a run measured: latencies, counters and the digest, gathered from events and from the parts' own counters."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

from cosim.events import BootDone, CallBegun, CallDone, CommandExecuted, DmaDone, FaultRecorded, KernelLog, QueueDepth
from cosim.oracles import ORACLES, TouchedAfterwards, Violation
from cosim.sim.digest import Digest, number_of
from cosim.sim.occupancy import Occupancy
from cosim.sim.ranks import Stage
from cosim.sim.simulation import Sim
from cosim.spec.faults import Ttyp
from cosim.study.run.failed_requests import FailedRequests
from cosim.study.run.latency import Latencies, Latency
from cosim.study.run.result import LogLine
from cosim.sw.runtime import Origin

MOST_LINES = 1000
"""Kernel log lines and violations kept in full; all are counted."""


class Meter:
    """Watches one run. The measured window opens at the end of the warm-up, and never before that of boot.

    `counters` gives every cumulative counter of the system by its path, `occupancies` each number over time by its
    name, and `bounds` what bounds some of them. A latency counts if its request was issued,
    or its call begun, inside the window and was over before its end.
    """

    def __init__(
        self,
        sim: Sim,
        *,
        warmup_ps: int,
        origin: Origin | None = None,
        counters: Callable[[], Mapping[str, int]],
        occupancies: Mapping[str, Occupancy],
        bounds: Mapping[str, Mapping[str, int]] | None = None,
    ) -> None:
        self.sim = sim
        self.boot_ps = -1
        self.opens = self.opened = -1
        self.events = 0
        self.digest = Digest()
        self.log: list[LogLine] = []
        self.log_lines = 0
        self.violations: list[Violation] = []
        self.violation_count = 0
        self.failed = FailedRequests()
        self.touched = TouchedAfterwards()
        self._warmup_ps = warmup_ps
        self._origin = origin or Origin()
        self._counters = counters
        self._occupancies = occupancies
        self._bounds = bounds or {}
        self._latencies: defaultdict[str, Latencies] = defaultdict(Latencies)
        self._calls: defaultdict[str, list[tuple[str, int]]] = defaultdict(list)
        self._before: Mapping[str, int] = {}
        self._depth: dict[str, int] = {}
        self._deepest: dict[str, int] = {}
        for oracle in ORACLES.values():
            for event, listener in oracle(self._violated).listeners():
                sim.probe(event).watch(listener)
        for event, listener in self.touched.listeners():
            sim.probe(event).watch(listener)
        for kind, watcher in (
            (BootDone, self._booted),
            (DmaDone, self._dma_done),
            (CallBegun, self._call_begun),
            (CallDone, self._call_done),
            (CommandExecuted, self._command_executed),
            (FaultRecorded, self._fault_recorded),
            (KernelLog, self._logged),
            (QueueDepth, self._depth_changed),
        ):
            watch: Callable[[Any], None] = watcher
            sim.probe(kind).watch(watch)

    # --- The window --------------------------------------------------------------------------------------------------

    def _booted(self, event: BootDone) -> None:
        self.boot_ps = event.time
        self.opens = max(self._origin.time_ps + self._warmup_ps, event.time)
        if self.opens > event.time:
            self.sim.at(self.opens, self.sim.initiator("window").rank(Stage.MEMORY), self._open)
        else:
            self._open()

    def _open(self) -> None:
        self.opened = self.sim.now
        self._before = dict(self._counters())
        self._deepest = dict(self._depth)
        for occupancy in self._occupancies.values():
            occupancy.open(self.opened)

    def latencies(self) -> dict[str, Latency]:
        """The distribution for each master and each driver operation of each thread, sorted by name."""
        return {name: found.summary() for name, found in sorted(self._latencies.items())}

    def unfinished(self) -> dict[str, int]:
        """The calls that have not returned, with how long they have taken: those that take longer than any before."""
        found = {}
        for who, calls in self._calls.items():
            if calls:
                call, began = calls[0]
                name, taken = f"{who}.{call}", self.sim.now - began
                if name not in self._latencies or taken > self._latencies[name].longest:
                    found[name] = taken
        return dict(sorted(found.items()))

    def counted(self) -> dict[str, int]:
        """How far each counter has come since the window opened."""
        return {name: value - self._before.get(name, 0) for name, value in self._counters().items()}

    def deepest(self) -> dict[str, int]:
        """The largest depth of each queue since the window opened."""
        queues = [name.removesuffix(".depth_ps") for name in self._before if name.endswith(".depth_ps")]
        return {f"{path}.depth_max": self._deepest.get(path, 0) for path in queues}

    def means(self) -> dict[str, float]:
        """The mean of each number over time, such as ``nic0.in_flight_mean``."""
        return {f"{name}_mean": occupancy.mean(self.sim.now) for name, occupancy in self._occupancies.items()}

    def check_littles_law(self) -> None:
        """Look whether the numbers over time can be right.

        Raises ArithmeticError if Little's law does not hold exactly, or if more were in flight than the bounds on their
        way allow.
        """
        for name, occupancy in self._occupancies.items():
            integral, residence = occupancy.law(self.sim.now)
            if integral != residence:
                raise ArithmeticError(
                    f"{name}: the integral of the number over time is {integral}, the residence times add up to "
                    f"{residence}: time was lost or counted twice"
                )
            bounds = self._bounds.get(name)
            if bounds is not None and occupancy.most > sum(bounds.values()):
                said = " + ".join(f"{bound} of {what}" for what, bound in bounds.items())
                raise ArithmeticError(f"{name}: {occupancy.most} at once, and no more than {said} can be")

    def most(self) -> dict[str, int]:
        """The largest of each number over time since the window opened."""
        return {f"{name}_max": occupancy.most for name, occupancy in self._occupancies.items()}

    # --- Events ------------------------------------------------------------------------------------------------------

    def _dma_done(self, event: DmaDone) -> None:
        self.events += 1
        self.digest.add(number_of(event.who), event.sequence, event.time, number_of(event.status))
        if event.status != "SUCCESS":
            self.failed.add(event)
        if 0 <= self.opened <= event.issued:
            kind = "write" if event.write else "read"
            name = f"{event.who}.{kind if event.purpose == 'data' else event.purpose}"
            self._latencies[name].add(event.time - event.issued, event.parts)

    def _call_begun(self, event: CallBegun) -> None:
        self._calls[event.who].append((event.call, event.time))

    def _call_done(self, event: CallDone) -> None:
        self.events += 1
        self._calls[event.who].remove((event.call, event.began))
        self.digest.add(number_of(event.who), number_of(event.call), event.time, number_of(event.failed))
        if 0 <= self.opened <= event.began:
            self._latencies[f"{event.who}.{event.call}"].add(event.time - event.began, event.parts)

    def _command_executed(self, event: CommandExecuted) -> None:
        self.events += 1
        self.digest.add(number_of(event.who), event.index, event.time, event.words[0] ^ event.words[1])

    def _fault_recorded(self, event: FaultRecorded) -> None:
        self.events += 1
        self.digest.add(number_of(event.who), event.device_id, event.time, event.cause)
        if event.ttyp == Ttyp.NONE:
            self.failed.add_own(event)

    def _depth_changed(self, event: QueueDepth) -> None:
        self._depth[event.who] = event.depth
        if event.depth > self._deepest.get(event.who, 0):
            self._deepest[event.who] = event.depth

    def _logged(self, event: KernelLog) -> None:
        self.log_lines += 1
        if len(self.log) < MOST_LINES:
            self.log.append(LogLine(event.time, event.who, event.level, event.text))

    def _violated(self, violation: Violation) -> None:
        self.violation_count += 1
        if len(self.violations) < MOST_LINES:
            self.violations.append(violation)
