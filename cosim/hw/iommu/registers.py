"""The register file of an IOMMU (chapter "Memory-mapped register interface"): 4 KiB on the bus."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from cosim.events import RegisterChanged, RegisterRead, RegisterWritten
from cosim.hw.iommu.faults import NotImplementedCapability
from cosim.hw.iommu.options import IommuOptions
from cosim.hw.iommu.warl import Reset, rules
from cosim.sim.footprints import Footprint
from cosim.sim.ranks import Stage
from cosim.sim.server import Server
from cosim.sim.task import Routine
from cosim.sim.transport import Access, AccessKind, Response, Target
from cosim.spec.bits import Word
from cosim.spec.register_map import (
    CAPABILITIES,
    CQB,
    CQT,
    DDTP,
    FCTL,
    FQB,
    FQH,
    IOCOUNTOVF,
    IOHPMCYCLES,
    IOHPMEVT,
    PQB,
    PQH,
    REGISTERS,
    TR_REQ_CTL,
    Register,
    RegisterMap,
)
from cosim.spec.registers import (
    Capabilities,
    Cqcsr,
    Ddtp,
    Fctl,
    Fqcsr,
    Icvec,
    Igs,
    Iohpmevt,
    IommuQosid,
    Ipsr,
    Pqcsr,
    QueueBase,
    QueueIndex,
    QueueIndexRo,
    TrReqCtl,
)

if TYPE_CHECKING:
    from cosim.sim.simulation import Sim

W = TypeVar("W", bound=Word)

VERSION = 0x10
"""Of the specification that is modelled: 1.0."""


def capabilities_of(options: IommuOptions) -> Capabilities:
    """The `capabilities` register that the options of a topology describe."""
    fields: dict[str, int] = {}
    for name, value in options.capabilities.model_dump().items():
        fields[name] = Igs[value.upper()] if name == "igs" else int(value)
    return Capabilities.of(version=VERSION, **fields)


class RegisterFile(Target):
    """All registers of one IOMMU: the current value of each is the attribute of its name, such as `cqcsr`.

    Software's accesses arrive over the bus and obey the access kinds; `put` and `change` are the hardware's own
    way to a register. Hooks see software's writes, watchers see every change of value, both at once and untimed.

    Where the specification leaves it open: an access that is misaligned, or neither 4 nor 8 bytes, is refused with
    an access fault; 8 bytes over two registers are two accesses, the high one first; a register whose `busy` is 1,
    and the base of a queue that is not off, ignore writes.
    """

    capabilities: Capabilities
    fctl: Fctl
    ddtp: Ddtp
    cqb: QueueBase
    cqh: QueueIndexRo
    cqt: QueueIndex
    fqb: QueueBase
    fqh: QueueIndex
    fqt: QueueIndexRo
    pqb: QueueBase
    pqh: QueueIndex
    pqt: QueueIndexRo
    cqcsr: Cqcsr
    fqcsr: Fqcsr
    pqcsr: Pqcsr
    ipsr: Ipsr
    icvec: Icvec
    iommu_qosid: IommuQosid

    def __init__(
        self,
        sim: Sim,
        path: str,
        options: IommuOptions,
        *,
        capabilities: Capabilities | None = None,
        reset: Reset | None = None,
    ) -> None:
        self.sim = sim
        self.path = path
        self.reset = reset or Reset.of(options)
        """What is hardwired in this IOMMU."""
        self.server = Server(options.timing.register_access, "mmio", wait_part="mmio")
        self._read = sim.probe(RegisterRead)
        self._written = sim.probe(RegisterWritten)
        self._changed = sim.probe(RegisterChanged)
        self._hooks: dict[str, list[tuple[int, Callable[[Any, Any], None]]]] = {}
        self._watchers: dict[str, list[Callable[[], None]]] = {}
        self._locks: dict[str, Callable[[], bool]] = {}
        self._unreadable: set[str] = set()
        capabilities = capabilities_of(options) if capabilities is None else capabilities
        self._rules = rules(options, capabilities, self.reset)
        for register in REGISTERS.values():
            setattr(self, register.name, register.layout(0))
        self.put(CAPABILITIES, capabilities)
        self.put(FCTL, self.reset.fctl)
        self.put(DDTP, self._rules[DDTP.name](0, Ddtp.of(iommu_mode=self.reset.ddtp_iommu_mode)))
        for base, index in ((CQB, CQT), (FQB, FQH), (PQB, PQH)):
            if base.present(capabilities):
                self.put(base, self._rules[base.name](0, 0))
            self._limit(base, index)
        for source in (IOHPMCYCLES, *IOHPMEVT.values()):
            self.on_write(source, self._shadow_overflow)
        self.on_write(TR_REQ_CTL, self._debug)

    # --- What hardware does ----------------------------------------------------------------------------------------

    def value(self, register: Register[W]) -> W:
        """What a register holds."""
        return getattr(self, register.name)  # type: ignore[no-any-return]

    def put(self, register: Register[W], value: int) -> None:
        """Change a register as hardware does: whatever its fields' access kinds, with no hooks."""
        if value != getattr(self, register.name):
            if self.sim.exploring:
                agent = f"{self.path}.{register.name}"
                self.sim.actions.announce(agent, self.path, ((self.path, register.name),), True, register.size)
            self._change(register, value)

    def _change(self, register: Register[W], value: int) -> None:
        name = register.name
        setattr(self, name, register.layout(value))
        if self._changed:
            self._changed(RegisterChanged(self.sim.now, self.path, name, int(value)))
        self._tell(name)

    def _tell(self, name: str) -> None:
        for call in tuple(self._watchers.get(name, ())):
            call()

    def change(self, register: Register[W], **fields: int) -> None:
        """`put` some fields, and leave the others."""
        self.put(register, self.value(register).replace(**fields))

    def on_write(self, register: Register[W], hook: Callable[[W, W], None], bits: int = -1) -> None:
        """Call ``hook(old, new)`` after each write by software that covers any of `bits`, whether or not it changed."""
        self._hooks.setdefault(register.name, []).append((bits, hook))

    def lock(self, register: Register[Word], locked: Callable[[], bool]) -> None:
        """Ignore software's writes of `register` while ``locked()``."""
        self._locks[register.name] = locked

    def stall(self, register: Register[Word], at_ps: int, duration_ps: int) -> None:
        """From `at_ps` on, let reads of an index register show what is no index, for so long: all ones."""
        rank = self.sim.initiator(f"{self.path}.{register.name}").rank(Stage.COMMAND)
        self.sim.start(self._stall(register, duration_ps), rank, delay_ps=at_ps - self.sim.now)

    def _stall(self, register: Register[Word], duration_ps: int) -> Routine:
        self._unreadable.add(register.name)
        self._tell(register.name)
        yield Server(0, "mmio", latency_ps=duration_ps)
        self._unreadable.discard(register.name)
        self._tell(register.name)

    def watch(self, address: int, call: Callable[[], None]) -> Callable[[], None]:
        """Call `call`, at once and untimed, whenever the register at `address` changes; returns how to stop."""
        register = self._at(address)
        watchers = self._watchers.setdefault(register.name, []) if register else []
        watchers.append(call)

        def stop() -> None:
            if call in watchers:
                watchers.remove(call)

        return stop

    # --- What software does: a Target ------------------------------------------------------------------------------

    def arrive(self, access: Access, now: int) -> int:
        done = self.server.admit(now)
        access.waited_ps += done - self.server.latency_ps - now
        return done

    def commit(self, access: Access) -> None:
        offset, size = access.address % RegisterMap.SIZE, access.size
        if size not in (4, 8) or offset % size:
            access.response = Response.ACCESS_FAULT
            access.words = (0,)
        elif access.kind is AccessKind.READ:
            value = self.read(offset, size)
            access.words = (value,)
            if self._read:
                self._read(RegisterRead(self.sim.now, self.path, offset, size, value, access.owner))
        elif access.kind is AccessKind.WRITE:
            if self._written:
                self._written(RegisterWritten(self.sim.now, self.path, offset, size, access.value, access.owner))
            self.write(offset, size, access.value)
        else:
            access.response = Response.ACCESS_FAULT

    def footprint(self, address: int, size: int) -> Footprint:
        """What an access touches, as an action: each register of which it covers something."""
        found = dict.fromkeys(self._at(byte) for byte in range(address, address + size, 4))
        return tuple((self.path, register.name) for register in found if register is not None)

    def peek(self, address: int, size: int) -> int:
        return self.read(address % RegisterMap.SIZE, size)

    def poke(self, address: int, size: int, value: int) -> None:
        register = self._at(address)
        if register is not None:
            shift = 8 * (address % RegisterMap.SIZE - register.offset)
            mask = (1 << 8 * size) - 1 << shift
            self.put(register, self.value(register) & ~mask | value << shift & mask)

    def read(self, offset: int, size: int) -> int:
        """What a read of `size` bytes (4 or 8) at `offset` returns now."""
        register = self._at(offset)
        if size == 8 and (register is None or register.size == 4):
            high = self.read(offset + 4, 4)
            return high << 32 | self.read(offset, 4)
        if register is None:
            return 0
        if register.name in self._unreadable:
            return (1 << 8 * size) - 1
        return int(self.value(register)) >> 8 * (offset - register.offset) & (1 << 8 * size) - 1

    def write(self, offset: int, size: int, value: int) -> None:
        """Do what a write of `size` bytes (4 or 8) at `offset` does."""
        register = self._at(offset)
        if size == 8 and (register is None or register.size == 4):
            self.write(offset + 4, 4, value >> 32)
            self.write(offset, 4, value)
        elif register is not None and register.present(self.capabilities):
            shift = 8 * (offset - register.offset)
            self._store(register, value << shift, (1 << 8 * size) - 1 << shift)

    def _store(self, register: Register[Word], value: int, covered: int) -> None:
        old = self.value(register)
        if "busy" in register.layout.FIELDS and register.layout.FIELDS["busy"].get(old):
            return
        if (locked := self._locks.get(register.name)) and locked():
            return
        new: int = register.layout.written(old, value, covered)
        if rule := self._rules.get(register.name):
            new = rule(old, new)
        if new != old:
            self._change(register, new)
        for bits, hook in self._hooks.get(register.name, ()):
            if bits & covered:
                hook(old, self.value(register))

    def _at(self, address: int) -> Register[Word] | None:
        return REGISTERS.at(address % RegisterMap.SIZE)

    # --- What registers do to one another ----------------------------------------------------------------------------

    def _limit(self, base: Register[QueueBase], index: Register[QueueIndex]) -> None:
        """Keep software's index within the queue: only LOG2SZ bits of it exist."""
        self._rules[index.name] = lambda old, new: new & self.value(base).entries - 1
        self.on_write(base, lambda old, new: self.put(index, self.value(index) & new.entries - 1))

    def _shadow_overflow(self, old: Word, new: Word) -> None:
        overflow = self.value(IOHPMCYCLES).of_
        for n, register in IOHPMEVT.items():
            overflow |= Iohpmevt(self.value(register)).of_ << n
        self.put(IOCOUNTOVF, overflow)

    def _debug(self, old: TrReqCtl, new: TrReqCtl) -> None:
        if new.go_busy:
            raise NotImplementedCapability("DBG")
