"""The table of driver variants: each is a frozen row of policies, and the skeleton never asks which.

A row is named, or changed in single cells (`driver: {variant: merged, attach: context-first}`), or the user's own
(`my_driver.py:MyVariant`, a whole row or one policy in place of the one it derives from).
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

from cosim.sw.driver.policies import (
    attach,
    attach_defects,
    attach_reviewed,
    bonds,
    bringup,
    capable,
    invalidate,
    pscid,
    queue,
    tables,
)
from cosim.sw.driver.policies.tables_generic import Generic
from cosim.units import quantities


class VariantError(ValueError):
    """A driver that is not known, or that is not one; the message names the nearest right answer."""


@dataclass(frozen=True)
class Variant:
    """One row of the table."""

    pscid: pscid.Shared
    bonds: bonds.Grouped
    attach: attach.BondFirst
    tables: tables.PerPage
    invalidate: invalidate.PerIommu
    queue: queue.Tickets
    capable: frozenset[str]
    bringup: bringup.HandsOver
    name: str = ""


CELLS: Mapping[str, Mapping[str, Any]] = {
    "pscid": {
        "shared": pscid.Shared(),
        "tables-first": pscid.TablesFirst(),
        "per-iommu": pscid.PerIommuPscids(),
    },
    "bonds": {
        "grouped": bonds.Grouped(),
        "ungrouped": bonds.Ungrouped(),
        "unlocked": bonds.Unlocked(),
        "holds-iommu": bonds.HoldsIommu(),
        "freed-at-once": bonds.BondsFreedAtOnce(),
        "waits-in-unlink": bonds.WaitsInUnlink(),
        "one-iommu-pointer": bonds.OneIommu(),
        "v2": bonds.ReviewedBonds(),
    },
    "attach": {
        "bond-first": attach.BondFirst(),
        "no-barrier": attach_defects.NoAttachBarrier(),
        "no-dma-wmb": attach_defects.NoContextDmaWmb(),
        "no-barriers": attach_defects.NoAttachBarriers(),
        "context-first": attach_defects.ContextFirst(),
        "live-update": attach_defects.LiveUpdate(),
        "keeps-invalidated": attach_defects.KeepsInvalidated(),
        "no-old-flush": attach_defects.NoOldFlush(),
        "flushes-contexts": attach.FlushesContexts(),
        "v2": attach_reviewed.ReviewedAttach(),
    },
    "tables": {
        "per-page": tables.PerPage(),
        "released": tables.Released(),
        "freed-at-once": tables.TablesFreedAtOnce(),
        "root-at-attach": tables.RootAtAttach(),
        "cpu-mode": tables.CpuMode(),
        "inverted-test": tables.InvertedTest(),
        "generic": Generic(),
        "v2": tables.ReviewedTables(),
        "v2-as-posted": tables.AsPosted(),
    },
    "invalidate": {
        "per-iommu": invalidate.PerIommu(),
        "no-barrier": invalidate.NoBarrier(),
        "per-device": invalidate.PerDevice(),
        "short-fence": invalidate.ShortFence(),
        "with-freelist": invalidate.WithFreelist(),
        "with-freelist-no-barrier": invalidate.WithFreelistNoBarrier(),
        "v2": invalidate.ReviewedInvalidate(),
    },
    "queue": {
        "tickets": queue.Tickets(),
        "no-mmiowb": queue.NoMmiowb(),
        "no-dma-wmb": queue.NoCommandDmaWmb(),
        "stop-on-error": queue.StopOnError(),
        "v2": queue.ReviewedQueue(),
    },
    "capable": {
        "none": capable.NONE,
        "deferred-flush": capable.DEFERRED_FLUSH,
        "coherent+deferred": capable.COHERENT,
    },
    "bringup": {
        "hands-over": bringup.HandsOver(),
        "no-hand-over": bringup.NoHandOver(),
        "v2": bringup.ReviewedBringup(),
    },
}
"""Every named policy: axis, then name."""


def _row(**names: str) -> dict[str, str]:
    return names


ROWS: Mapping[str, Mapping[str, str]] = {
    "merged": (
        merged := _row(
            pscid="shared",
            bonds="grouped",
            attach="bond-first",
            tables="per-page",
            invalidate="per-iommu",
            queue="tickets",
            capable="none",
            bringup="hands-over",
        )
    ),
    "v2": (
        v2 := _row(
            pscid="tables-first",
            bonds="v2",
            attach="v2",
            tables="v2",
            invalidate="v2",
            queue="v2",
            capable="none",
            bringup="v2",
        )
    ),
    "v2-as-posted": v2 | {"tables": "v2-as-posted"},
    "current": merged
    | {
        "attach": "flushes-contexts",
        "tables": "generic",
        "invalidate": "with-freelist",
        "queue": "stop-on-error",
        "capable": "deferred-flush",
    },
}
"""`merged`: Linux 6.13 with 6.14's queue reset and shutdown; `current`: Linux 7.1; `v2`: the reviewed patch, unmap
repaired; `v2-as-posted`: unmap as it was."""

AXES = tuple(CELLS)


def variant(name: str, cells: Mapping[str, Any] | None = None) -> Variant:
    """The row called `name` (or ``FILE.py:NAME``), some of its cells replaced by others. VariantError.

    A cell is the name of a policy of its axis, or a mapping of `policy` and of the policy's own numbers:
    ``{policy: short-fence, fence_ps: 10 ms}``.
    """
    row = load_variant(name)
    changed = {axis: _cell(row, axis, value) for axis, value in (cells or {}).items()}
    return _with(row, changed, row.name)


def _with(row: Variant, cells: Mapping[str, Any], name: str) -> Variant:
    return Variant(**{axis: getattr(row, axis) for axis in AXES} | dict(cells), name=name)


def load_variant(text: str) -> Variant:
    """The variant that a command line or a topology names: a row of the table, or ``FILE.py:NAME``. VariantError."""
    path, colon, name = text.rpartition(":")
    if colon:
        return _own(Path(path), name)
    if text not in ROWS:
        raise VariantError(f"driver {text!r} is not known{_near(text, ROWS)}")
    return Variant(**{axis: CELLS[axis][cell] for axis, cell in ROWS[text].items()}, name=text)


def _cell(row: Variant, axis: str, value: Any) -> Any:
    if axis not in CELLS:
        raise VariantError(f"driver: {axis!r} is not an axis{_near(axis, CELLS)}")
    options: dict[str, Any] = {}
    if isinstance(value, Mapping):
        options = {str(key): given for key, given in value.items() if key != "policy"}
        value = value.get("policy", _name_of(axis, getattr(row, axis)))
    if not isinstance(value, str) or value not in CELLS[axis]:
        raise VariantError(f"driver: {axis}: there is no {value!r}{_near(str(value), CELLS[axis])}")
    return _with_options(f"driver: {axis}: {value}", CELLS[axis][value], options)


def _name_of(axis: str, policy: Any) -> str:
    return next((name for name, known in CELLS[axis].items() if known == policy), type(policy).__name__)


def _with_options(what: str, policy: Any, options: Mapping[str, Any]) -> Any:
    if not options:
        return policy
    known = {field.name: type(getattr(policy, field.name)) for field in fields(policy)} if is_dataclass(policy) else {}
    values: dict[str, Any] = {}
    for name, given in options.items():
        if name not in known:
            raise VariantError(f"{what} has no option {name!r}{_near(name, known)}")
        try:
            values[name] = quantities.parse_time(given) if name.endswith("_ps") else known[name](given)
        except ValueError as error:
            raise VariantError(f"{what}: {name}: {error}") from None
    return replace(policy, **values)


def _own(path: Path, name: str) -> Variant:
    """A user's own row or policy."""
    if not path.is_file():
        raise VariantError(f"driver {path}:{name}: there is no file {path}")
    module = _load(path)
    found = getattr(module, name, None)
    if found is None:
        raise VariantError(f"driver {path} defines no {name!r}{_near(name, vars(module))}")
    made = _made(f"driver {path}:{name}", found)
    if isinstance(made, Variant):
        _check_row(f"driver {path}:{name}", made)
        return made if made.name else replace(made, name=name)
    for axis in AXES:
        if axis != "capable" and isinstance(made, _kind(axis)):
            return _with(load_variant("merged"), {axis: made}, name)
    raise VariantError(
        f"driver {path}:{name} is neither a Variant nor a subclass of a policy; policies are: "
        + ", ".join(f"{axis} ({_kind(axis).__name__})" for axis in AXES if axis != "capable")
    )


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"cosim_driver_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise VariantError(f"driver {path}: a driver is a Python file, FILE.py:NAME")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise VariantError(f"driver {path} does not load: {type(error).__name__}: {error}") from error
    return module


def _made(what: str, found: Any) -> Any:
    if not isinstance(found, type):
        return found
    try:
        return found()
    except TypeError as error:
        raise VariantError(f"{what} cannot be made without arguments: {error}") from None


def _check_row(what: str, row: Variant) -> None:
    for axis in AXES:
        cell = getattr(row, axis)
        if not isinstance(cell, _kind(axis)):
            raise VariantError(f"{what}: {axis}: {cell!r} is no {_kind(axis).__name__}")


def _kind(axis: str) -> type:
    """What every policy of an axis derives from: the one that `merged` has."""
    return type(CELLS[axis][ROWS["merged"][axis]])


def _near(given: str, known: Mapping[str, Any]) -> str:
    names = [name for name in known if not name.startswith("_")]
    near = get_close_matches(given, names, n=1)
    if near:
        return f"; did you mean {near[0]}?"
    return f"; there are: {', '.join(names)}"
