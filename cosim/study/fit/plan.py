"""A fit as it is asked for, by a command line or from Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from cosim.config.problems import Position, Problem, TopologyError
from cosim.study.fit.evaluation import Evaluation
from cosim.study.fit.fit import Fit
from cosim.study.fit.measured import Chosen, Column, ColumnError, read
from cosim.study.fit.parameter import Parameter, ParameterError
from cosim.study.results.extras import needed
from cosim.study.results.file import MEMORY
from cosim.study.results.results import Results
from cosim.study.run.stop import Stop
from cosim.study.sweep.points import Subject
from cosim.study.sweep.request import Request
from cosim.units.nearest import nearest


@dataclass(frozen=True)
class FitPlan:
    """What is fitted to what: texts, as a command line has them.

    `value` is ``NUMBER=COLUMN UNIT``, `at` have ``PATH=COLUMN UNIT``, `parameters` ``PATH=LOW..HIGH``, `rows` and `on`
    ``COLUMN=VALUE,VALUE``.
    """

    subject: Subject
    data: str
    value: str
    at: Sequence[str]
    parameters: Sequence[str]
    rows: Sequence[str] = ()
    on: Sequence[str] = ()
    request: Request = field(default_factory=Request)
    start: Sequence[str] = ()
    rough: str = ""
    """When the runs end by which it is seen what a change of each parameter does."""

    def fit(self, path: str | Path = MEMORY, *, command: str = "", stop: Stop | None = None) -> Fit:
        """The fit, ready to search, with its results file opened. Raises TopologyError before anything is written."""
        needed("scipy.optimize", "cosim fit")
        try:
            value = Column.parse(self.value)
            at = [Column.parse(text) for text in self.at]
            rows, on = ([Chosen.parse(text) for text in texts] for texts in (self.rows, self.on))
            parameters = [Parameter.parse(text) for text in self.parameters]
            start = dict(_started(text, parameters) for text in self.start)
        except ColumnError as error:
            raise _refused("--value, --at, --rows, --on", str(error)) from None
        except ParameterError as error:
            raise _refused("-p", str(error)) from None
        measured = read(self.data, at, value, rows=rows, on=on)
        subject, shorter = self.subject.read(), self._shorter()
        evaluation = Evaluation(subject, (value.name,), Results(MEMORY), self.request, command, stop)
        fit = Fit(evaluation, measured, value.name, parameters, start)
        if path != MEMORY:  # only now, when nothing is wrong
            evaluation.results = Results(path, write=True)
        if shorter is not None:
            fit.rough = replace(evaluation, subject=shorter)
        return fit

    def _shorter(self) -> Subject | None:
        """What makes the points whose runs end at `rough`. Raises TopologyError where that is no time."""
        if not self.rough:
            return None
        shorter = replace(self.subject, until=self.rough).read()
        try:
            shorter.at({})
        except TopologyError as error:
            until, asked = Position(f"--until {self.rough}"), Position(f"--rough {self.rough}")
            raise TopologyError(
                replace(problem, position=asked) if problem.position == until else problem for problem in error.problems
            ) from None
        return shorter


def texts_of(values: Mapping[str, object]) -> list[str]:
    """``NAME=VALUE`` of a mapping, a list with commas between its values."""
    return [
        f"{name}={','.join(map(str, value)) if isinstance(value, list | tuple) else value}"
        for name, value in values.items()
    ]


def _started(text: str, parameters: Sequence[Parameter]) -> tuple[str, float]:
    """Which parameter begins at which position. Raises ParameterError."""
    path, _, value = text.partition("=")
    parameter = next((parameter for parameter in parameters if parameter.path == path.strip()), None)
    if parameter is None:
        raise ParameterError(f"--start {text}: {nearest(path, [parameter.path for parameter in parameters])}")
    position = parameter.position(value)
    if not 0 <= position <= 1:
        raise ParameterError(f"--start {text}: not within {parameter.text}")
    return parameter.path, position


def _refused(option: str, why: str) -> TopologyError:
    return TopologyError([Problem(Position(option), (), why)])
