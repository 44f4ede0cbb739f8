"""What a run measured from step to step of its window: throughputs, occupancies, hit rates, calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cosim.sim.occupancy import Occupancy
from cosim.sim.simulation import Sim
from cosim.study.run.window import Window
from cosim.units.quantities import format_time

NEVER = 1 << 63
MOST = 100_000
"""So many steps are kept of a run; each is a number of everything that is counted."""


@dataclass(frozen=True, slots=True)
class Series:
    """Numbers by name, one for each step: `at_ps` is when each step ended, and `step_ps` how long all but the last are.

    Of a step in which there was nothing to tell, such as the hit rate of no look-ups, the number is None.
    """

    step_ps: int = 0
    at_ps: tuple[int, ...] = ()
    values: Mapping[str, tuple[float | None, ...]] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The object that `run --json` prints for it."""
        return {
            "step_ps": self.step_ps,
            "at_ps": list(self.at_ps),
            "values": {name: list(numbers) for name, numbers in self.values.items()},
        }


def check_step(step_ps: int, longest_ps: int) -> None:
    """ValueError if a run of up to `longest_ps` had too many steps."""
    if step_ps and longest_ps > MOST * step_ps:
        most, least = f"more than {MOST:,} of {format_time(longest_ps)}", format_time(-(-longest_ps // MOST))
        raise ValueError(f"a step of {format_time(step_ps)} makes {most}; take {least} or more")


class Steps:
    """Looks at a run at the end of each step; a run is made to stop there, and nothing in it is changed by that.

    `counters` gives every cumulative counter, `derived` rates and mean depths from what was counted in a time, and
    `occupancies` are numbers over time, by their names.
    """

    def __init__(
        self,
        sim: Sim,
        window: Window,
        step_ps: int,
        *,
        counters: Callable[[], Mapping[str, int]],
        derived: Callable[[Mapping[str, int], int], Mapping[str, float]],
        occupancies: Mapping[str, Occupancy],
    ) -> None:
        self._sim = sim
        self._window = window
        self._step_ps = step_ps
        self._counters = counters
        self._derived = derived
        self._occupancies = occupancies
        self._counted: dict[str, int] = {}
        self._integrals: dict[str, int] = {}
        self._ends: list[int] = []
        self._found: list[dict[str, float]] = []
        if step_ps:
            window.on_open.append(self._begin)

    @property
    def next_ps(self) -> int:
        """When the present step ends, or the first one; far in the future before the end of boot, or if nothing is
        wanted."""
        opens = self._window.opens  # the window is open only when the run has gone past that
        if opens < 0 or not self._step_ps:
            return NEVER
        return (self._ends[-1] if self._ends else opens) + self._step_ps

    def reached(self, now: int) -> None:
        """The run has stopped at `now`, before anything of that time has happened."""
        if now >= self.next_ps:
            self._end(now)

    def series(self) -> Series:
        """Everything, with a last step that the end of the run has cut short."""
        if not self._step_ps or not self._window:
            return Series(self._step_ps)
        if self._sim.now > self.next_ps - self._step_ps:
            self._end(self._sim.now)
        names = sorted({name for numbers in self._found for name in numbers})
        values = {name: tuple(numbers.get(name) for numbers in self._found) for name in names}
        return Series(self._step_ps, tuple(self._ends), values)

    def _begin(self) -> None:
        self._counted = dict(self._counters())
        self._integrals = {name: occupancy.law(self._sim.now)[0] for name, occupancy in self._occupancies.items()}

    def _end(self, now: int) -> None:
        length = now - (self._ends[-1] if self._ends else self._window.opened)
        before, integrals = self._counted, self._integrals
        self._counted = dict(self._counters())
        since = {name: value - before.get(name, 0) for name, value in self._counted.items()}
        found: dict[str, float] = dict(self._derived(since, length))
        for name, hits in since.items():
            looked = hits + since.get(f"{name.removesuffix('.hits')}.misses", 0)
            if name.endswith(".hits") and looked:
                found[f"{name.removesuffix('.hits')}.hit_rate"] = hits / looked
        self._integrals = {name: occupancy.law(now)[0] for name, occupancy in self._occupancies.items()}
        for name, integral in self._integrals.items():
            found[f"{name}_mean"] = (integral - integrals.get(name, 0)) / length
        self._ends.append(now)
        self._found.append(found)
