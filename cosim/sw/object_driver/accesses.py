"""What a driver's code does to memory: each access that another agent could see is an operation.

What is no operation costs instructions alone: the stack of the call, constants, and the block of the task.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from cosim.events import LineReached
from cosim.object.inlined import sends
from cosim.sim.loaded import Loaded
from cosim.sim.operations import Load, MmioRead, MmioWrite, Oops, Op, Store, Work
from cosim.spec.page import PAGE_LG2
from cosim.spec.register_map import CQH
from cosim.sw.calls import Calls, Measured
from cosim.sw.kernel.objects import LOWEST_VALID
from cosim.sw.kernel.thread_context import ThreadContext
from cosim.sw.object_driver.machine import APART, STACK, STACKS, TASKS, Machine
from cosim.sw.object_driver.pages import END, FIRST
from cosim.sw.object_driver.patience import Wait
from cosim.sw.object_driver.task import Task

HIGH_HALF = 1 << 63


class Accesses:
    """Registers and stack of one call into the driver's code, and what it loads and stores."""

    def __init__(self, machine: Machine, context: ThreadContext, calls: Calls) -> None:
        self.machine = machine
        self.context = context
        self.slot = machine.take_slot()
        self.x = [0] * 32
        self.at = [-1] * 32
        self.low = STACKS + self.slot * APART
        self.high = self.low + STACK - 8
        self.stack = bytearray(STACK)
        self.spilled: dict[int, int] = {}
        self.task = TASKS + self.slot * APART
        self.block = Task(machine.kernel, machine.layout, context)
        self.retired = 0
        self.paid = 0
        self.part = ""
        """What all time counts for at present, if not for what each operation is."""
        self.wait = Wait()
        self._calls = calls
        self._cost = machine.costs.instruction
        self._slot_words: dict[int, int] = {}
        self._fence: tuple[str, int, Measured] | None = None
        self._reached = machine.kernel.sim.probe(LineReached)
        self.entry = 0
        """The function that the core has called."""
        self._sending = -1
        """The instruction that has called the sender which runs now; -1 if the core has."""
        self.x[2] = self.low + STACK - 16
        self.x[4] = self.task

    async def again(self, entry: int, *arguments: int) -> int:
        """Call a function of the driver from one of the kernel's that the driver has called."""
        raise NotImplementedError

    def owes(self) -> int:
        """What the instructions since the last operation cost."""
        owed, self.paid = self.retired - self.paid, self.retired
        return owed * self._cost

    def oops(self, pc: int, what: str) -> Oops:
        """The kernel dies here, of `what`."""
        image = self.machine.image
        oops = Oops(f"{image.place(pc)}, in {image.function(pc)}: {what}")
        oops.placed = True
        return oops

    def reserve(self, size: int) -> int:
        """Bytes on the stack for what the caller of a function keeps there; they begin as zeroes."""
        self.x[2] -= -(-size // 16) * 16
        return self.x[2]

    def local(self, address: int, size: int) -> int:
        """What stands on the stack."""
        return int.from_bytes(self.stack[address - self.low : address - self.low + size], "little")

    def put_local(self, address: int, size: int, value: int) -> None:
        """Put something on the stack."""
        self.stack[address - self.low : address - self.low + size] = (value & (1 << 8 * size) - 1).to_bytes(
            size, "little"
        )

    # --- Memory -------------------------------------------------------------------------------------------------------

    def load(self, address: int, at: int, size: int, pc: int) -> Any:
        """See `Hart`: a constant at once, else an operation to be awaited."""
        machine = self.machine
        if address >= HIGH_HALF:
            if not machine.data_start <= address < machine.data_end:
                return self._load_private(address, size, pc)
            address = machine.variable(address)
        page = address >> PAGE_LG2
        if page in machine.registers:
            return self._read_register(address, size, pc)
        if address < LOWEST_VALID or address % size:
            raise self.oops(pc, wrong("load", address, size))
        if page in machine.unset.pages:
            self.must_be_set(address, size, pc)
        op = Load(address if at < 0 else Loaded(address, at), size, part=self.part or "cpu")
        return self.asked(op, pc)

    def store(self, address: int, at: int, value: int, value_at: int, size: int, pc: int) -> Any:
        """See `Hart`."""
        machine = self.machine
        if address >= HIGH_HALF:
            if not machine.data_start <= address < machine.data_end:
                return self._store_private(address, size, value, pc)
            address = machine.variable(address)
        page = address >> PAGE_LG2
        if page in machine.registers:
            hardware = machine.registers[page]
            machine.watch.written(hardware, address, value)
            return self.asked(MmioWrite(address, value, size, part=self.part or "mmio"), pc)
        if address < LOWEST_VALID or address % size:
            raise self.oops(pc, wrong("store", address, size))
        if page in machine.unset.pages:
            machine.unset.set(address, size)
        held = value if value_at < 0 else Loaded(value, value_at)
        op = Store(address if at < 0 else Loaded(address, at), held, size, part=self.part or "cpu")
        if page in machine.watch.pages:
            return self._into_ring(op, address, value, pc)
        return self.asked(op, pc)

    def _load_private(self, address: int, size: int, pc: int) -> int:
        """Load what nobody else touches, or what never changes."""
        machine = self.machine
        if address in machine.image.code:
            return machine.image.code.read(address, size)
        if self.low <= address <= self.low + STACK - size:
            return self.local(address, size)
        if (held := self.block.load(address - self.task, size)) is not None:
            return held
        if address in machine.given:
            return machine.given.read(address, size)
        if FIRST <= address < END:
            return machine.descriptors.load(address, size)
        raise self.nowhere(address, pc)

    def _store_private(self, address: int, size: int, value: int, pc: int) -> Awaitable[None] | None:
        """Store to what nobody else touches."""
        if self.low <= address <= self.low + STACK - size:
            self.put_local(address, size, value)
        elif self.task <= address < self.task + APART:
            self.reached(pc)
            return self.block.store(address - self.task, size, value)
        elif FIRST <= address < END:
            self.machine.descriptors.store(address, size, value)
        elif address in self.machine.image.code or address in self.machine.given:
            raise self.oops(pc, f"store to the constant at {address:#x}")
        else:
            raise self.nowhere(address, pc)
        return None

    def nowhere(self, address: int, pc: int) -> Oops:
        """An address of the kernel's half at which there is nothing for this call."""
        if STACKS <= address < TASKS:
            return self.oops(pc, f"access to {address:#x}, on the stack of another call, which is not modelled")
        if self.task <= address < self.task + APART:
            offset, task = address - self.task, self.machine.image.info.structures.get("task_struct")
            member = f"task_struct.{task.member_at(offset)}" if task else f"offset {offset:#x} of the task's block"
            return self.oops(pc, f"reads {member}, which nobody has set")
        return self.oops(pc, f"access to {address:#x}, where nothing is")

    def must_be_set(self, address: int, size: int, pc: int) -> None:
        found = self.machine.unset.at(address, size)
        if found is not None:
            what, offset = found
            known = self.machine.image.info.structures.get(what)
            member = f"{what}.{known.member_at(offset)}" if known else f"{what} at offset {offset:#x}"
            raise self.oops(pc, f"reads {member}, which nobody has set")

    def asked(self, op: Op[Any], pc: int) -> Any:
        """An operation at a line of the driver, behind the work that was done before it."""
        op.place = self.machine.image.spot(pc)
        if not isinstance(op, (MmioRead, Load)):
            self.wait.over()
        owed = self.owes()
        return self._behind_work(owed, op) if owed else op

    def reached(self, pc: int) -> None:
        """Tell who watches that what comes now is of this line, beside the accesses that have it themselves."""
        if self._reached:
            self._tell(self.machine.image.spot(pc))

    def _tell(self, place: str) -> None:
        self._reached(LineReached(self.machine.kernel.sim.now, self.context.thread, place))

    async def _behind_work(self, owed: int, op: Op[Any]) -> Any:
        await Work(owed, part=self.part or "cpu")
        return await op

    async def _read_register(self, address: int, size: int, pc: int) -> Loaded:
        machine = self.machine
        hardware = machine.registers[address >> PAGE_LG2]
        part = self.part or ("cq_full" if address - hardware.base == CQH.offset else "mmio")
        now = machine.kernel.sim.now
        if (skipped := self.wait.skipped(now, part)) is not None:
            await skipped
        value: int = await self.asked(MmioRead(address, size, part=part), pc)
        machine.watch.read(hardware, address, value)
        self.wait.read(address, size, int(value), now)
        if self._fence is not None:
            name, target, _ = self._fence
            if name == hardware.name and machine.watch.ring(hardware).consumed >= target:
                await self.fenced()
        return value if isinstance(value, Loaded) else Loaded(value, -1)

    async def _into_ring(self, op: Store, address: int, value: int, pc: int) -> None:
        """A store to the command ring; the one that makes a command whole announces it."""
        watch = self.machine.watch
        ring = watch.pages[address >> PAGE_LG2]
        if ring.holds(address) and op.size == 8:
            self._slot_words[address] = value
            start = address & -16
            first, second = self._slot_words.get(start), self._slot_words.get(start + 8)
            if first is not None and second is not None:
                self._slot_words.clear()
                if self._reached:
                    self._tell(self._asked_from(pc))
                target = watch.tell(ring, self.context.thread, ring.index(start), (first, second))
                if target is not None:
                    await self.fenced()
                    measured = self._calls.measured("cmd_sync")
                    await measured.__aenter__()
                    self._fence, self.part = (ring.iommu, target, measured), "fence"
        await self.asked(op, pc)

    def _asked_from(self, pc: int) -> str:
        """Where the command is asked for whose slot is filled here."""
        return self.machine.image.sent_from(self._sending if self._sending >= 0 and self.in_sender(pc) else pc)

    def in_sender(self, pc: int) -> bool:
        """Whether the driver itself has called a sender that has this instruction: what the core calls is none."""
        name = self.machine.image.function(pc)
        return sends(name) and name != self.machine.image.function(self.entry)

    async def fenced(self, error: Exception | None = None) -> None:
        """The fence that was waited for, if there is one, is done or given up; or its thread dies of an error."""
        if self._fence is not None:
            measured, self._fence, self.part = self._fence[2], None, ""
            await measured.__aexit__(type(error) if error else None, error, None)


def wrong(what: str, address: int, size: int) -> str:
    if address < LOWEST_VALID:
        return f"null pointer dereference: {what} of {size} bytes at {address:#x}"
    return f"unaligned {what} of {size} bytes at {address:#x}, which is not modelled"
