"""The cells in which two drivers differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cosim.config.problems import Position, Problem, TopologyError
from cosim.study.compare.drawing import Drawing, documented, drawing_of, text_of
from cosim.study.report.catalogue import policy_text
from cosim.sw.driver.axes import AXES, Variant
from cosim.sw.driver.own import VariantError
from cosim.sw.driver.table import CELLS, REFERENCE
from cosim.sw.driver.variants import axis_of_policy, cell_name
from cosim.sw.driver.variants import variant as with_cells
from cosim.sw.steps import steps
from cosim.system.driver_options import DriverOptions

VERB = Position("diff-driver")


@dataclass(frozen=True, slots=True)
class Side:
    """The policy that one of two drivers has in a cell."""

    name: str
    about: str
    """One sentence on it."""
    text: str
    """All that its docstring says in words."""
    drawing: Drawing | None
    steps: Mapping[str, str]
    """The steps that the other one does not have, each with a line on it."""
    spelled: str
    """How ``-s driver.AXIS=…`` chooses it; empty if it has no name of its own there."""

    def as_json(self) -> dict[str, Any]:
        """It as one JSON object; the drawing as its lines, each of two cells."""
        rows = None if self.drawing is None else [list(row) for row in self.drawing.rows]
        return {
            "policy": self.spelled or self.name,
            "about": self.about,
            "text": self.text,
            "drawing": rows,
            "steps": dict(self.steps),
        }


@dataclass(frozen=True, slots=True)
class CellPair:
    """A cell in which two drivers differ."""

    axis: str
    first: Side
    second: Side


def differences(first: str, second: str) -> list[CellPair]:
    """The cells in which two drivers differ, in the order of axes. TopologyError for one that is none, or one alone."""
    rows = [_loaded(options) for options in paired(first, second)]
    if first == second:
        raise TopologyError([Problem(VERB, (), f"{first} is named twice; what is it to be compared with?")])
    found = []
    for axis in AXES:
        one, other = (getattr(row, axis) for row in rows)
        if one != other:
            sides = _side(axis, one, other, first), _side(axis, other, one, second)
            found.append(CellPair(axis, *sides))
    return found


def paired(first: str, second: str) -> tuple[DriverOptions, DriverOptions]:
    """Two drivers that are named: a single policy of a user's file stands in the other one, or two of them in
    `merged`."""
    axes = [axis_of_policy(first), axis_of_policy(second)]
    one, other = ("" if axis else name for axis, name in zip(axes, (first, second), strict=True))
    return _options(first, axes[0], other), _options(second, axes[1], one)


def _options(name: str, axis: str, base: str) -> DriverOptions:
    if not axis:
        return DriverOptions(variant=name)
    return DriverOptions.model_validate({"variant": base or REFERENCE, axis: name})


def _loaded(options: DriverOptions) -> Variant:
    try:
        return with_cells(options.variant, options.cells)
    except VariantError as error:
        raise TopologyError([Problem(VERB, (), str(error))]) from None


def _side(axis: str, policy: Any, other: Any, driver: str) -> Side:
    lacks = steps(other)
    about = policy_text(policy) or f"derives from {documented(policy).__mro__[1].__name__}; its class has no docstring"
    return Side(
        name=cell_name(axis, policy),
        about=about,
        text=text_of(policy) if type(policy).__module__ != "builtins" else about,
        drawing=drawing_of(policy),
        steps={name: step.about for name, step in steps(policy).items() if name not in lacks},
        spelled=_spelled(axis, policy, driver),
    )


def _spelled(axis: str, policy: Any, driver: str) -> str:
    """The name by which another driver gets `policy`, which `driver` has; empty if there is none."""
    name, (path, colon, own) = cell_name(axis, policy), driver.rpartition(":")
    if name in CELLS[axis] and CELLS[axis][name] == policy:
        return name
    for text in (f"{path}:{name}", f"{path}:{own}") if colon else ():
        try:
            found = getattr(with_cells("merged", {axis: text}), axis)
        except VariantError:
            continue
        if type(found).__name__ == name and _state(found) == _state(policy):
            return text
    return ""


def _state(policy: Any) -> dict[str, Any]:
    return dict(getattr(policy, "__dict__", {}))
