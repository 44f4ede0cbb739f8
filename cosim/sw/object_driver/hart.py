"""The hart that runs a driver's code on a simulated CPU: its instructions, and its calls of the kernel's functions."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any

from cosim.isa.instruction import Instruction
from cosim.object.image import Nowhere
from cosim.sim.loaded import Loaded
from cosim.sim.operations import Amo, Atomic, Fence, Load, Oops, Work
from cosim.spec.page import PAGE_LG2
from cosim.sw.calls import Calls
from cosim.sw.kernel.locks import IrqsOff
from cosim.sw.kernel.objects import LOWEST_VALID
from cosim.sw.kernel.thread_context import ThreadContext
from cosim.sw.object_driver.accesses import HIGH_HALF, Accesses, wrong
from cosim.sw.object_driver.call import ARGUMENTS, SIE, Call, Function
from cosim.sw.object_driver.machine import STACK, Machine

RETURN = 0xFFFF_FFFF_FFFF_F000
"""Where the driver's functions return to: its caller."""

PATIENCE = 20_000_000
"""Instructions without an access that anybody could see, after which a loop is taken for an endless one."""
LOOKS = 0xFFFF
"""How often that is looked at, in blocks."""

SSTATUS = 0x100

CLOCK = "ktime_get"
"""What a loop that waits calls besides."""

AMOS = {
    "amoswap": Amo.SWAP,
    "amoadd": Amo.ADD,
    "amoand": Amo.AND,
    "amoor": Amo.OR,
    "amoxor": Amo.XOR,
    "amomin": Amo.MIN,
    "amomax": Amo.MAX,
    "amocas": Amo.CAS,
}
SETS = "iorw"


class ObjectHart(Accesses):
    """One call into the driver's code, and the calls that it makes; keeps the contract of `cosim.isa.hart.Hart`."""

    def __init__(
        self, machine: Machine, context: ThreadContext, calls: Calls, functions: Mapping[str, Function]
    ) -> None:
        super().__init__(machine, context, calls)
        self._functions = functions
        self._reserved: tuple[int, int] | None = None

    # --- Calls --------------------------------------------------------------------------------------------------------

    async def call(self, entry: int, *arguments: int) -> int:
        """Call a function of the driver; what is in a0 when it returns. Oops where the kernel would not survive it."""
        x, at, self.entry = self.x, self.at, entry
        x[1] = RETURN
        for number, argument in enumerate(arguments):
            x[ARGUMENTS + number] = int(argument) & (1 << 64) - 1
            at[ARGUMENTS + number] = argument.at if isinstance(argument, Loaded) else -1
        image, outside = self.machine.image, self.machine.image.linked.outside
        blocks, senders = image.blocks, image.senders
        pc, count, before = entry, 0, None
        try:
            while pc != RETURN:
                block = blocks.get(pc)
                if block is None:
                    if pc in outside:
                        pc = await self._outside(outside[pc], before.end - 2 if before else x[1] - 4)
                        continue
                    try:
                        block = image.block(pc)
                    except Nowhere as error:
                        jump = before.end - 2 if before else entry
                        raise self.oops(jump, f"jumps to nowhere: {error}") from None
                before = block
                pc = await block.run(self)
                if pc in senders:
                    self._calls_sender(block.end - 2)
                count += 1
                if not count & LOOKS and self.retired - self.paid > PATIENCE:
                    raise self.oops(
                        pc, f"loops for ever: {PATIENCE} instructions without an access that anybody could see"
                    )
        except Exception as error:
            await self.fenced(error)
            raise
        return x[ARGUMENTS]

    async def again(self, entry: int, *arguments: int) -> int:
        """Call a function of the driver from one of the kernel's that the driver has called."""
        x, at = list(self.x), list(self.at)
        outer = self.entry
        result = await self.call(entry, *arguments)
        self.x[:], self.at[:], self.entry = x, at, outer
        return result

    async def leave(self) -> None:
        """The call is over: pay for what it has executed since its last operation, and give back the stack."""
        await self.fenced()
        if owed := self.owes():
            await Work(owed, part=self.part or "cpu")
        if self._reached:
            self._tell("")
        self.machine.returned[self.context.thread] = self.entry, self.machine.kernel.sim.now
        self.machine.give_slot(self.slot)

    def _calls_sender(self, pc: int) -> None:
        """A sender is called; one that another sender calls sends what that was asked for."""
        if not self.in_sender(pc):
            self._sending = pc

    async def _outside(self, name: str, pc: int) -> int:
        """Carry out a function of the kernel that is called at `pc`; where the driver goes on."""
        back = self.x[1]
        if name != CLOCK:
            self.wait.over()
        if owed := self.owes():
            await Work(owed, part=self.part or "cpu")
        self.reached(pc)
        try:
            result = await self._functions[name](Call(self, name, pc))
        except Oops as oops:
            if not oops.placed:
                oops.more, oops.placed = f" ({self.machine.image.spot(pc)}){oops.more}", True
            raise
        if result is not None:
            self.x[ARGUMENTS] = int(result) & (1 << 64) - 1
            self.at[ARGUMENTS] = result.at if isinstance(result, Loaded) else -1
        return back

    # --- Atomics and fences -------------------------------------------------------------------------------------------

    def _word(self, address: int, size: int, pc: int) -> int:
        """Where an atomic's word stands."""
        if address >= HIGH_HALF:
            if self.low <= address < self.low + STACK:
                raise self.oops(pc, "atomic on the stack, which is not modelled")
            if not self.machine.data_start <= address < self.machine.data_end:
                raise self.nowhere(address, pc)
            address = self.machine.variable(address)
        if address < LOWEST_VALID or address % size:
            raise self.oops(pc, wrong("atomic", address, size))
        if address >> PAGE_LG2 in self.machine.registers:
            raise self.oops(pc, f"atomic on the register at {address:#x}")
        if address >> PAGE_LG2 in self.machine.unset.pages:
            self.must_be_set(address, size, pc)
        return address

    def atomic(
        self,
        instruction: Instruction,
        address: int,
        at: int,
        value: int,
        value_at: int,
        expect: int,
        size: int,
        pc: int,
    ) -> Any:
        """See `Hart`."""
        kind = AMOS.get(instruction.name.partition(".")[0])
        if kind is None:
            raise self.oops(pc, f"{instruction.name} is not modelled")
        address = self._word(address, size, pc)
        op = Atomic(
            kind,
            address if at < 0 else Loaded(address, at),
            value if value_at < 0 else Loaded(value, value_at),
            size,
            expect=expect,
            acquire=instruction.acquire,
            release=instruction.release,
            part=self.part or "cpu",
        )
        return self.asked(op, pc)

    async def load_reserved(self, instruction: Instruction, address: int, at: int, size: int, pc: int) -> Loaded:
        """See `Hart`."""
        address = self._word(address, size, pc)
        op = Load(
            address if at < 0 else Loaded(address, at), size, acquire=instruction.acquire, part=self.part or "cpu"
        )
        value: int = await self.asked(op, pc)
        self._reserved = (address, value)
        return value if isinstance(value, Loaded) else Loaded(value, -1)

    async def store_conditional(
        self, instruction: Instruction, address: int, at: int, value: int, value_at: int, size: int, pc: int
    ) -> int:
        """See `Hart`: it stores if the word is still what the LR has found."""
        reserved, self._reserved = self._reserved, None
        address = self._word(address, size, pc)
        if reserved is None or reserved[0] != address:
            return 1
        stored = value if value_at < 0 else Loaded(value, value_at)
        op = Atomic(
            Amo.CAS,
            address,
            stored,
            size,
            expect=int(reserved[1]),
            acquire=instruction.acquire,
            release=instruction.release,
            part=self.part or "cpu",
        )
        return int(int(await self.asked(op, pc)) != int(reserved[1]))

    async def fence(self, instruction: Instruction, pc: int) -> None:
        """See `Hart`."""
        predecessor, successor = _set(instruction.imm >> 4), _set(instruction.imm)
        if predecessor and successor:
            self.reached(pc)
            tso = instruction.imm >> 8 == 8
            await self.asked(Fence(predecessor, successor, tso=tso, part=self.part or "fence_instr"), pc)

    # --- What leads elsewhere -----------------------------------------------------------------------------------------

    def csr(self, instruction: Instruction, value: int, pc: int) -> Awaitable[int]:
        """See `Hart`: interrupts are masked and unmasked."""
        if instruction.imm != SSTATUS or value & ~SIE or instruction.name[:5] == "csrrw":
            raise self.oops(pc, f"{instruction.name} of the register {instruction.imm:#x}, which is not modelled")
        return self._interrupts(instruction.name, value)

    async def _interrupts(self, name: str, value: int) -> int:
        enabled = not self.context.irq
        if value and name.startswith("csrrc") and enabled:
            await IrqsOff(self.machine.kernel).enter(self.context)
        elif value and name.startswith("csrrs") and not enabled:
            await IrqsOff(self.machine.kernel).leave(self.context)
        return SIE if enabled else 0

    def trap(self, instruction: Instruction, pc: int) -> int:
        """See `Hart`: BUG and WARN are an EBREAK."""
        warns = self.machine.image.linked.bugs.get(pc)
        if instruction.name != "ebreak":
            raise self.oops(pc, f"{instruction.name} is not modelled")
        if not warns:
            raise self.oops(pc, "BUG")
        image = self.machine.image
        self.machine.kernel.log(
            "warning", f"WARNING at {image.place(pc)}, in {image.function(pc)}", self.context.thread
        )
        return pc + instruction.length


def _set(bits: int) -> str:
    return "".join(name for name, bit in zip(SETS, (8, 4, 2, 1), strict=True) if bits & bit)
