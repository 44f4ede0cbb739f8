"""Actions: effects that others can see, which a schedule may hold before they take hold."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from sys import _getframe

from cosim.sim.clock import Clock
from cosim.sim.gate import Gate
from cosim.sim.places import place_of_caller
from cosim.sim.ranks import Stage
from cosim.sim.task import Routine

NOW, AFTER_CONFLICT, AFTER_HOLD = range(3)
"""The answers to an action that asks whether it may take hold (docs/schedules.md)."""


@dataclass(slots=True)
class Action:
    """An effect that others can see, before it takes hold.

    `agent` names who acts and what it does, such as ``cpu1.t0.st``; its n-th action is ``cpu1.t0.st#n``.
    `footprint` is what it touches: words (their addresses), registers, cache tags. Two actions conflict if their
    `owner`s differ, their footprints meet and one of them `changes` what it touches. `again` is called when a held
    action may ask again. `size` is how many bytes it touches, 0 for what is no access. `place` is where in the source
    the operation stands whose effect it is (`places`); empty if there is none.
    """

    agent: str
    owner: str
    footprint: tuple[Hashable, ...]
    changes: bool
    again: Callable[[], None]
    size: int = 0
    place: str = ""


@dataclass(slots=True)
class Taken:
    """An action has taken hold, under the name of its last question."""

    time: int
    name: str
    owner: str
    footprint: tuple[Hashable, ...]
    changes: bool
    size: int
    place: str


class Actions:
    """Lets each action ask the chooser, and keeps those that were told to wait."""

    def __init__(self, sim: Clock, hold_ps: int) -> None:
        self.sim = sim
        self.hold_ps = hold_ps
        self.watchers: list[Callable[[Taken], None]] = []
        self.taken = ""
        """The name of the action that took hold last."""
        self._initiator = sim.initiator("actions")
        self.questions: defaultdict[str, int] = defaultdict(int)
        """How many times each agent has asked: the number of its next question."""
        self._held: defaultdict[Hashable, list[_Held]] = defaultdict(list)

    def attempt(self, action: Action) -> bool:
        """Ask for `action`; true if it takes hold now, else its `again` is called when it may ask once more."""
        name = self._name(action.agent)
        answer = self.sim.chooser.pick(3, name)
        if answer == NOW:
            self._take(action, name)
            return True
        held = _Held(action)
        if answer == AFTER_CONFLICT:
            for key in action.footprint:
                self._held[key].append(held)
        self._release(held, self.sim.now + max(1, self.hold_ps))
        return False

    def ask(self, agent: str, owner: str, footprint: tuple[Hashable, ...], changes: bool, part: str) -> Routine:
        """For a hardware routine: wait until the action may take hold; on return it has, and must be done at once."""
        gate = Gate(self.sim, 0, part)
        action = Action(agent, owner, footprint, changes, gate.flush, place=place_of_caller(_getframe(1)))
        while not self.attempt(action):
            yield gate

    def pick(self, agent: str, n: int) -> int:
        """A choice among `n` that belongs to `agent`, such as which past state a load returns."""
        return self.sim.chooser.pick(n, self._name(agent))

    def _name(self, agent: str) -> str:
        number = self.questions[agent]
        self.questions[agent] = number + 1
        return f"{agent}#{number}"

    def _release(self, held: _Held, time: int) -> None:
        self.sim.at(time, self._initiator.rank(Stage.MEMORY), held.release)

    def _take(self, action: Action, name: str) -> None:
        self.taken = name
        for key in action.footprint:
            if key in self._held:
                waiting = [held for held in self._held.pop(key) if not held.done]
                for held in waiting:
                    other = held.action
                    if other.owner == action.owner or not (other.changes or action.changes):
                        self._held[key].append(held)
                    else:
                        self._release(held, self.sim.now + 1)
        if self.watchers:
            taken = Taken(self.sim.now, name, action.owner, action.footprint, action.changes, action.size, action.place)
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
