"""Spinlocks and mutexes: words in simulated memory, taken in turn, with Linux's ordering and its rules.

Taking a lock is an acquire and giving it back a release, no more: neither is a full barrier.
"""

from __future__ import annotations

from types import TracebackType

from cosim.events import LockAsked, LockGiven, LockTaken
from cosim.sim.operations import IrqDisable, IrqEnable, PreemptDisable, PreemptEnable
from cosim.sw.kernel.errors import KernelError
from cosim.sw.kernel.objects import Object, Ordering, cell
from cosim.sw.kernel.services import Services
from cosim.sw.kernel.thread_context import Held, ThreadContext


class TicketLock(Object):
    """A thread takes the next number and waits until that number is served; 0, 0 is free."""

    __slots__ = ()
    next = cell()
    serving = cell()

    @property
    def lock_class(self) -> str:
        """The name that its order is kept under: the field it is declared as, else its kind."""
        return repr(self.member) if self.member else type(self).__name__

    async def take(self, *, spin: bool) -> None:
        """Wait for the thread's turn, on the CPU or off it."""
        ticket = int(await self.next.fetch_add(1, Ordering.RELAXED, part="lock"))
        await self.serving.wait_until(lambda serving: serving == ticket, spin=spin, part="lock")

    async def give(self) -> None:
        """Serve the next number."""
        serving = await self.serving.load(part="lock")
        await self.serving.store(serving + 1, release=True, part="lock")


class SpinLock(TicketLock):
    """A lock for short sections that do not sleep; its holder cannot be preempted."""

    __slots__ = ()


class Mutex(TicketLock):
    """A lock whose holder may sleep; a waiter leaves the CPU to other threads."""

    __slots__ = ()


class Section:
    """What ``async with`` enters and leaves.

    A section is left on normal exit and on a `KernelError`, which is an ordinary error return. A routine that oopses
    or is abandoned stays inside: the lock stays held.
    """

    __slots__ = ("context", "kernel")

    def __init__(self, kernel: Services) -> None:
        self.kernel = kernel
        self.context: ThreadContext

    async def __aenter__(self) -> None:
        self.context = await self.kernel.context()
        await self.enter(self.context)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if kind is None or isinstance(error, KernelError):
            await self.leave(self.context)

    async def enter(self, context: ThreadContext) -> None:
        """Begin the section."""
        raise NotImplementedError

    async def leave(self, context: ThreadContext) -> None:
        """End the section."""
        raise NotImplementedError


class Unguarded(Section):
    """A section that guards nothing."""

    __slots__ = ()

    def __init__(self) -> None:
        """Of no kernel."""

    async def __aenter__(self) -> None:
        """Nothing."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """Nothing."""


class PreemptOff(Section):
    """preempt_disable .. preempt_enable."""

    __slots__ = ()

    async def enter(self, context: ThreadContext) -> None:
        context.preempt += 1
        await PreemptDisable()

    async def leave(self, context: ThreadContext) -> None:
        context.preempt -= 1
        self.kernel.eased(context)
        await PreemptEnable()


class IrqsOff(Section):
    """local_irq_save .. local_irq_restore: interrupts of this CPU masked, and no preemption."""

    __slots__ = ()

    async def enter(self, context: ThreadContext) -> None:
        context.irq += 1
        await IrqDisable()

    async def leave(self, context: ThreadContext) -> None:
        context.irq -= 1
        self.kernel.eased(context)
        await IrqEnable()


class _Locked(Section):
    __slots__ = ("lock",)

    def __init__(self, kernel: Services, lock: TicketLock) -> None:
        super().__init__(kernel)
        self.lock = lock

    def begin(self, context: ThreadContext, *, atomic: bool) -> None:
        lock = self.lock
        if asked := self.kernel.lock_probes.asked:
            in_interrupt = bool(context.hardirq)
            interruptible = not (in_interrupt or context.irq)
            asked(
                LockAsked(
                    self.kernel.sim.now,
                    context.thread,
                    lock.lock_class,
                    int(lock.address),
                    in_interrupt,
                    interruptible,
                )
            )
        context.held.append(Held(lock.lock_class, int(lock.address), atomic))
        context.waits_since = self.kernel.sim.now

    def got(self, context: ThreadContext) -> None:
        context.waits_since = None
        if taken := self.kernel.lock_probes.taken:
            lock = self.lock
            taken(LockTaken(self.kernel.sim.now, context.thread, lock.lock_class, int(lock.address)))

    async def give(self) -> None:
        """Give the lock back, whoever has it."""
        if given := self.kernel.lock_probes.given:
            who, lock = (await self.kernel.context()).thread, self.lock
            given(LockGiven(self.kernel.sim.now, who, lock.lock_class, int(lock.address)))
        await self.lock.give()

    def end(self, context: ThreadContext) -> None:
        address = int(self.lock.address)
        for index in reversed(range(len(context.held))):
            if context.held[index].address == address:
                del context.held[index]
                return


class Spinning(_Locked):
    """spin_lock .. spin_unlock inside `around`: with preemption off, or with interrupts masked (spin_lock_irqsave)."""

    __slots__ = ("around",)

    def __init__(self, kernel: Services, lock: SpinLock, around: Section) -> None:
        super().__init__(kernel, lock)
        self.around = around

    async def enter(self, context: ThreadContext) -> None:
        await self.around.enter(context)
        self.begin(context, atomic=True)
        await self.lock.take(spin=True)
        self.got(context)

    async def leave(self, context: ThreadContext) -> None:
        await self.give()
        self.end(context)
        await self.around.leave(context)


class Locked(_Locked):
    """mutex_lock .. mutex_unlock."""

    __slots__ = ()

    async def enter(self, context: ThreadContext) -> None:
        self.kernel.must_be_able_to_sleep(context, f"taking {self.lock.lock_class}")
        self.begin(context, atomic=False)
        await self.lock.take(spin=False)
        self.got(context)

    async def leave(self, context: ThreadContext) -> None:
        await self.give()
        self.end(context)
