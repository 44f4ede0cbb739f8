"""What runs a CPU's steps in simulated time: a task whose waits may be cut short."""

from __future__ import annotations

from cosim.hw.cpu.alarms import Alarm, Alarms
from cosim.sim.component import Component
from cosim.sim.cpu_steps import Delay, Steps, Wait
from cosim.sim.ranks import Stage
from cosim.sim.simulation import Sim


class Sequencer(Component):
    """Goes through the steps that `begin` gives it, of which each has a rank of its own.

    A `Delay` costs one event. A `Wait` can be cut short; its end is an alarm, so that long ones leave nothing behind.
    """

    def __init__(self, sim: Sim, path: str) -> None:
        super().__init__(sim, path)
        self.initiator = sim.initiator(path)
        self.alarms = Alarms(sim, self.initiator)
        self._steps: Steps[None]
        self._token = 0
        self._wait: Wait | None = None
        self._due: int | None = None
        self._alarm: Alarm | None = None

    def begin(self, steps: Steps[None]) -> None:
        """Go through `steps`; they never end."""
        self._steps = steps
        self._go_on()

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

    def _go_on(self, _: None = None) -> None:
        """Go as far as the next step that takes time."""
        step, sim = next(self._steps), self.sim
        if type(step) is Delay:
            sim.schedule(sim.now + step.ps, self.initiator.rank(step.stage), self._go_on, None)
        elif isinstance(step, Wait):
            self._wait = step
            self._token = token = self._token + 1
            if step.until is not None:
                self._due = step.until
                self._alarm = self.alarms.set(step.until, lambda: self._step(token))
        else:
            raise RuntimeError(f"{self.path}: a thread left the CPU that did not have it")

    def proceed(self, time: int) -> None:
        """End the present wait at `time`, which may be the present, unless it ends by then anyway."""
        if self._wait is not None and (self._due is None or time < self._due):
            self._due = time
            self._token = token = self._token + 1
            self.sim.schedule(time, self.initiator.rank(Stage.CPU), self._step, token)

    def poke(self) -> None:
        """Something has come up: an open wait ends at the next tick."""
        if self._wait is not None and self._wait.opened:
            self.proceed(self.sim.now + 1)
