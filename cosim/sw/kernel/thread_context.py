"""What the kernel knows of each thread by itself: how deep it is in which sections, and the locks it holds.

Only the thread itself changes its context, as `current` and its CPU's preempt count are in Linux; the scheduler reads
it, as Linux's does.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from cosim.units.quantities import format_time


@dataclass(frozen=True, slots=True)
class Held:
    """A lock that is held: its class, the lock itself, and whether its holder may not sleep."""

    lock_class: str
    address: int
    atomic: bool


@dataclass(slots=True)
class ThreadContext:
    """Nesting depths of one thread; an interrupt handler counts in the context in which it runs."""

    thread: str
    cpu: str
    rcu: int = 0
    """RCU read sections."""
    preempt: int = 0
    """Sections that keep the thread on its CPU, spinlocks among them."""
    irq: int = 0
    """Sections with interrupts masked."""
    hardirq: int = 0
    """Interrupt handlers."""
    held: list[Held] = field(default_factory=list)
    """The locks that the thread holds; the last may be a lock that it still waits for."""
    waits_since: int | None = None
    """Since when it has waited for the last one, in picoseconds; None if it does not wait."""

    @property
    def atomic(self) -> str:
        """Why the thread may not sleep; empty if it may."""
        if self.hardirq:
            return "in an interrupt handler"
        if self.irq:
            return "with interrupts masked"
        if self.preempt:
            return "with preemption disabled"
        if self.rcu:
            return "in an RCU read section"
        return ""


@dataclass(frozen=True, slots=True)
class Deadlock:
    """A thread waits for a lock that will never be its own, since `since`; the holder may have `ended` with it."""

    thread: str
    lock_class: str
    holder: str
    ended: bool
    since: int

    def __str__(self) -> str:
        whose = f"{self.holder} took and never gave back" if self.ended else f"{self.holder} holds"
        since = format_time(self.since, 6)
        return f"deadlock: {self.thread} waits for {self.lock_class}, which {whose}, since {since}"


def deadlocks(contexts: Collection[ThreadContext], lost: Mapping[int, str]) -> list[Deadlock]:
    """Every thread that waits for a lock that will never be its own.

    `lost` are locks, by address, that a thread has taken and ended without giving back.
    """
    wanted = {context.thread: context.held[-1] for context in contexts if context.waits_since is not None}
    holders = {
        held.address: context.thread
        for context in contexts
        for held in (context.held[:-1] if context.thread in wanted else context.held)
    }

    def never(thread: str) -> bool:
        seen = set[str]()
        while thread in wanted and thread not in seen:
            seen.add(thread)
            address = wanted[thread].address
            if address not in holders:
                return address in lost
            thread = holders[address]
        return thread in seen

    found = []
    for context in contexts:
        if never(context.thread):
            held = wanted[context.thread]
            holder = holders.get(held.address, "")
            since = context.waits_since or 0
            whose = holder or lost[held.address]
            found.append(Deadlock(context.thread, held.lock_class, whose, not holder, since))
    return found
