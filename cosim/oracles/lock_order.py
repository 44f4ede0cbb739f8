"""No locks can deadlock: they have one order, no interrupt handler waits for whom it interrupts, and all come back."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

from cosim.events import KernelLog, LockAsked, LockGiven, LockTaken, ThreadEnded
from cosim.oracles.oracle import Oracle, exact


class _Seen(NamedTuple):
    who: str
    time: int

    def __str__(self) -> str:
        return f"by {self.who} at {exact(self.time)}"


class LockOrder(Oracle):
    """Reports what can deadlock, once for each signature, whether or not it did.

    A class of locks is the field that they are declared as. The classes that a thread holds come *before* the one that
    it goes for, and no class may come before itself. A class that an interrupt handler has taken is *for interrupts*;
    no class that comes after one of those, nor one of those itself, may ever be held where an interrupt can come. A
    lock is given back by the thread that has it, and before that ends.

    Source: "Runtime locking correctness validator" (Documentation/locking/lockdep-design.rst).
    """

    name = "lock-order"
    watches: ClassVar = {
        LockAsked: "asked",
        LockTaken: "taken",
        LockGiven: "given",
        ThreadEnded: "ended",
        KernelLog: "logged",
    }

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self._held: dict[str, dict[int, LockAsked]] = {}
        self._holder: dict[int, str] = {}
        self._after: dict[str, dict[str, _Seen]] = {}
        self._in_interrupt: dict[str, _Seen] = {}
        self._interruptible: dict[str, _Seen] = {}
        self._reported: set[str] = set()
        self._dead: set[str] = set()

    def asked(self, event: LockAsked) -> None:
        held = self._held.setdefault(event.who, {})
        new, seen = event.lock_class, _Seen(event.who, event.time)
        if event.address in held:
            self._break(event, f"{new} is taken again by its holder", f"{new} is taken again by its own holder")
        grown = False
        for other in held.values():
            old = other.lock_class
            if old == new or new in self._after.get(old, ()):
                continue
            if path := self._path(new, old):
                first, second = sorted((old, new))
                self._break(
                    event,
                    f"{first} and {second} are taken under one another",
                    f"possible deadlock: {new} is taken under {old}, but {' -> '.join(path)} was seen before "
                    f"({self._after[path[0]][path[1]]})",
                )
            self._after.setdefault(old, {})[new] = seen
            grown = True
        for where, yes in ((self._in_interrupt, event.in_interrupt), (self._interruptible, event.interruptible)):
            if yes and new not in where:
                where[new] = seen
                grown = True
        if grown:
            self._judge_interrupts(event)
        held[event.address] = event

    def taken(self, event: LockTaken) -> None:
        self._holder[event.address] = event.who

    def given(self, event: LockGiven) -> None:
        holder = self._holder.pop(event.address, "")
        if holder != event.who:
            whose = f"which {holder} has" if holder else "which nobody has"
            self._break(
                event,
                f"{event.lock_class} is given back {'by another' if holder else 'though nobody has it'}",
                f"{event.who} gives back {event.lock_class}, {whose}, at {exact(event.time)}",
            )
        self._held.get(holder, {}).pop(event.address, None)

    def logged(self, event: KernelLog) -> None:
        if event.level == "oops":
            self._dead.add(event.who)

    def ended(self, event: ThreadEnded) -> None:
        died = bool(event.reason) or event.who in self._dead
        self._dead.discard(event.who)
        for held in self._held.pop(event.who, {}).values():
            if not died:
                self._break(
                    event,
                    f"{held.lock_class} is kept by a thread that has ended",
                    f"{event.who} has ended at {exact(event.time)} and keeps {held.lock_class}",
                )

    def _judge_interrupts(self, event: LockAsked) -> None:
        for taken, handler in self._in_interrupt.items():
            for held, thread in self._interruptible.items():
                path = [taken] if held == taken else self._path(taken, held)
                if path:
                    self._break(
                        event,
                        f"{held} is held where an interrupt may come, and its handler may wait for it by {taken}",
                        f"possible deadlock: {held} is held where an interrupt may come ({thread}), and a handler that "
                        f"takes {' -> '.join(path)} ({handler}) may wait for it",
                    )

    def _break(self, event: LockAsked | LockGiven | ThreadEnded, signature: str, message: str) -> None:
        if signature not in self._reported:
            self._reported.add(signature)
            self.violated(message, event.time, event.time, signature=signature)

    def _path(self, start: str, end: str) -> list[str]:
        """How `end` was reached from `start`, each taken under the one before; empty if never."""
        paths, seen = [[start]], {start}
        while paths:
            path = paths.pop()
            for after in self._after.get(path[-1], ()):
                if after == end:
                    return [*path, after]
                if after not in seen:
                    seen.add(after)
                    paths.append([*path, after])
        return []
