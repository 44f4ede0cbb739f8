"""While exploring: whether a CPU takes its interrupt now, or goes on with what it does."""

from __future__ import annotations

from collections.abc import Callable

from cosim.hw.cpu.interrupt_controller import InterruptController
from cosim.sim.actions import Action
from cosim.sim.footprints import Footprint, running
from cosim.sim.simulation import Sim


class Interruption:
    """Asks for each interrupt that a CPU is about to take, as the action ``cpu1.irq#n``.

    It touches the interrupt's own state, what runs on the CPU, and the words by which its handler wakes others. One
    that is withdrawn while it is held (its wire has gone low) is given up with its name.
    """

    def __init__(self, sim: Sim, path: str, controller: InterruptController, poke: Callable[[], None]) -> None:
        """`poke` is called when the CPU may ask again."""
        self.sim = sim
        self.path = path
        self.held = False
        """Whether the CPU is to go on without it for now."""
        self._controller = controller
        self._poke = poke
        self._action: Action | None = None

    def allowed(self) -> bool:
        """Whether the deliverable interrupt is taken now."""
        if self._action is None:
            agent = f"{self.path}.irq"
            self._action = Action(agent, agent, (), True, lambda: None, touches=self._touched)
            self._action.again = self._asking(self._action)
        self.held = not self.sim.actions.attempt(self._action)
        if not self.held:
            self._action = None
        return not self.held

    def changed(self, agent: str, owner: str, vector: int) -> None:
        """Something has raised, masked or connected an interrupt, or let it go."""
        if self.sim.exploring:
            self.sim.actions.announce(agent, owner, (self._name(vector),), True)
        if self._controller.deliverable is None:
            self.held, self._action = False, None

    def _asking(self, action: Action) -> Callable[[], None]:
        def again() -> None:
            if self._action is action:
                self.held = False
                self._poke()

        return again

    def _touched(self) -> Footprint:
        vector = self._controller.deliverable
        assert vector is not None
        return self._name(vector), running(self.path), *self._controller.touches(vector)

    def _name(self, vector: int) -> tuple[str, str, int]:
        return self.path, "irq", vector
