"""A call of one of the kernel's functions by the driver's code."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from cosim.sim.operations import Oops
from cosim.sw.object_driver.accesses import Accesses
from cosim.sw.object_driver.machine import Machine

ARGUMENTS = 10
"""The first register of arguments: a0."""
SIE = 2
"""sstatus.SIE: interrupts are enabled."""


class Call:
    """A call of a function of the kernel by the driver: ``call[0]`` is the first argument."""

    __slots__ = ("hart", "name", "pc")

    def __init__(self, hart: Accesses, name: str, pc: int) -> None:
        self.hart = hart
        self.name = name
        self.pc = pc

    def __getitem__(self, number: int) -> int:
        """The argument of that number, from 0; from the ninth on they are on the stack."""
        hart = self.hart
        if number < 8:
            return hart.x[ARGUMENTS + number]
        offset = hart.x[2] + 8 * (number - 8) - hart.low
        return int.from_bytes(hart.stack[offset : offset + 8], "little")

    def signed(self, number: int) -> int:
        """The same, an int of C."""
        value = self[number] & 0xFFFF_FFFF
        return value - (value >> 31 << 32)

    @property
    def machine(self) -> Machine:
        return self.hart.machine

    @property
    def where(self) -> str:
        """The line of the call."""
        return self.machine.image.place(self.pc)

    @property
    def spot(self) -> str:
        """The line of the call, and its function."""
        return self.machine.image.spot(self.pc)

    @property
    def caller(self) -> str:
        """The function that calls."""
        return self.machine.image.function(self.pc)

    async def again(self, entry: int, *arguments: int) -> int:
        """Call a function of the driver; what is in a0 when it returns."""
        result = await self.hart.again(entry, *arguments)
        self.hart.reached(self.pc)
        return result

    async def load(self, address: int, size: int) -> int:
        """Load as the driver would itself."""
        value = self.hart.load(address, -1, size, self.pc)
        return int(value if type(value) is int else await value)

    async def store(self, address: int, value: int, size: int) -> None:
        """Store as the driver would itself."""
        asked = self.hart.store(address, -1, value, -1, size, self.pc)
        if asked is not None:
            await asked

    def oops(self, what: str) -> Oops:
        """The kernel dies in this function."""
        return self.hart.oops(self.pc, f"{self.name}: {what}")


Function = Callable[[Call], Awaitable[int | None]]
"""What a function of the kernel does; its result goes into a0."""
