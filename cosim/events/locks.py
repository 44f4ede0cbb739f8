"""What threads tell of locks, and of the CPU that they leave: who may wait for whom."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class LockAsked:
    """A thread goes for a lock, and waits if another has it; `LockTaken` follows.

    `lock_class` is the field that the lock is declared as. `in_interrupt` says that an interrupt handler asks,
    `interruptible` that one may come on this CPU while the lock is held.
    """

    time: int
    who: str
    lock_class: str
    address: int
    in_interrupt: bool
    interruptible: bool


@dataclass(slots=True)
class LockTaken:
    """A thread has the lock that it has asked for."""

    time: int
    who: str
    lock_class: str
    address: int


@dataclass(slots=True)
class LockGiven:
    """A thread gives a lock back; `who` is who does so, whoever had taken it."""

    time: int
    who: str
    lock_class: str
    address: int


@dataclass(slots=True)
class FellAsleep:
    """A thread has left the CPU until something wakes it; `why_not` says why it must not, empty if it may.

    That is what the CPU knows: ``with interrupts masked``, ``with preemption disabled``.
    """

    time: int
    who: str
    why_not: str
