"""Threads as a CPU sees them: a coroutine, its clock, and what keeps it on or off the CPU."""

from __future__ import annotations

from enum import Enum, auto

from cosim.events import ThreadSpent
from cosim.sim.cpu_steps import Steps
from cosim.sim.operations import Body, Instant, Op, ThreadView
from cosim.sim.places import place_of
from cosim.sim.probe import Probe


class ThreadState(Enum):
    """Where a thread is in its life."""

    READY = auto()
    RUNNING = auto()
    ASLEEP = auto()
    DEAD = auto()


class Thread:
    """A thread of one CPU, or an interrupt handler for as long as it runs.

    `parts` splits its life into latency parts, up to `marked`: `spend` counts what has passed since, so that the parts
    add up to its age at any time. `doing` is the part that what it does on its CPU at present will be counted for.
    """

    __slots__ = (
        "body",
        "cpu",
        "doing",
        "handler",
        "irq_off",
        "life",
        "marked",
        "name",
        "parts",
        "preempt_off",
        "priority",
        "state",
        "told",
        "wake_part",
        "woken_at",
    )

    def __init__(
        self,
        name: str,
        cpu: str,
        body: Body,
        now: int,
        *,
        priority: int = 0,
        handler: bool = False,
        told: Probe[ThreadSpent],
    ) -> None:
        self.name = name
        self.cpu = cpu
        self.body = body
        self.priority = priority
        self.handler = handler
        self.told = told
        self.state = ThreadState.READY
        self.parts: dict[str, int] = {}
        self.marked = now
        self.doing = "cpu"
        self.preempt_off = 0
        self.irq_off = 0
        self.wake_part = "sleep"
        self.woken_at = now
        self.life: Steps[None]

    @property
    def view(self) -> ThreadView:
        """What others may know of it."""
        return ThreadView(self.name, self.cpu)

    def spend(self, part: str, now: int) -> None:
        """Count the time since the last call for `part`."""
        spent = now - self.marked
        if spent:
            self.parts[part] = self.parts.get(part, 0) + spent
            began, self.marked = self.marked, now
            if self.told:
                self.told(ThreadSpent(now, self.name, part, began))

    def clock(self) -> Instant:
        """The present and the parts so far."""
        return Instant(self.marked, dict(self.parts))

    def clock_at(self, now: int) -> Instant:
        """The clock in the middle of an operation: what has passed since `marked` counts for what takes it now."""
        part = {ThreadState.READY: "preempted", ThreadState.ASLEEP: self.wake_part}.get(self.state, self.doing)
        passed = now - self.marked
        return Instant(now, {**self.parts, part: self.parts.get(part, 0) + passed} if passed else dict(self.parts))

    def place(self, op: Op[object]) -> str:
        """Where in the source the thread awaits `op`, which it does at present; see `places`."""
        return op.place or place_of(self.body)

    def __repr__(self) -> str:
        return f"<Thread {self.name} {self.state.name.lower()}>"
