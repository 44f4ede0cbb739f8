"""The calls that have not returned, with what each has spent its time on so far."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cosim.events import CallAbandoned, CallBegun, CallDone
from cosim.sim.operations import Instant
from cosim.sim.simulation import Sim


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A call that has not returned: its age in picoseconds, and the latency parts that add up to it."""

    age_ps: int
    parts: Mapping[str, int]

    def as_json(self) -> dict[str, object]:
        """The object that `run --json` prints for it."""
        return {"age_ps": self.age_ps, "parts": dict(self.parts)}


class CallsUnderWay:
    """The calls that each thread or interrupt handler is in, the outermost first; one that an oops ended is none."""

    __slots__ = ("_calls",)

    def __init__(self, sim: Sim) -> None:
        self._calls: defaultdict[str, list[CallBegun]] = defaultdict(list)
        sim.probe(CallBegun).watch(self._begun)
        sim.probe(CallDone).watch(self._over)
        sim.probe(CallAbandoned).watch(self._over)

    @property
    def callers(self) -> frozenset[str]:
        """Whoever has begun a call so far."""
        return frozenset(self._calls)

    @property
    def in_a_call(self) -> frozenset[str]:
        """Whoever is in a call."""
        return frozenset(who for who, calls in self._calls.items() if calls)

    def unfinished(self, clocks: Mapping[str, Instant], longest: Callable[[str], int]) -> dict[str, Unfinished]:
        """The outermost call of each thread, if it takes longer than the `longest` of its name, sorted by name.

        `clocks` are those of the threads at the end of the run. Raises ArithmeticError if the parts of a call do not
        add up to its age.
        """
        found = {}
        for who, calls in self._calls.items():
            if not calls:
                continue
            call, clock = calls[0], clocks[who]
            age, parts = clock.time - call.time, clock.since(Instant(call.time, call.spent))
            name = f"{who}.{call.call}"
            if sum(parts.values()) != age:
                raise ArithmeticError(f"{name} is {age} ps old and has parts of {sum(parts.values())} ps: {parts}")
            if age > longest(name):
                found[name] = Unfinished(age, parts)
        return dict(sorted(found.items()))

    def _begun(self, event: CallBegun) -> None:
        self._calls[event.who].append(event)

    def _over(self, event: CallDone | CallAbandoned) -> None:
        calls = self._calls[event.who]
        innermost = calls.pop()
        assert (innermost.call, innermost.time) == (event.call, event.began), "calls of a thread nest"
