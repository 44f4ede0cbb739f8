"""The one door through which chance and schedules enter: `Chooser.pick(n, name)`, 0 being the unperturbed run."""

from __future__ import annotations

import hashlib
import random
from collections import defaultdict
from collections.abc import Callable, Generator, Hashable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cosim.sim.ranks import Stage
from cosim.sim.server import Gate

if TYPE_CHECKING:
    from cosim.sim.kernel import Sim

NOW, AFTER_CONFLICT, AFTER_HOLD = range(3)
"""The answers to an action that asks whether it may take hold (design, section 9)."""


class Stream:
    """Random numbers of one component, from the run's seed and the component's path.

    Only `random` and `getrandbits` of the generator are used: they alone are the same in every Python version.
    """

    __slots__ = ("_bits", "random")

    def __init__(self, seed: int, path: str) -> None:
        digest = hashlib.sha256(f"{seed}:{path}".encode()).digest()
        generator = random.Random(int.from_bytes(digest[:16], "big"))
        self.random: Callable[[], float] = generator.random
        self._bits = generator.getrandbits

    def below(self, n: int) -> int:
        """A uniform integer in 0 .. n-1."""
        bits = n.bit_length()
        while True:
            drawn = self._bits(bits)
            if drawn < n:
                return drawn

    def exponential(self, mean: int) -> int:
        """A draw of the exponential distribution, rounded to an integer of at least 1.

        By von Neumann's method, which only compares and adds: a logarithm differs in its last bit between platforms.
        """
        draw = self.random
        whole = 0
        while True:
            first = last = draw()
            odd = True
            while (following := draw()) < last:
                last = following
                odd = not odd
            if odd:
                return max(1, round(mean * (whole + first)))
            whole += 1


class Chooser:
    """The source of all chance of a run. This one is the unperturbed run: every choice is 0."""

    exploring = False

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def pick(self, n: int, name: str) -> int:
        """Answer, with a number below `n`, the choice called `name`."""
        return 0

    def stream(self, path: str) -> Stream:
        """The random numbers of the component at `path`."""
        return Stream(self.seed, path)


class Scheduled(Chooser):
    """A run perturbed by a schedule: a set of ``name: answer``; every other choice is 0."""

    exploring = True

    def __init__(self, seed: int, schedule: Mapping[str, int]) -> None:
        super().__init__(seed)
        self.schedule = dict(schedule)
        self.used: set[str] = set()

    @property
    def unasked(self) -> list[str]:
        """The answers that nobody has asked for, as ``name:answer``; those that are 0 make no difference."""
        return [f"{name}:{answer}" for name, answer in self.schedule.items() if answer and name not in self.used]

    def pick(self, n: int, name: str) -> int:
        answer = self.schedule.get(name, 0)
        if answer:
            self.used.add(name)
            if not 0 <= answer < n:
                raise ValueError(f"schedule: {name}:{answer}: this choice has the answers 0 to {n - 1}")
        return answer


@dataclass(slots=True)
class Action:
    """An effect that others can see, before it takes hold.

    `agent` names who acts and what it does, such as ``cpu1.t0.st``; its n-th action is ``cpu1.t0.st#n``.
    `footprint` is what it touches: words (their addresses), registers, cache tags. Two actions conflict if their
    `owner`s differ, their footprints meet and one of them `changes` what it touches. `again` is called when a held
    action may ask again.
    """

    agent: str
    owner: str
    footprint: tuple[Hashable, ...]
    changes: bool
    again: Callable[[], None]


@dataclass(slots=True)
class Taken:
    """An action has taken hold, under the name of its last question."""

    time: int
    name: str
    owner: str
    footprint: tuple[Hashable, ...]
    changes: bool


class Actions:
    """Lets each action ask the chooser, and keeps those that were told to wait."""

    def __init__(self, sim: Sim, hold_ps: int) -> None:
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

    def ask(
        self, agent: str, owner: str, footprint: tuple[Hashable, ...], changes: bool, part: str
    ) -> Generator[Any, Any, None]:
        """For a hardware routine: wait until the action may take hold; on return it has, and must be done at once."""
        gate = Gate(self.sim, 0, part)
        action = Action(agent, owner, footprint, changes, gate.flush)
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
            taken = Taken(self.sim.now, name, action.owner, action.footprint, action.changes)
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
