"""Driver variants by their names: each is a frozen row of policies, and the skeleton never asks which.

A row is named, or changed in single cells (`driver: {variant: merged, attach: context-first}`), or the user's own
(`my_driver.py:MyVariant`). A cell may be the user's own, too:
`driver: {variant: current, attach: my_driver.py:MyAttach}`.
A single policy that is named as a row is `merged` with it; ``--driver`` puts it into the topology's own driver.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from cosim.sw.driver.axes import Variant
from cosim.sw.driver.candidates import only_a_file, policy_hint, row_hint
from cosim.sw.driver.compiled import COMPILED
from cosim.sw.driver.own import VariantError, load_own, load_policy, own_axis
from cosim.sw.driver.table import CELLS, NEEDS, REFERENCE, ROWS
from cosim.sw.steps import steps, without
from cosim.units import quantities
from cosim.units.nearest import nearest

NEWEST = "latest"
"""The row that answers what is asked beforehand of a driver that is compiled and no row: how long it waits at most, and
which pages it makes."""


def variant(name: str, cells: Mapping[str, Any] | None = None) -> Variant:
    """The row called `name` (or ``FILE.py:NAME``), some of its cells replaced by others. VariantError.

    A cell is the name of a policy of its axis (or ``FILE.py:NAME``), or a mapping of `policy`, of the policy's own
    numbers, and of the steps that it is to be `without`: ``{policy: short-fence, fence_ps: 10 ms, without: barrier}``.
    Without `policy` it is the row's own; several steps are a list, or one text with commas.
    """
    row = load_variant(name)
    if cells and name.startswith(COMPILED):
        raise VariantError(
            f"driver: {next(iter(cells))}: an object has no policies that could be set: {name} is compiled"
        )
    changed = replace(row, **{axis: _cell(row, axis, value) for axis, value in (cells or {}).items()})
    _check_needs(changed)
    return changed


def chosen(cells: Mapping[str, Any]) -> list[str]:
    """Cells as ``-s driver.…`` sets them: ``attach=context-first``, ``attach.without=barrier``."""
    found = []
    for axis, cell in cells.items():
        for name, value in cell.items() if isinstance(cell, Mapping) else [("policy", cell)]:
            text = ",".join(map(str, value)) if isinstance(value, (list, tuple)) else value
            found.append(f"{axis}={text}" if name == "policy" else f"{axis}.{name}={text}")
    return found


def called(row: Variant, cells: Mapping[str, Any]) -> str:
    """A row and the cells that were changed in it, as results name a driver: ``merged attach=context-first``."""
    return " ".join([row.name, *chosen(cells)])


def check_cell(name: str, axis: str, value: Any) -> None:
    """VariantError unless `value` is a policy for the axis, whatever else it needs."""
    _cell(load_variant(name), axis, value)


def _check_needs(row: Variant) -> None:
    for (axis, cell), others in NEEDS.items():
        if isinstance(getattr(row, axis), type(CELLS[axis][cell])):
            for other, wanted in others.items():
                found = getattr(row, other)
                if not isinstance(found, type(CELLS[other][wanted])):
                    needs = " and ".join(f"{one}: {wants}" for one, wants in others.items())
                    raise VariantError(f"driver: {axis}: {cell} needs {needs}, not {other}: {cell_name(other, found)}")


def load_variant(text: str) -> Variant:
    """The variant that a command line or a topology names: a row of the table, or ``FILE.py:NAME``. VariantError."""
    if text.startswith(COMPILED):
        return replace(_row_of(NEWEST), name=text)
    path, colon, name = text.rpartition(":")
    if colon:
        return load_own(Path(path), name, _row_of(REFERENCE))
    if text.endswith(".py"):
        raise VariantError(f"driver {text}: {only_a_file(Path(text))}")
    if text not in ROWS:
        raise VariantError(f"driver {text!r} is not known; {row_hint(text, ROWS, CELLS)}")
    return _row_of(text)


def row_name(text: str) -> str:
    """What a variant that is named so is called in results, before it is loaded: a single policy with its row."""
    axis = axis_of_policy(text)
    return f"{REFERENCE} {axis}={text}" if axis else text


def axis_of_policy(text: str) -> str:
    """The axis of a single policy that is named as ``FILE.py:NAME``; empty for a row, and for what is neither."""
    path, colon, name = text.rpartition(":")
    if text.startswith(COMPILED) or not colon:
        return ""
    try:
        return own_axis(Path(path), name, _row_of(REFERENCE))
    except VariantError:
        return ""  # whoever loads it says why


def _row_of(name: str) -> Variant:
    return Variant(**{axis: CELLS[axis][cell] for axis, cell in ROWS[name].items()}, name=name)


def _cell(row: Variant, axis: str, value: Any) -> Any:
    if axis not in CELLS:
        raise VariantError(f"driver: {axis!r} is not an axis; {policy_hint(axis, CELLS) or nearest(axis, CELLS)}")
    options = {str(key): given for key, given in value.items()} if isinstance(value, Mapping) else {"policy": value}
    removed = options.pop("without", ())
    if "policy" in options:
        name = options.pop("policy")
        policy = _policy(axis, name)
    else:
        name, policy = cell_name(axis, getattr(row, axis)), getattr(row, axis)
    what = f"driver: {axis}: {name}"
    names = [name.strip() for name in removed.split(",")] if isinstance(removed, str) else removed
    return _without(what, _with_options(what, policy, options), names)


def _policy(axis: str, name: Any) -> Any:
    path, colon, own = str(name).rpartition(":")
    if colon:
        return load_policy(axis, Path(path), own, _row_of(REFERENCE))
    if str(name).endswith(".py"):
        raise VariantError(f"driver: {axis}: {name}: {only_a_file(Path(name))}")
    if not isinstance(name, str) or name not in CELLS[axis]:
        hint = policy_hint(str(name), CELLS) or nearest(str(name), CELLS[axis])
        raise VariantError(f"driver: {axis}: there is no {name!r}; {hint}")
    return CELLS[axis][name]


def _without(what: str, policy: Any, names: Any) -> Any:
    if not isinstance(names, (list, tuple)):
        raise VariantError(f"{what}: without: a step or a list of steps, not {names!r}")
    known = steps(policy)
    for name in names:
        if name not in known:
            hint = nearest(str(name), known) if known else "it has none that could be taken out"
            raise VariantError(f"{what} has no step {name!r}; {hint}")
    return without(policy, names) if names else policy


def cell_name(axis: str, policy: Any) -> str:
    """The name of a policy in the table; of one that is not there, that of its class."""
    return next((name for name, known in CELLS[axis].items() if known == policy), type(policy).__name__)


def _with_options(what: str, policy: Any, options: Mapping[str, Any]) -> Any:
    if not options:
        return policy
    known = {field.name: type(getattr(policy, field.name)) for field in fields(policy)} if is_dataclass(policy) else {}
    values: dict[str, Any] = {}
    for name, given in options.items():
        if name not in known:
            raise VariantError(f"{what} has no option {name!r}; {nearest(name, [*known, 'without'])}")
        try:
            values[name] = quantities.parse_time(given) if name.endswith("_ps") else _number(given, known[name])
        except ValueError as error:
            raise VariantError(f"{what}: {name}: {error}") from None
    try:
        return replace(policy, **values)
    except ValueError as error:
        raise VariantError(f"{what}: {error}") from None


def _number(given: Any, kind: type) -> Any:
    """A policy's own number, or text, as it was given. ValueError."""
    if kind is not int:
        return kind(given)
    if isinstance(given, bool) or not str(given).strip().isdecimal() or not int(given):
        raise ValueError(f"{given} is not a whole number above 0")
    return int(given)
