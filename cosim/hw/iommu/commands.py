"""The command queue (3.1 "Command-Queue"): fetches commands in order, carries them out, moves `cqh`."""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, Any, Protocol

from cosim.events import CommandExecuted, CommandFetched, CommandPassed
from cosim.hw.iommu.command_order import InOrder
from cosim.hw.iommu.faults import NotImplementedCapability
from cosim.hw.iommu.in_memory_queue import CQ, InMemoryQueue
from cosim.hw.iommu.memory_port import MemoryPort
from cosim.hw.iommu.options import IommuOptions
from cosim.hw.iommu.registers import RegisterFile
from cosim.sim.component import Component
from cosim.sim.footprints import Footprint
from cosim.sim.gate import Gate
from cosim.sim.ranks import Stage
from cosim.sim.server import Server
from cosim.sim.task import Routine
from cosim.sim.transport import Access, AccessKind, Port, Response
from cosim.spec.queues import (
    Command,
    IllegalCommandError,
    Iodir,
    IodirFunc,
    Iofence,
    Iotinval,
    IotinvalFunc,
    decode,
)
from cosim.spec.register_map import CQB, CQCSR, CQH, CQT, Register
from cosim.spec.registers import IommuMode
from cosim.spec.translation import ddt_split

if TYPE_CHECKING:
    from cosim.sim.simulation import Sim

DEVICE_ID_BITS = 24
"""The widest device_id; ddtp.iommu_mode sets no other limit where it names no directory."""


class TranslationSide(Protocol):
    """What commands act upon. Invalidations are plain calls and take hold at once."""

    def invalidate_vma(self, command: Iotinval) -> None: ...

    def invalidate_gvma(self, command: Iotinval) -> None: ...

    def invalidate_ddt(self, device_id: int | None) -> None: ...

    def invalidate_pdt(self, device_id: int, process_id: int) -> None: ...

    def settle(self, pr: bool, pw: bool) -> Routine:
        """Wait for the walks that an invalidation overtook, and for the reads (`pr`) and writes (`pw`) before now."""

    def footprint(self, command: Command) -> Footprint:
        """What an invalidation touches, as an action."""


def name_of(command: Command) -> str:
    """The command's name in results: ``iotinval_vma``, ``iodir_inval_ddt``, ``iofence``."""
    return "iofence" if isinstance(command, Iofence) else command.mnemonic.lower().replace(".", "_")


class CommandQueue(Component):
    """The consumer of commands: idle, at work on one command, or stopped by an error bit of `cqcsr`.

    A command is fetched, decoded, carried out, and only then does `cqh` pass it; an illegal one, or one that memory
    refuses, stays at `cqh`, and clearing the error bit fetches it again. Being turned off, the consumer first
    finishes what it has begun. `order` says whether invalidations may overtake one another between fences.
    """

    def __init__(
        self,
        sim: Sim,
        path: str,
        options: IommuOptions,
        registers: RegisterFile,
        port: Port,
        translation: TranslationSide,
        order: type[InOrder] = InOrder,
    ) -> None:
        super().__init__(sim, f"{path}.commands")
        self.iommu = path
        self.registers = registers
        self.memory = MemoryPort(port, self.path)
        self.translation = translation
        self.timing = options.timing
        self._burst = options.geometry.command_burst
        self._brought: deque[tuple[int, int]] = deque()
        """Commands from `cqh` on that have been read already."""
        self._order = order(sim, self.path, options.timing.invalidate_all)
        self.queue = InMemoryQueue(
            sim, path, registers, CQ, busy_ps=options.timing.busy, part="queue", unfinished=self._order.finished
        )
        self.counts: Counter[str] = Counter()
        """Commands that took hold, by name; ``illegal`` and ``memory_faults`` are tries that did not."""
        self.engine = Server(0, "queue")
        """Where a command's time is spent, after its fetch."""
        self.stalled_ps = 0
        self._stalls: deque[tuple[int, int]] = deque()
        self._work = Gate(sim, 0, "queue")
        self._initiator = sim.initiator(self.path)
        self._fetched = sim.probe(CommandFetched)
        self._executed = sim.probe(CommandExecuted)
        self._passed = sim.probe(CommandPassed)
        for register in (CQCSR, CQH, CQT):
            registers.watch(register.offset, self._wake)
        sim.start(self._consume(), self._initiator.rank(Stage.COMMAND))

    def stall(self, at_ps: int, *durations_ps: int) -> None:
        """Hold up the first command to be fetched at or after `at_ps`, and the next ones, for these durations."""
        self._stalls.extend((at_ps, duration) for duration in durations_ps)
        self._stalls = deque(sorted(self._stalls, key=lambda stall: stall[0]))

    @property
    def ready(self) -> bool:
        """Whether there is a command to fetch, and nothing against it."""
        queue = self.queue
        return queue.depth > 0 and queue.enabled and not queue.stopped

    def _wake(self) -> None:
        if self.ready:
            self._work.open()
        else:
            self._work.shut()
            self._brought.clear()

    # --- One command after the other ---------------------------------------------------------------------------------

    def _consume(self) -> Routine:
        slot = self.queue.slot
        while True:
            yield self._work
            yield slot
            if self.ready:
                yield from self._stall()
            if self.ready:
                yield from self._next()
            slot.release()

    def _stall(self) -> Routine:
        if self._stalls and self._stalls[0][0] <= self.sim.now:
            _, duration = self._stalls.popleft()
            self.stalled_ps += duration
            yield Server(0, "queue", latency_ps=duration)

    def _next(self) -> Routine:
        index, timing = self.queue.index, self.timing
        beats = 0
        if not self._brought:
            yield from self._spend(timing.command_start)
            yield from self._fetch(index)
            if not self._brought:
                return
            beats = 2 * len(self._brought) - 1
        words = self._brought.popleft()
        yield from self._spend(beats * timing.beat + timing.command_fetch)
        try:
            command = self._decode(words)
        except IllegalCommandError:
            self.counts["illegal"] += 1
            self.queue.fail(cmd_ill=1)
            return
        if isinstance(command, Iofence):
            yield from self._fence(command, index)
        else:
            yield from self._order.carry_out(self._invalidate(command, index), self._pass)

    def _fetch(self, index: int) -> Routine:
        """Read the command at `index`, and as many of those behind it as one read brings; none if memory refuses."""
        count = min(self._burst, self.queue.following)
        access = self._access(AccessKind.READ, self.queue.address(index), count * Command.SIZE, "fetch")
        if self.sim.exploring:
            access.touches = self._named(CQT, CQCSR, CQB)
        yield access
        if access.response is not Response.OK:
            self._memory_fault()
            return
        for number in range(count):
            words = (access.words[2 * number], access.words[2 * number + 1])
            self._brought.append(words)
            if self._fetched:
                self._fetched(CommandFetched(self.sim.now, self.iommu, index + number, words))

    def _access(self, kind: AccessKind, address: int, size: int, what: str, words: tuple[int, ...] = ()) -> Access:
        agent, big_endian = f"{self.iommu}.{what}", self.registers.fctl.be
        return self.memory.access(kind, address, size, "memory", words, big_endian=big_endian, agent=agent)

    def _decode(self, words: tuple[int, int]) -> Command:
        capabilities = self.registers.capabilities
        levels = IommuMode(self.registers.ddtp.iommu_mode).levels
        did_bits = ddt_split(capabilities).width(levels) if levels else DEVICE_ID_BITS
        return decode(words, capabilities, wsi=self.registers.fctl.wsi, did_bits=did_bits)

    # --- What commands do --------------------------------------------------------------------------------------------

    def _spend(self, duration_ps: int) -> Routine:
        if duration_ps:
            yield self.engine.taking(duration_ps)

    def _invalidate(self, command: Command, index: int) -> Routine:
        yield from self._spend(self._cost(command))
        yield from self._take_hold(self.translation.footprint(command), () if self._order.apart else (CQH,))
        match command:
            case Iotinval(func3=IotinvalFunc.VMA):
                self.translation.invalidate_vma(command)
            case Iotinval():
                self.translation.invalidate_gvma(command)
            case Iodir(func3=IodirFunc.INVAL_DDT):
                self.translation.invalidate_ddt(command.did if command.dv else None)
            case Iodir():
                self.translation.invalidate_pdt(command.did, command.pid)
            case _:
                raise NotImplementedCapability("ATS")
        self._complete(command, index)

    def _cost(self, command: Command) -> int:
        one = command.dv if isinstance(command, Iodir) else isinstance(command, Iotinval) and command.av
        return self.timing.invalidate_entry if one else self.timing.invalidate_all

    def _fence(self, command: Iofence, index: int) -> Routine:
        yield from self._spend(self.timing.fence)
        yield from self._settle(command)
        if command.av:
            yield from self._spend(self.timing.write_start)
            store = self._access(AccessKind.WRITE, command.address, 4, "fence", (command.data,))
            yield store
            if store.response is not Response.OK:
                self._memory_fault()
                return
        yield from self._take_hold((), (CQH, CQCSR) if command.wsi else (CQH,))
        self._complete(command, index)
        self._pass()
        if command.wsi:
            self.registers.change(CQCSR, fence_w_ip=1)

    def _settle(self, command: Iofence) -> Routine:
        """Wait for what a fence orders: all commands before it, and the requests that it names (3.1.2)."""
        yield self._order.finished
        yield from self.translation.settle(bool(command.pr), bool(command.pw))

    def _memory_fault(self) -> None:
        self.counts["memory_faults"] += 1
        self.queue.fail(cqmf=1)

    def _complete(self, command: Command, index: int) -> None:
        name = name_of(command)
        self.counts[name] += 1
        if self._executed:
            self._executed(CommandExecuted(self.sim.now, self.iommu, index, (command[0], command[1]), name))

    def _pass(self) -> None:
        """Move `cqh` past the command where it stands."""
        index = self.queue.index
        self.queue.advance()
        if self._passed:
            self._passed(CommandPassed(self.sim.now, self.iommu, index))

    def _take_hold(self, dropped: Footprint, registers: tuple[Register[Any], ...]) -> Routine:
        """Wait until the schedule lets the command take hold, as the action ``iommu0.exec#n``."""
        if self.sim.exploring:
            touched = dropped + self._named(*registers)
            yield from self.sim.actions.ask(f"{self.iommu}.exec", self.path, touched, True, "queue")

    def _named(self, *registers: Register[Any]) -> Footprint:
        return tuple((self.iommu, register.name) for register in registers)
