"""A user's own driver, ``FILE.py:NAME``: a whole row or one policy, checked against the contracts when it is loaded."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from cosim.sw.contract import breaches, members
from cosim.sw.driver import imported
from cosim.sw.driver.axes import AXES, CONTRACTS, Variant
from cosim.sw.driver.candidates import misnamed, misspelt, names_hint
from cosim.units.looked_for import looked_for

OWN = "cosim_driver_"
"""What the modules begin with that users' files are."""


class VariantError(ValueError):
    """A driver that is not known, or that is not one; the message names the nearest right answer."""


def load_own(path: Path, name: str, base: Variant) -> Variant:
    """The row `name` of a file, or `base` with the policy `name` in the place of its own. VariantError.

    What is named may be an object, or a class that is made without arguments. A policy's row is named by what it is
    made of, ``merged invalidate=FILE.py:NAME``.
    """
    what = f"driver {path}:{name}"
    made = _object("driver ", path, name)
    if isinstance(made, Variant):
        for axis in AXES:
            check(f"{what}: {axis}: {_called(getattr(made, axis))}", axis, getattr(made, axis))
        return made if made.name else replace(made, name=name)
    axis = axis_of(made, base)
    if not axis:
        raise VariantError(f"{what} is neither a Variant nor a policy of one of the axes: {', '.join(AXES)}")
    check(what, axis, made)
    return replace(base, **{axis: made}, name=f"{base.name} {axis}={path}:{name}")


def own_axis(path: Path, name: str, base: Variant) -> str:
    """The axis of the policy `name` of a file; empty if that is a row, or nothing of a driver. VariantError."""
    made = _object("driver ", path, name)
    return "" if isinstance(made, Variant) else axis_of(made, base)


def load_policy(axis: str, path: Path, name: str, base: Variant) -> Any:
    """The policy `name` of a file, for `axis`; an object, or a class that is made without arguments. VariantError."""
    prefix = f"driver: {axis}: "
    what, made = f"{prefix}{path}:{name}", _object(prefix, path, name)
    if isinstance(made, Variant):
        raise VariantError(f"{what} is a whole row; it is chosen with driver.variant={path}:{name}")
    meant = axis_of(made, base)
    if meant and meant != axis and breaches(CONTRACTS[axis], made) and not breaches(CONTRACTS[meant], made):
        raise VariantError(f"{what} is a policy of {meant}: driver.{meant}={path}:{name}")
    check(what, axis, made)
    return made


def check(what: str, axis: str, policy: Any) -> None:
    """VariantError unless `policy` keeps the contract of `axis`."""
    broken = breaches(CONTRACTS[axis], policy)
    if broken:
        raise VariantError(f"{what} is no {axis} policy ({CONTRACTS[axis].__name__}): {'; '.join(broken)}")
    for name, near in misnamed(policy) if axis == "capable" else ():
        raise VariantError(f"{what}: nobody asks for the capability {name!r}; did you mean {near}?")
    for name, near in misspelt(type(policy)):
        raise VariantError(f"{what}: nothing calls its {name}, nor does a base class have it; did you mean {near}?")


def axis_of(policy: Any, base: Variant) -> str:
    """The axis that a policy is meant for: that of the policy it derives from, else the one whose contract it keeps,
    else the one of which it has most methods by name; empty if none."""
    for axis in AXES:
        kinds = type(policy).__mro__[:-1]
        if any(kind in type(getattr(base, axis)).__mro__[:-1] for kind in kinds):
            return axis
    has = {axis: sum(callable(getattr(policy, name, None)) for name in _methods(axis)) for axis in AXES}
    best = max(AXES, key=lambda axis: (not breaches(CONTRACTS[axis], policy), has[axis] / len(_methods(axis))))
    return best if has[best] else ""


def _methods(axis: str) -> list[str]:
    contract = CONTRACTS[axis]
    return [name for name in members(contract) if inspect.isfunction(getattr(contract, name, None))]


def _called(policy: Any) -> str:
    return repr(policy) if isinstance(policy, (str, int, float)) else type(policy).__name__


def _object(prefix: str, path: Path, name: str) -> Any:
    if not path.is_file():
        raise VariantError(f"{prefix}{path}:{name}: there is no file {path}{looked_for(path)}")
    found = getattr(_load(prefix, path), name, None)
    if found is None:
        raise VariantError(f"{prefix}{path} defines no {name!r}; {names_hint(path, name)}")
    return _made(f"{prefix}{path}:{name}", found)


def _load(prefix: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"{OWN}{path.stem}", path)
    if spec is None or spec.loader is None:
        raise VariantError(f"{prefix}{path}: a driver is a Python file, FILE.py:NAME")
    module = importlib.util.module_from_spec(spec)
    imported.anew(path)
    sys.modules[spec.name] = module  # where dataclasses look up the names in annotations that are text
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise VariantError(f"{prefix}{path} does not load: {type(error).__name__}: {error}") from error
    imported.note(path)
    return module


def _made(what: str, found: Any) -> Any:
    if not isinstance(found, type):
        return found
    try:
        return found()
    except TypeError as error:
        raise VariantError(f"{what} cannot be made without arguments: {error}") from None
