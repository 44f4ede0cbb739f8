"""A process on SimPy that waits for times, and for whatever ends a wait earlier."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from cosim.hw.cpu.alarms import Alarm, Alarms
from cosim.sim.component import Component
from cosim.sim.ranks import Stage
from cosim.sim.simulation import Sim


class Wait:
    """What a process yields besides a time: until when (None is for ever), and what may end it earlier.

    An *open* wait ends when something comes up (`Process.poke`); any wait ends at `Process.proceed`.
    """

    __slots__ = ("opened", "until")

    def __init__(self, until: int | None, *, opened: bool) -> None:
        self.until = until
        self.opened = opened


IDLE = Wait(None, opened=True)
BLOCKED = Wait(None, opened=False)
"""Until something leaves the store buffer."""
HELD = Wait(None, opened=False)
"""Until an action may ask again."""

Steps = Generator[Any, None, Any]
"""Part of a process: yields a time, a time and a `Stage`, or a `Wait`, and is resumed then."""


class Process(Component):
    """A generator that runs in simulated time: `begin` gives it one, of which every wait has a rank of its own.

    A time is waited for without a chance to end it earlier, and costs one event. A `Wait` can be cut short; its end is
    an alarm, so that long ones leave nothing behind.
    """

    def __init__(self, sim: Sim, path: str) -> None:
        super().__init__(sim, path)
        self.initiator = sim.initiator(path)
        self.alarms = Alarms(sim, self.initiator)
        self._steps: Steps = iter(())  # type: ignore[assignment]
        self._token = 0
        self._wait: Wait | None = None
        self._due: int | None = None
        self._alarm: Alarm | None = None

    def begin(self, steps: Steps) -> None:
        """Run `steps` up to its first wait, which must be a `Wait` without an end."""
        self._steps = steps
        self._wait = next(steps)

    @property
    def waits(self) -> Wait | None:
        """The wait that may be cut short; None if there is none."""
        return self._wait

    def _step(self, token: int) -> None:
        """End a wait, unless it has been cut short."""
        if token == self._token:
            if self._alarm is not None:
                self.alarms.call_off(self._alarm)
                self._alarm = None
            self._wait = self._due = None
            self._go_on()

    def _go_on(self, _: Any = None) -> None:
        """Run the process up to its next wait."""
        request = next(self._steps)
        kind = type(request)
        if kind is int:
            self.sim.moment(request, self.initiator.rank(Stage.CPU)).callbacks.append(self._go_on)
        elif kind is tuple:
            time, stage = request
            self.sim.moment(time, self.initiator.rank(stage)).callbacks.append(self._go_on)
        else:
            self._wait = request
            self._token = token = self._token + 1
            if request.until is not None:
                self._due = request.until
                self._alarm = self.alarms.set(request.until, lambda: self._step(token))

    def proceed(self, time: int) -> None:
        """End the present wait at `time`, which may be the present, unless it ends by then anyway."""
        if self._wait is not None and (self._due is None or time < self._due):
            self._due = time
            self._token = token = self._token + 1
            self.sim.moment(time, self.initiator.rank(Stage.CPU)).callbacks.append(lambda _: self._step(token))

    def poke(self) -> None:
        """Something has come up: an open wait ends at the next tick."""
        if self._wait is not None and self._wait.opened:
            self.proceed(self.sim.now + 1)
