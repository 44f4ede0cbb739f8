"""The values of parameters at which a topology measures what was measured: least squares of relative errors.

scipy does the search (`scipy.optimize.least_squares`), between the bounds. Runs at all points share their random
numbers, so that what differs is what was changed; how the numbers change is seen by a small step of each parameter.
Between whole numbers of things the numbers are interpolated; in the end each of the two nearest is tried.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from cosim.config.problems import Position, Problem, TopologyError
from cosim.study.fit.evaluation import Evaluation
from cosim.study.fit.fitted import Fitted, FittedPoint
from cosim.study.fit.measured import Measured, refused
from cosim.study.fit.parameter import Parameter
from cosim.study.results.estimate import Estimate, Mean
from cosim.study.results.extras import needed
from cosim.units.nearest import nearest

MOST_STEPS = 20
"""After so many steps the search ends with the best that it has."""
ENOUGH = 3e-4
"""The search ends where a step is smaller than this part of the parameters' ranges."""
FAR = 0.05
"""How far to go, as a part of the range of a parameter, before it is seen anew what a change of each does."""
FARTHER = 0.4
"""How far to go where a small step changes nothing."""

Positions = Sequence[float]


@dataclass
class Fit:
    """Measurements, and the parameters that may change; `found` is what comes out.

    Some of the parameters may be `held` at a value. Raises TopologyError for what cannot be, before anything is run.
    """

    evaluation: Evaluation
    measured: Sequence[Measured]
    metric: str
    parameters: Sequence[Parameter]
    start: Mapping[str, float] = field(default_factory=dict)
    """Positions in which the search begins; the middle, if it is not said."""
    rough: Evaluation | None = None
    """Shorter runs, by which it is seen what a change of each parameter does."""
    _at: list[float] = field(default_factory=list)
    _slopes: list[list[float]] = field(default_factory=list)
    """How the error at each point changes with each parameter, and where that was seen."""

    def __post_init__(self) -> None:
        self.fitted = [each for each in self.measured if not each.held_out]
        self._check()

    def _check(self) -> None:
        paths = [parameter.path for parameter in self.parameters]
        if not paths:
            raise refused("-p", "name a parameter: -p 'dram0.latency=50 ns..400 ns'")
        if twice := next((path for at, path in enumerate(paths) if path in paths[:at]), None):
            raise refused(f"-p {twice}", "this parameter is there twice")
        if both := next((path for path in paths if path in self.measured[0].settings), None):
            raise refused(f"-p {both}", "the data say what this is at each point")
        if len(self.fitted) < len(paths):
            raise refused(
                "--data",
                f"{len(self.fitted)} points to fit on cannot tell {len(paths)} parameters; "
                "fit on more of them, or fix a parameter with -s",
            )
        problems = [problem for parameter in self.parameters for problem in self._problems(parameter)]
        problems += self._problems_of_points()
        if problems:
            raise TopologyError(problems)

    def _problems(self, parameter: Parameter) -> Iterable[Problem]:
        """What is wrong with a parameter at either of its bounds; what is wrong at both of them once."""
        found: dict[Problem, None] = {}
        for position in (0.0, 1.0):
            value = parameter.at(position)
            try:
                self.evaluation.subject.at({parameter.path: value})
            except TopologyError as error:
                where = Position(f"-p {parameter.path}={parameter.text}")
                for problem in error.problems:
                    ours = problem.position.file == f"-s {parameter.path}={value}"
                    found[Problem(where if ours else problem.position, problem.path, problem.message)] = None
        return found

    def _problems_of_points(self) -> Iterable[Problem]:
        """What is wrong with the settings of the first point."""
        first = self.measured[0]
        try:
            self.evaluation.subject.at(first.settings)
        except TopologyError as error:
            for problem in error.problems:
                yield Problem(Position(f"line {first.line} of --data"), problem.path, problem.message)

    def found(self) -> Fitted:
        """Search, and predict what was held out. TopologyError, if a run fails too; InterruptedFit."""
        optimize = needed("scipy.optimize", "cosim fit")
        start = [self.start.get(parameter.path, 0.5) for parameter in self.parameters]
        best, cost = self._searched(optimize, start, {})
        best, cost = min(
            (self._searched(optimize, best, fixed) for fixed in self._whole_ones(best)),
            key=lambda result: result[1],
            default=(best, cost),
        )
        values = self._values(best)
        means = self._means([values], self.measured)[0]
        slopes = list(zip(*self._slopes, strict=True))
        names = [parameter.path for parameter in self.parameters]
        bounds = {name: each.bound(at) for name, each, at in zip(names, self.parameters, best, strict=True)}
        return Fitted(
            self.metric,
            values,
            {name: bound for name, bound in bounds.items() if bound},
            [name for name, slope in zip(names, slopes, strict=True) if not any(slope)],
            [FittedPoint(each, mean) for each, mean in zip(self.measured, means, strict=True)],
            self.made,
        )

    @property
    def made(self) -> int:
        """How many runs were made, and not found in the results file."""
        return self.evaluation.made + (self.rough.made if self.rough else 0)

    # --- The search --------------------------------------------------------------------------------------------------

    def _searched(self, optimize: Any, start: Positions, fixed: Mapping[int, float]) -> tuple[list[float], float]:
        """Where the errors are least, and half the sum of their squares; `fixed` parameters stay where they are."""
        free = [at for at in range(len(self.parameters)) if at not in fixed]

        def whole(some: Sequence[float]) -> list[float]:
            given = dict(zip(free, some, strict=True))
            return [fixed[at] if at in fixed else float(given[at]) for at in range(len(self.parameters))]

        def errors(some: Sequence[float]) -> list[float]:
            return self._errors([whole(some)])[0]

        def slopes(some: Sequence[float]) -> list[list[float]]:
            at = whole(some)
            if not self._at or max(abs(here - there) for here, there in zip(at, self._at, strict=True)) > FAR:
                self._at, self._slopes = at, self._slopes_at(at)
            return [[row[place] for place in free] for row in self._slopes]

        if not free:
            return whole([]), sum(error * error for error in self._errors([whole([])])[0]) / 2
        found = optimize.least_squares(
            errors,
            [min(0.999, max(0.001, start[at])) for at in free],
            slopes,
            bounds=(0.0, 1.0),
            ftol=ENOUGH,
            xtol=ENOUGH,
            gtol=ENOUGH**2,
            max_nfev=MOST_STEPS,
        )
        return whole(found.x.tolist()), float(found.cost)

    def _slopes_at(self, at: Positions) -> list[list[float]]:
        """How the error at each point changes with each parameter."""
        steps = [self._step(place, at[place]) for place in range(len(at))]
        moved = [[*at[:place], at[place] + step, *at[place + 1 :]] for place, step in enumerate(steps)]
        here, *there = self._errors([at, *moved], self.rough)
        for place, errors in enumerate(there):
            if errors == here:  # what hides behind something else shows itself from farther away
                steps[place] = FARTHER if at[place] < 0.5 else -FARTHER
                further = [*at[:place], at[place] + steps[place], *at[place + 1 :]]
                (there[place],) = self._errors([further], self.rough)
        columns = [
            [(after - before) / step for before, after in zip(here, errors, strict=True)]
            for errors, step in zip(there, steps, strict=True)
        ]
        return [list(row) for row in zip(*columns, strict=True)]

    def _step(self, place: int, at: float) -> float:
        step = self.parameters[place].step
        return step if at + step <= 1 else -step

    def _whole_ones(self, best: Positions) -> list[dict[int, float]]:
        """Every choice among the whole numbers next to what was found; nothing if there is no choice."""
        wholes = [at for at, parameter in enumerate(self.parameters) if parameter.whole]
        around = [[position for position, _ in self.parameters[at].between(best[at])] for at in wholes]
        return [dict(zip(wholes, chosen, strict=True)) for chosen in product(*around)] if wholes else []

    # --- What comes out at some values -------------------------------------------------------------------------------

    def _errors(self, several: Sequence[Positions], by: Evaluation | None = None) -> list[list[float]]:
        """Relative errors at the points of the fit, for each of several choices of all parameters."""
        mixed = [self._mix(positions) for positions in several]
        values = [self._values(corner) for mix in mixed for corner, _ in mix]
        means = iter(self._means(values, self.fitted, by))
        found = []
        for mix in mixed:
            total = [0.0] * len(self.fitted)
            for _, weight in mix:
                total = [before + weight * mean.value for before, mean in zip(total, next(means), strict=True)]
            found.append([value / each.value - 1 for value, each in zip(total, self.fitted, strict=True)])
        return found

    def _mix(self, positions: Positions) -> list[tuple[list[float], float]]:
        """The values there are around some positions, and what each counts for."""
        found: list[tuple[list[float], float]] = [([], 1.0)]
        for parameter, position in zip(self.parameters, positions, strict=True):
            around = parameter.between(position)
            found = [([*before, at], weight * part) for before, weight in found for at, part in around]
        return found

    def _values(self, positions: Positions) -> dict[str, str]:
        return {each.path: each.at(position) for each, position in zip(self.parameters, positions, strict=True)}

    def _means(
        self, values: Sequence[Mapping[str, str]], measured: Sequence[Measured], by: Evaluation | None = None
    ) -> list[list[Mean]]:
        points = [{**each.settings, **chosen} for chosen in values for each in measured]
        found = [self._mean(estimate) for estimate in (by or self.evaluation).at(points)]
        return [found[at : at + len(measured)] for at in range(0, len(found), len(measured))]

    def _mean(self, estimate: Estimate) -> Mean:
        if (mean := estimate.means.get(self.metric)) is not None:
            return mean
        said = " ".join(f"-s '{path}={value}'" for path, value in estimate.settings.items())
        if estimate.failed:
            raise refused(f"a run with {said}", estimate.reason)
        (run, *_) = self.evaluation.results.runs(None)
        raise refused(f"--value {self.metric}", f"no such number; {nearest(self.metric, run.numbers)}")
