"""What the CPU yields while it carries out an operation: the waits that a `Sequencer` goes through."""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar, final

from cosim.sim.ranks import Stage


@final
class Delay:
    """Let `ps` picoseconds pass, at least one; nothing ends it earlier. `stage` ranks what follows among its time.

    It holds no state: one made beforehand may be yielded any number of times.
    """

    __slots__ = ("ps", "stage")

    def __init__(self, ps: int, stage: Stage = Stage.CPU) -> None:
        self.ps = ps if ps > 1 else 1
        self.stage = stage


@final
class Wait:
    """Wait until the time `until` (None is for ever), unless something ends it earlier.

    An *open* wait ends when something comes up (`Sequencer.poke`); any wait ends at `Sequencer.proceed`.
    """

    __slots__ = ("opened", "until")

    def __init__(self, until: int | None, *, opened: bool) -> None:
        self.until = until
        self.opened = opened


@final
class Leave:
    """The thread has left the CPU: asleep, or at the end of the run queue."""

    __slots__ = ()


IDLE = Wait(None, opened=True)
BLOCKED = Wait(None, opened=False)
"""Until something leaves the store buffer."""
STALLED = Wait(None, opened=True)
"""The same where a schedule holds what has to leave: interrupts and other threads go on meanwhile."""
LEAVE = Leave()

T = TypeVar("T")

Step = Delay | Wait | Leave

Steps = Generator[Step, None, T]
"""Part of what a CPU does, with what comes of it."""
