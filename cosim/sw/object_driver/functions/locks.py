"""Spinlocks (include/linux/spinlock_api_smp.h): a word of 4 bytes in the driver's structure, taken in turn."""

from __future__ import annotations

from collections.abc import Mapping

from cosim.sim.operations import Amo, Atomic, Load, Park, Store
from cosim.sw.kernel.kernel import Kernel
from cosim.sw.kernel.locks import IrqsOff, PreemptOff, SpinLock, Spinning
from cosim.sw.object_driver.call import SIE, Call, Function

NEXT = 16
"""The next ticket is in the upper half of the word, the one that is served in the lower."""
HALF = 0xFFFF


class WordLock(SpinLock):
    """A ticket lock of 4 bytes (include/asm-generic/ticket_spinlock.h); `kind` is what its order is kept under."""

    __slots__ = ("kind",)
    kind: str

    def __init__(self, address: int, kind: str = "") -> None:
        super().__init__(address)
        object.__setattr__(self, "kind", kind)

    @property
    def lock_class(self) -> str:
        """Where the lock is."""
        return self.kind

    async def take(self, *, spin: bool) -> None:
        """Wait for the thread's turn, on the CPU or off it."""
        old = int(await Atomic(Amo.ADD, self.address, 1 << NEXT, 4, part="lock"))
        ticket = old >> NEXT
        while True:
            value = await Load(self.address, 4, acquire=True, part="lock")
            if value & HALF == ticket:
                return
            await Park(self.address, int(value), 4, mask=HALF, spin=spin, part="lock")

    async def give(self) -> None:
        """Serve the next number."""
        serving = int(await Load(self.address, 4, part="lock")) & HALF
        await Store(self.address, serving + 1 & HALF, 2, release=True, part="lock")


def _section(call: Call, around: type[PreemptOff] | type[IrqsOff]) -> Spinning:
    machine = call.machine
    kernel: Kernel = machine.kernel
    address = machine.variable(call[0])
    return Spinning(kernel, WordLock(address, machine.lock_class(address)), around(kernel))


async def _lock(call: Call) -> None:
    await _section(call, PreemptOff).enter(call.hart.context)


async def _unlock(call: Call) -> None:
    _must_hold(call, call.hart.context.preempt)
    await _section(call, PreemptOff).leave(call.hart.context)


async def _lock_irqsave(call: Call) -> int:
    enabled = not call.hart.context.irq
    await _section(call, IrqsOff).enter(call.hart.context)
    return SIE if enabled else 0


async def _unlock_irqrestore(call: Call) -> None:
    _must_hold(call, call.hart.context.irq)
    await _section(call, IrqsOff).leave(call.hart.context)


def _must_hold(call: Call, sections: int) -> None:
    """Oops if the thread does not hold the lock that it gives back, or has taken it the other way."""
    address = call.machine.variable(call[0])
    if not sections or not any(held.address == address for held in call.hart.context.held):
        raise call.oops("the lock is not held, or was taken otherwise")


FUNCTIONS: Mapping[str, Function] = {
    "_raw_spin_lock": _lock,
    "_raw_spin_unlock": _unlock,
    "_raw_spin_lock_irqsave": _lock_irqsave,
    "_raw_spin_unlock_irqrestore": _unlock_irqrestore,
}
