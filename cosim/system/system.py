"""A built system: its parts by path, the kernel on it, and what to ask of it when it has run."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from cosim.events import BootDone, Deadlocked, KernelLog, Leaked, NumberLost, RunEnded, ThreadEnded, ThreadLeft
from cosim.hw.bus.bus import Bus
from cosim.hw.cpu.cpu import Cpu
from cosim.hw.cpu.interrupt_file import InterruptFile
from cosim.hw.dma.master import DmaMaster
from cosim.hw.dma.ring_device import RingMaster
from cosim.hw.iommu.iommu import Iommu
from cosim.hw.iommu.queue_error import QueueError
from cosim.hw.memory.memory import Memory
from cosim.oracles.in_source import Source
from cosim.sim.occupancy import Occupancy
from cosim.sim.operations import Body, Instant
from cosim.sim.simulation import Sim
from cosim.spec.pagetable import PAGE
from cosim.spec.register_map import FQT
from cosim.sw.boot import BOOT, Plan, boot
from cosim.sw.driver.axes import AXES, Variant
from cosim.sw.driver.driver import Driver
from cosim.sw.driver.numbers import LostNumber, lost_numbers
from cosim.sw.kernel.kernel import Kernel
from cosim.sw.kernel.page_allocator import Allocation
from cosim.sw.runtime import Runtime
from cosim.sw.steps import idle_steps
from cosim.sw.tables_seen import TablesSeen
from cosim.sw.workloads import PREPARE, thread_paths
from cosim.system import counters
from cosim.system.topology import Topology
from cosim.units.quantities import format_size
from cosim.units.run_end import AfterThreads

Master = DmaMaster | RingMaster


@dataclass
class System:
    """Parts by path; `start` lets the kernel boot, from which the rest follows."""

    topology: Topology
    sim: Sim
    bus: Bus
    kernel: Kernel
    runtime: Runtime
    plan: Plan
    memories: dict[str, Memory] = field(default_factory=dict)
    cpus: dict[str, Cpu] = field(default_factory=dict)
    iommus: dict[str, Iommu] = field(default_factory=dict)
    masters: dict[str, Master] = field(default_factory=dict)
    files: dict[str, InterruptFile] = field(default_factory=dict)
    driver_name: str = ""
    row: Variant | None = None
    """The policies of its driver, if it has some."""
    source: Source | None = None
    """Where in the source of its driver something is, if objects are loaded."""
    refused: list[str] = field(default_factory=list)
    """IOMMUs that boot could not take into service."""
    unprepared: list[str] = field(default_factory=list)
    """What threads said that could not do their part of what was to be prepared."""
    booted: bool = False
    threads_ended_ps: int | None = None
    """When the last of the topology's threads has ended; None before that."""
    _preparing: set[str] = field(default_factory=set)
    _running: dict[str, None] = field(default_factory=dict)

    def start(self) -> None:
        """Let the kernel boot; the rest follows from that."""
        if self.topology.run.origin == "reset":
            self._stall(0)
        self.sim.probe(BootDone).watch(self._booted)
        self._running |= dict.fromkeys(thread_paths(self.topology.threads))
        self.sim.probe(ThreadEnded).watch(self._ended)
        if self.topology.prepare:
            self._preparing |= set(thread_paths(self.topology.prepare, PREPARE))
            self.sim.probe(KernelLog).watch(self._logged)
        self.kernel.boot()
        self.kernel.start(next(iter(self.cpus)), BOOT, boot(self.runtime, self.plan))

    def _booted(self, event: BootDone) -> None:
        self.booted = True
        if self.topology.run.origin == "boot":
            self._stall(event.time)
        self.refused = [path for path in self.iommus if path not in self.runtime.core.iommus]

    def _ended(self, event: ThreadEnded) -> None:
        if event.who in self._running:
            del self._running[event.who]
            if not self._running:
                self.threads_ended_ps = event.time
                if isinstance(self.topology.run.until, AfterThreads):
                    self.sim.stop()  # the end of the run is known from here on

    def _logged(self, event: KernelLog) -> None:
        if event.who in self._preparing and event.level in ("error", "oops"):
            self.unprepared.append(f"{event.who}: {event.text}")

    def _stall(self, origin_ps: int) -> None:
        for stall in self.topology.stalls:
            path, _, what = stall.part.rpartition(".")
            iommu = self.iommus[path]
            if what == FQT.name:
                iommu.registers.stall(FQT, origin_ps + stall.at, stall.duration_ps)
            else:
                iommu.commands.stall(origin_ps + stall.at, stall.duration_ps)

    @property
    def end_ps(self) -> int:
        """When the run ends, from reset; before the end of boot, when boot is given up.

        If it ends with its threads, that is known when the last of them has ended; before, when they are given up.
        """
        run = self.topology.run
        if run.origin == "boot" and not self.booted:
            return run.boot_limit
        if isinstance(run.until, AfterThreads) and self.threads_ended_ps is not None:
            return self.threads_ended_ps + run.until.time_ps
        return self.runtime.origin.time_ps + run.latest_ps

    @property
    def running(self) -> list[str]:
        """The topology's threads that have not ended."""
        return list(self._running)

    @property
    def boot_died(self) -> str:
        """By which oops boot has ended; "" if it has not."""
        return self.kernel.died.get(f"{next(iter(self.cpus))}.{BOOT}", "")

    def idle_steps(self) -> tuple[str, ...]:
        """The steps taken out of the driver that nobody has come to so far, as ``AXIS: STEP``."""
        row = self.row
        return tuple(f"{axis}: {step}" for axis in AXES for step in idle_steps(getattr(row, axis))) if row else ()

    def unfinished(self) -> dict[str, str]:
        """The topology's threads that have not ended, or have died: what is to be said of each."""
        died, names = self.kernel.died, thread_paths(self.topology.threads)
        dead = {name: f"died: {died[name]}" for name in names if name in died}
        return dict.fromkeys(self._running, "has not ended") | dead

    def not_started(self) -> dict[str, str]:
        """The devices that boot could not find or start, and in words why not; none of an IOMMU that failed.

        "" for one that was not found: of what kept it out the kernel log tells.
        """
        memories = self.topology.of_kind("memory").values()
        memory = format_size(sum(each.size for each in memories if not each.reserved))
        devices, found = self.topology.of_kind("dma"), {}
        for name, why in self.runtime.not_started.items():
            found[name] = ""
            if why:
                window = format_size(devices[name].traffic.window)
                found[name] = f"no window of {window} in {memory} of memory ({why})"
        return found

    def end(self, leaks: Iterable[Allocation]) -> None:
        """Tell what is left at the end of a run that was not ended early; `leaks` of it are lost."""
        now = self.sim.now
        leaked = self.sim.probe(Leaked)
        for lost in leaks:
            leaked(Leaked(now, lost.by, lost.address, lost.size, lost.purpose, lost.time, lost.place))
        if (lost_number := self.sim.probe(NumberLost)) and self._at_rest:
            for number in self._lost_numbers():
                lost_number(NumberLost(now, *number))
        if deadlocked := self.sim.probe(Deadlocked):
            for lock in self.kernel.deadlocks():
                deadlocked(Deadlocked(now, lock.thread, lock.lock_class, lock.holder, lock.ended, lock.since))
        if left := self.sim.probe(ThreadLeft):
            for name, clock in self.clocks().items():
                left(ThreadLeft(now, name, clock.parts))
        TablesSeen(self.kernel, self.runtime.driver).of_all(self.runtime.core.domains.values())
        self.sim.probe(RunEnded)(RunEnded(now))

    def _lost_numbers(self) -> Sequence[LostNumber]:
        driver, stored = self.runtime.driver, self.kernel.stored()
        if isinstance(driver, Driver):
            return lost_numbers(driver, stored)
        from cosim.sw.object_driver.driver import ObjectDriver  # what is not asked for is not paid for

        return driver.numbers.lost(stored) if isinstance(driver, ObjectDriver) else ()

    @property
    def _at_rest(self) -> bool:
        """Whether boot and all threads of the topology have ended, and none has died: none of them holds anything."""
        return self.booted and not self._running and not self.kernel.died

    def leaks(self) -> list[Allocation]:
        """Kernel memory that nothing points to any more, no store that has yet to take hold either."""
        pending = [entry for cpu in self.cpus.values() for entry in cpu.hart.writes.pending]
        return self.runtime.leaks(word for entry in pending for word in entry.words)

    def close(self) -> None:
        """Let go of watchers and threads: those that have not ended will never go on."""
        self.sim.unwatch()
        for cpu in self.cpus.values():
            for thread in cpu.threads:
                _close(thread.body)
        for body in self.kernel.bodies:
            _close(body)

    def counters(self) -> dict[str, int]:
        """Every cumulative counter, by path."""
        found: dict[str, int] = {}
        for path, memory in self.memories.items():
            found.update(counters.of_memory(path, memory))
        for path, cpu in self.cpus.items():
            found.update(counters.of_cpu(path, cpu))
        for file in self.files.values():
            found[f"{file.path}.messages"] = file.messages
        for path, iommu in self.iommus.items():
            found.update(counters.of_iommu(path, iommu))
        for path, master in self.masters.items():
            found.update(counters.of_master(path, master))
        return found

    def clocks(self) -> dict[str, Instant]:
        """The clock of each thread at this moment: how long it has spent in each latency part, up to now."""
        return {name: clock for cpu in self.cpus.values() for name, clock in cpu.clocks().items()}

    def occupancies(self) -> dict[str, Occupancy]:
        """What counts a number of requests over time: in flight, and waiting in the device, of each device."""
        found: dict[str, Occupancy] = {}
        for path, master in self.masters.items():
            found |= {f"{path}.in_flight": master.occupancy, f"{path}.backlog": master.backlog}
        return found

    def bounds(self) -> dict[str, dict[str, int]]:
        """What bounds the number in flight of each device, by the name of each bound on its way.

        A device that posts writes to memory directly has none: memory takes as many at once as its bandwidth lets in.
        """
        found: dict[str, dict[str, int]] = {}
        for path, master in self.masters.items():
            bounds = {f"{path}'s outstanding": master.pace.outstanding}
            if master.options.posted and master.buffer is not None:
                bounds[f"{master.options.through}'s in_flight"] = master.buffer
            if not master.options.posted or master.buffer is not None:
                found[f"{path}.in_flight"] = bounds
        return found

    def requests(self) -> dict[str, int]:
        """How many requests of each device have ended since the beginning."""
        return {path: sum(master.requests) for path, master in self.masters.items()}

    def derived(self, counted: Mapping[str, int], window_ps: int) -> dict[str, float]:
        """Utilisations, mean depths and throughputs, from what was counted in a window."""
        places = {f"{path}.port": memory.options.ports for path, memory in self.memories.items()}
        for path, iommu in self.iommus.items():
            geometry = iommu.options.geometry
            places |= {f"{path}.walkers": geometry.walkers, f"{path}.places": geometry.in_flight}
        return counters.derived(counted, places, window_ps)

    def totals(self, leaks: Iterable[Allocation]) -> dict[str, int]:
        """What counts from the beginning and not from the window's opening: memory in use at the end, by purpose.

        What leaked of it is counted in pages, rounded up.
        """
        pages = self.kernel.pages
        leaked = sum(lost.size for lost in leaks)
        return {
            "kernel.leaked_pages": -(-leaked // PAGE),
            "kernel.quarantined": len(pages.quarantined),
            **{f"kernel.pages.{purpose}": number for purpose, number in sorted(pages.purposes().items())},
        }

    def queue_errors(self) -> list[QueueError]:
        """The errors in which the queues of the IOMMUs stand now."""
        return [error for iommu in self.iommus.values() for error in iommu.queue_errors()]

    def stuck(self) -> list[str]:
        """In words, the threads that will never go on; nothing if all is well."""
        return [str(deadlock) for deadlock in self.kernel.deadlocks()]


def _close(body: Body) -> None:
    """Close a coroutine and, if it has not begun, those that it was given to await."""
    if inspect.getcoroutinestate(body) == inspect.CORO_CREATED:
        for argument in inspect.getcoroutinelocals(body).values():
            if inspect.iscoroutine(argument):
                _close(argument)
    body.close()
