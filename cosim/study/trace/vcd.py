"""``.vcd``: registers, queues and states over time, for GTKWave and other viewers of waveforms."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import IO, Any, cast

from vcd import VCDWriter

from cosim import events
from cosim.hw.iommu.in_memory_queue import CQ, FQ, PQ, Place
from cosim.hw.iommu.registers import capabilities_of
from cosim.sim.simulation import Sim
from cosim.spec.register_map import CQH, CQT, FQH, FQT, PQH, PQT, REGISTERS
from cosim.spec.registers import QueueCsr
from cosim.study.trace.commands import command_name
from cosim.study.trace.selection import Selection
from cosim.study.trace.trace_file import TraceFile
from cosim.sw.workloads import PREPARE, thread_paths
from cosim.system.topology import Topology

RESET_TO_ZERO = frozenset({CQH, CQT, FQH, FQT, PQH, PQT, CQ.csr, FQ.csr, PQ.csr})
"""Registers that are known before they change for the first time; of others an IOMMU may hardwire bits."""

QUEUES = {place.csr.name: place for place in (CQ, FQ, PQ)}

INTERRUPTS = ("cip", "fip", "pmip", "pip")


class Waveforms:
    """A variable for each register, queue, thread, CPU and device of a topology, at a picosecond's resolution.

    Its value changes when the thing does. A window begins with the values that there are then.
    """

    def __init__(self, file: TraceFile, topology: Topology, selection: Selection) -> None:
        self._selection = selection
        self._writer = VCDWriter(
            cast("IO[str]", file),  # it writes and flushes, which is all that is asked of it
            timescale="1 ps",
            version="cosim",
            init_timestamp=selection.from_ps,
        )
        self._variables: dict[str, Any] = {}
        self._before: dict[str, Any] = {}
        """What variables are when the window opens, as far as that is known by now."""
        self._opened = selection.from_ps == 0
        self._last = selection.from_ps
        """The time of the last change."""
        self._numbers: defaultdict[str, int] = defaultdict(int)
        self._calls: defaultdict[str, list[str]] = defaultdict(list)
        self._declare(topology)

    def watch(self, sim: Sim) -> None:
        self._sim = sim
        tellers: dict[type[Any], Callable[[Any], None]] = {
            events.RegisterChanged: self._register,
            events.QueueDepth: lambda event: self._put(event.time, f"{event.who}.depth", event.depth),
            events.CommandFetched: self._fetched,
            events.CommandExecuted: lambda event: self._put(event.time, f"{event.who}.commands.executing", ""),
            events.QueueFailed: self._failed,
            events.WalkBegun: lambda event: self._count(event.time, f"{event.who}.walkers.busy", 1),
            events.WalkDone: lambda event: self._count(event.time, f"{event.who}.walkers.busy", -1),
            events.FaultRecorded: lambda event: self._count(event.time, f"{event.who}.faults", 1),
            events.InterruptRaised: lambda event: self._put(event.time, f"{event.who}.interrupt.{event.source}", True),
            events.Switched: lambda event: self._put(event.time, f"{event.who}.running", event.thread),
            events.CallBegun: self._call_begun,
            events.CallDone: self._call_over,
            events.CallAbandoned: self._call_over,
            events.DmaIssued: lambda event: self._count(event.time, f"{event.who}.in_flight", 1),
            events.DmaDone: lambda event: self._count(event.time, f"{event.who}.in_flight", -1),
        }
        for kind, tell in tellers.items():
            self._selection.listen(sim, kind, tell)

    def close(self) -> None:
        now, last = self._sim.now, self._selection.to_ps
        if now >= self._selection.from_ps:
            self._open()
        self._writer.close(max(self._last, now if last is None else min(now, last)))

    # --- What there is -----------------------------------------------------------------------------------------------

    def _declare(self, topology: Topology) -> None:
        for path in topology.of_kind("cpu"):
            self._variable(f"{path}.running", "string")
        for path in thread_paths(topology.prepare, PREPARE) + thread_paths(topology.threads):
            self._variable(f"{path}.call", "string")
        for path in topology.devices():
            self._variable(f"{path}.in_flight", "integer", init=0)
        for path, options in topology.of_kind("iommu").items():
            capabilities = capabilities_of(options)
            for register in REGISTERS.values():
                if register.present(capabilities):
                    init = 0 if register in RESET_TO_ZERO else None
                    self._variable(f"{path}.registers.{register.name}", "reg", 8 * register.size, init=init)
            for place in (CQ, FQ, PQ):
                if place.base.present(capabilities):
                    self._variable(f"{path}.{place.name}.depth", "integer", init=0)
                    self._variable(f"{path}.{place.name}.state", "string", init="off")
            self._variable(f"{path}.commands.executing", "string")
            self._variable(f"{path}.walkers.busy", "integer", init=0)
            self._variable(f"{path}.faults", "integer", init=0)
            for source in INTERRUPTS:
                self._variable(f"{path}.interrupt.{source}", "event")

    def _variable(self, path: str, kind: str, size: int | None = None, *, init: int | str | None = None) -> None:
        if self._selection.concerns(path):
            *scope, name = path.split(".")
            if kind == "string" and init is None:
                init = ""
            self._variables[path] = self._writer.register_var(tuple(scope), name, kind, size, init)

    # --- What happens ------------------------------------------------------------------------------------------------

    def _put(self, time: int, path: str, value: Any) -> None:
        """Give a variable a value; one that was not declared has none.

        A call begins when its thread is ready, and is told when the CPU has it go on. What came in between stands in
        the file by then, where time cannot go back: so the call begins with what was last told.
        """
        variable = self._variables.get(path)
        if variable is None:
            return
        if time < self._selection.from_ps:
            if variable.type != "event":
                self._before[path] = value
        elif self._selection.inside(time):
            self._open()
            self._last = max(self._last, time)
            self._writer.change(variable, self._last, value)

    def _open(self) -> None:
        """The window opens: everything has the value that it was given before."""
        if not self._opened:
            self._opened = True
            for path, value in self._before.items():
                self._writer.change(self._variables[path], self._selection.from_ps, value)

    def _count(self, time: int, path: str, change: int) -> None:
        self._numbers[path] += change
        self._put(time, path, self._numbers[path])

    def _register(self, event: events.RegisterChanged) -> None:
        self._put(event.time, f"{event.who}.registers.{event.register}", event.value)
        if (place := QUEUES.get(event.register)) is not None:
            self._put(event.time, f"{event.who}.{place.name}.state", _state(place, event.value))

    def _fetched(self, event: events.CommandFetched) -> None:
        self._put(event.time, f"{event.who}.commands.executing", command_name(event.words))

    def _failed(self, event: events.QueueFailed) -> None:
        if event.queue == CQ.name:
            self._put(event.time, f"{event.who}.commands.executing", "")

    def _call_begun(self, event: events.CallBegun) -> None:
        self._calls[event.who].append(event.call)
        self._put(event.time, f"{event.who}.call", event.call)

    def _call_over(self, event: events.CallDone | events.CallAbandoned) -> None:
        calls = self._calls[event.who]
        if calls:
            calls.pop()
        self._put(event.time, f"{event.who}.call", calls[-1] if calls else "")


def _state(place: Place, value: int) -> str:
    """What a queue is, from its CSR: ``off``, ``turning_on``, ``on``, ``turning_off``, or ``failed``."""
    csr = QueueCsr(value)
    if csr.busy:
        return "turning_on" if csr.en else "turning_off"
    if value & place.errors and csr.on:
        return "failed"
    return "on" if csr.on else "off"
