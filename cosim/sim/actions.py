"""Actions: effects that others can see, which a schedule may hold before they take hold."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from sys import _getframe

from cosim.sim.clock import Clock
from cosim.sim.footprints import Footprint, conflict
from cosim.sim.gate import Gate
from cosim.sim.heap import COMPILED
from cosim.sim.places import place_of_caller
from cosim.sim.ranks import Stage
from cosim.sim.task import Routine

NOW, AFTER_CONFLICT, AFTER_HOLD = range(3)
"""The answers to an action that asks whether it may take hold (docs/schedules.md)."""


@dataclass(slots=True)
class Action:
    """An effect that others can see, before it takes hold.

    `agent` names who acts and what it does, such as ``cpu1.t0.st``; its n-th action is ``cpu1.t0.st#n``, also when it
    asks again. Two actions conflict as `footprints.conflict` says. `again` is called when a held action may ask again.
    `size` is how many bytes it touches, 0 for what is no access. `place` is where in the source the operation stands
    whose effect it is (`places`); empty if there is none. `touches` looks the footprint up at each question, where
    it may change while the action waits.
    """

    agent: str
    owner: str
    footprint: Footprint
    changes: bool
    again: Callable[[], None]
    size: int = 0
    place: str = ""
    touches: Callable[[], Footprint] | None = None
    name: str = ""
    """What it was called when it first asked."""
    asked: int = -1
    """When it first asked, in picoseconds."""
    holds: int = 0
    """How many times it was told to wait."""


@dataclass(slots=True)
class Taken:
    """An effect has taken hold: an action, or what asks nobody (`asks` is false then).

    `name` is that of its first question, `asked` when it was asked; `holds` is how many times it was told to wait.
    """

    time: int
    name: str
    owner: str
    footprint: Footprint
    changes: bool
    size: int
    place: str
    asked: int
    holds: int
    asks: bool

    @property
    def agent(self) -> str:
        """Whose effect it is, without its number."""
        return self.name.rpartition("#")[0]


class Actions:
    """Lets each action ask the chooser, and keeps those that were told to wait."""

    def __init__(self, sim: Clock, hold_ps: int) -> None:
        self.sim = sim
        self.hold_ps = hold_ps
        self.watchers: list[Callable[[Taken], None]] = []
        self.taken = ""
        """The name of the action that took hold last."""
        self._initiator = sim.initiator("actions")
        self.counts: defaultdict[str, int] = defaultdict(int)
        """How many effects and choices each agent has had: the number of its next one."""
        self._held: list[_Held] = []
        """Those that wait for a conflict."""

    def attempt(self, action: Action) -> bool:
        """Ask for `action`; true if it takes hold now, else its `again` is called when it may ask once more."""
        sim = self.sim
        if action.touches is not None:
            action.footprint = action.touches()
        if not action.name:
            action.name, action.asked = self._name(action.agent), sim.now
        answer = sim.chooser.hold(f"{action.name}.{action.holds}" if action.holds else action.name)
        if answer == NOW:
            self._take(action, asks=True)
            return True
        action.holds += 1
        held = _Held(action)
        if answer == AFTER_CONFLICT:
            self._held.append(held)
        self._release(held, sim.now + max(1, self.hold_ps))
        return False

    def ask(
        self, agent: str, owner: str, footprint: Footprint | Callable[[], Footprint], changes: bool, part: str
    ) -> Routine:
        """For a hardware routine: wait until the action may take hold; on return it has, and must be done at once.

        A `footprint` that is called is looked up at each question.
        """
        gate = Gate(self.sim, 0, part)
        place = place_of_caller(_getframe(1)) if self.watchers and not COMPILED else ""
        action = Action(agent, owner, (), changes, gate.flush, place=place)
        if callable(footprint):
            action.touches = footprint
        else:
            action.footprint = footprint
        while not self.attempt(action):
            yield gate

    def announce(self, agent: str, owner: str, footprint: Footprint, changes: bool, size: int = 0) -> None:
        """An effect takes hold that no schedule holds, and that others may conflict with."""
        name = self._name(agent)
        self.sim.chooser.unheld(name)
        action = Action(agent, owner, footprint, changes, unheld, size, name=name, asked=self.sim.now)
        self._take(action, asks=False)

    def pick(self, agent: str, n: int) -> int:
        """A choice among `n` that belongs to `agent`, such as whether a cache gives up an entry."""
        return self.sim.chooser.pick(n, self._name(agent))

    def _name(self, agent: str) -> str:
        number = self.counts[agent]
        self.counts[agent] = number + 1
        return f"{agent}#{number}"

    def _release(self, held: _Held, time: int) -> None:
        self.sim.at(time, self._initiator.rank(Stage.MEMORY), held.release)

    def _take(self, action: Action, *, asks: bool) -> None:
        if asks:
            self.taken = action.name
        if self._held:
            waiting = []
            for held in self._held:
                if held.done:
                    continue
                if conflict(held.action, action):
                    self._release(held, self.sim.now + 1)
                else:
                    waiting.append(held)
            self._held = waiting
        if self.watchers:
            taken = Taken(
                self.sim.now,
                action.name,
                action.owner,
                action.footprint,
                action.changes,
                action.size,
                action.place,
                action.asked,
                action.holds,
                asks,
            )
            for watcher in self.watchers:
                watcher(taken)


class _Held:
    """An action that waits; whichever comes first, the conflict or the end of the hold, lets it ask again."""

    __slots__ = ("action", "done")

    def __init__(self, action: Action) -> None:
        self.action = action
        self.done = False

    def release(self) -> None:
        if not self.done:
            self.done = True
            self.action.again()


def unheld() -> None:
    """In place of `Action.again` for as long as an action is not held."""
    raise RuntimeError("what is not held may not ask again")
