"""While exploring: an access asks whether it takes hold; while it is held, its CPU goes on without its thread."""

from __future__ import annotations

from cosim.hw.cpu.scheduler import Scheduler
from cosim.hw.cpu.thread import Thread, ThreadState
from cosim.sim.actions import Action
from cosim.sim.cpu_steps import Steps, Wait
from cosim.sim.footprints import words
from cosim.sim.operations import Atomic, Load, Op, Touch
from cosim.sim.transport import Access


def ask(cpu: Scheduler, thread: Thread, op: Load | Atomic, awaited: Op[object]) -> Steps[None]:
    """Wait until a load or an atomic may take hold, which is all or part of what the thread has awaited.

    One that is held has not been executed: the CPU takes interrupts before it, and other threads have the CPU as if
    the thread's slice had ended. When it may ask again, its order is looked at anew.
    """
    changes, touched = isinstance(op, Atomic), words(op.address, op.size)
    if isinstance(op, Atomic):
        touched += op.touches
    hold = _Hold(cpu, thread)
    action = Action(
        f"{thread.name}.{'amo' if changes else 'ld'}",
        thread.name,
        touched,
        changes,
        hold.over,
        op.size,
        place_of(cpu, thread, awaited),
    )
    while not cpu.sim.actions.attempt(action):
        yield from hold.others_go_on(op.part)
        yield from cpu.stall(thread, op, op.part)


def touch(cpu: Scheduler, thread: Thread, op: Touch) -> Steps[None]:
    """Wait until what no word stands for may take hold: between two instructions, so that the CPU goes on likewise."""
    hold = _Hold(cpu, thread)
    agent, place = f"{thread.name}.{op.verb}", place_of(cpu, thread, op)
    action = Action(agent, thread.name, op.touches, op.changes, hold.over, 0, place)
    while not cpu.sim.actions.attempt(action):
        yield from hold.others_go_on(op.part)


def ask_to_read(cpu: Scheduler, thread: Thread, op: Op[object], access: Access) -> Steps[None]:
    """Wait until the read of a register may take hold. It has left: nothing else is executed until it is back."""
    hold = _Hold(cpu, thread)
    footprint = cpu.touched(access.address, access.size)
    agent, place = f"{thread.name}.mr", place_of(cpu, thread, op)
    action = Action(agent, thread.name, footprint, False, hold.over, access.size, place)
    while not cpu.sim.actions.attempt(action):
        yield from hold.nothing_goes_on()


def place_of(cpu: Scheduler, thread: Thread, op: Op[object]) -> str:
    """Where in the source the thread awaits `op`; empty if nobody is told of effects, since frames cost time."""
    return thread.place(op) if cpu.sim.exploring and cpu.sim.actions.watchers else ""


class _Hold:
    """A thread whose access is held, again and again."""

    __slots__ = ("cpu", "is_over", "thread", "wait")

    def __init__(self, cpu: Scheduler, thread: Thread) -> None:
        self.cpu = cpu
        self.thread = thread
        self.is_over = False
        self.wait: Wait | None = None

    def over(self) -> None:
        """The access may ask again: at once if its thread has the CPU, else as soon as the others give it back."""
        self.is_over = True
        cpu = self.cpu
        if self.wait is not None and cpu.waits is self.wait:
            cpu.proceed(cpu.sim.now)
        elif self.thread.state is ThreadState.READY:
            cpu.end_slice()

    def nothing_goes_on(self) -> Steps[None]:
        """Keep the CPU."""
        self.is_over = False
        self.wait = Wait(None, opened=False)
        while not self.is_over:
            yield self.wait

    def others_go_on(self, part: str) -> Steps[None]:
        """Let interrupts be taken and other threads run; what is left counts for `part`."""
        cpu, thread = self.cpu, self.thread
        self.is_over = False
        cpu.end_slice()
        while True:
            thread.spend(part, cpu.sim.now)
            yield from cpu.boundary(thread)
            if self.is_over:
                return
            self.wait = Wait(None, opened=not thread.handler)
            yield self.wait
            self.wait = None
