"""Timers of the kernel's clock: they fire at ticks, in an interrupt of the CPU on which they were armed."""

from __future__ import annotations

from collections.abc import Callable

from cosim.sim.footprints import Footprint
from cosim.sim.operations import Body, OnInterrupt, Oops
from cosim.sim.ranks import Stage
from cosim.sw.kernel.objects import Cell
from cosim.sw.kernel.services import Services
from cosim.units.quantities import S

TIMER_VECTOR = 5
"""The tick of a CPU that has a timer due: the supervisor timer interrupt."""


class Timer:
    """A callback in the future, run in interrupt context. States: *idle* or *pending*."""

    __slots__ = ("_state", "callback", "cpu", "due", "name")

    def __init__(self, state: Cell, name: str, callback: Callable[[], Body]) -> None:
        self.name = name
        self.callback = callback
        self.cpu: str
        self.due = 0
        self._state = state

    @property
    def state(self) -> Cell:
        """0 idle, else when it is due."""
        return self._state


class Timers:
    """Arms and cancels timers."""

    def __init__(self, kernel: Services) -> None:
        self._kernel = kernel
        self._initiator = kernel.sim.initiator("kernel.timers")
        self._pending: dict[str, list[Timer]] = {}

    def new(self, name: str, callback: Callable[[], Body]) -> Timer:
        """A timer that runs ``callback()``."""
        return Timer(Cell(self._kernel.static(8)), name, callback)

    async def arm(self, timer: Timer, delay_ps: int) -> bool:
        """mod_timer: let it fire at the first tick that is at least `delay_ps` from now; whether it was pending.

        Ticks count from the last one, and one is added so that it is never early, as in Linux.
        """
        kernel, sim = self._kernel, self._kernel.sim
        context = await kernel.context()
        if context.cpu not in self._pending:
            self._pending[context.cpu] = []
            cpu = context.cpu
            await OnInterrupt(TIMER_VECTOR, kernel.handler(lambda: self._tick(cpu)), lambda: self._due(cpu))
        tick = S // kernel.options.hz
        due = (sim.now // tick + -(-delay_ps // tick) + 1) * tick
        was = await timer.state.xchg(due)
        if was:
            self._pending[timer.cpu].remove(timer)
        timer.cpu, timer.due = context.cpu, due
        self._pending[context.cpu].append(timer)
        target = kernel.cpus[context.cpu]
        sim.at(
            max(due, sim.now + 1), self._initiator.rank(Stage.INTERRUPT), lambda: self._ring(timer, due, target.message)
        )
        return bool(was)

    async def cancel(self, timer: Timer) -> bool:
        """del_timer: whether it was pending, and now does not fire."""
        was = await timer.state.xchg(0)
        if was:
            self._pending[timer.cpu].remove(timer)
        return bool(was)

    def end(self) -> None:
        """The kernel is over: none of its timers fires any more. Takes no time."""
        for pending in self._pending.values():
            pending.clear()

    def _ring(self, timer: Timer, due: int, message: Callable[[int], None]) -> None:
        if timer.due == due and timer in self._pending[timer.cpu]:
            message(TIMER_VECTOR)

    def _due(self, cpu: str) -> Footprint:
        """The words that say whether a timer of a CPU is pending, for those that the tick may find due."""
        return tuple(int(timer.state.address) for timer in self._pending[cpu] if timer.due <= self._kernel.sim.now)

    async def _tick(self, cpu: str) -> None:
        now = self._kernel.sim.now
        for timer, due in [(timer, timer.due) for timer in self._pending[cpu] if timer.due <= now]:
            # Not one that is cancelled, or armed anew, while those before it run.
            if await timer.state.cmpxchg(due, 0) == due and timer in self._pending[cpu]:
                self._pending[cpu].remove(timer)
                try:
                    await timer.callback()
                except Oops as oops:
                    oops.args = (f"timer {timer.name}: {oops}",)
                    raise
