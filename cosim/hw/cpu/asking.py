"""While exploring: an access asks whether it takes hold; while it is held, its CPU goes on without its thread."""

from __future__ import annotations

from cosim.hw.cpu.scheduler import Scheduler
from cosim.hw.cpu.thread import Thread, ThreadState
from cosim.sim.actions import Action, unheld
from cosim.sim.cpu_steps import Steps, Wait
from cosim.sim.footprints import words
from cosim.sim.operations import Atomic, Load, Op, Touch
from cosim.sim.transport import Access


def held(cpu: Scheduler, thread: Thread, op: Load | Atomic, awaited: Op[object]) -> Action | None:
    """Ask whether a load or an atomic takes hold, which is all or part of what the thread has awaited; None if so.

    For the action that comes back `until_allowed` waits.
    """
    actions, name, touched = cpu.sim.actions, thread.name, words(op.address, op.size)
    place = place_of(cpu, thread, awaited)
    if type(op) is Load:
        action = Action(f"{name}.ld", name, touched, False, unheld, op.size, place)
    else:
        assert isinstance(op, Atomic)
        action = Action(f"{name}.amo", name, touched + op.touches, True, unheld, op.size, place)
    return None if actions.attempt(action) else action


def until_allowed(cpu: Scheduler, thread: Thread, op: Load | Atomic, action: Action) -> Steps[None]:
    """Wait until an action that is held takes hold.

    Its operation has not been executed: the CPU takes interrupts before it, and other threads have the CPU as if the
    thread's slice had ended. When it may ask again, its order is looked at anew.
    """
    hold = _Hold(cpu, thread)
    action.again = hold.over
    while True:
        yield from hold.others_go_on(op.part)
        yield from cpu.stall(thread, op, op.part)
        if cpu.sim.actions.attempt(action):
            return


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
