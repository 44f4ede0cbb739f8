"""Latitude and defects are classes in one table; the straight classes know nothing of them."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any, get_args

import pytest

import cosim.hw.iommu
from cosim.config.problems import TopologyError
from cosim.hw.iommu.command_defects import KeepsContexts
from cosim.hw.iommu.commands import CommandQueue
from cosim.hw.iommu.fault_buffer import FaultBuffer
from cosim.hw.iommu.options import DefectOptions, IommuOptions, Latitude, LatitudeOptions
from cosim.hw.iommu.parts import DEFECTS, LATITUDE, Parts, parts_of, shadowed
from cosim.hw.iommu.translate.overtaking import FillsStale
from cosim.hw.iommu.translate.resolve import CachesInvalid

FOLDER = Path(next(iter(cosim.hw.iommu.__path__)))
FILES = sorted(FOLDER.rglob("*.py"))


def options(**groups: Any) -> IommuOptions:
    return IommuOptions.model_validate({"kind": "iommu", "base": 0, **groups})


def test_every_latitude_and_every_defect_has_its_row() -> None:
    assert set(LATITUDE) == set(LatitudeOptions.model_fields)
    assert set(DEFECTS) == set(DefectOptions.model_fields)
    for name, settings in LATITUDE.items():
        assert set(settings) == set(get_args(Latitude)) - {"off"}, name


def test_without_them_an_iommu_is_made_of_the_straight_classes() -> None:
    assert parts_of(options()) == Parts()


@pytest.mark.parametrize("name", [*LATITUDE, *DEFECTS])
def test_each_puts_something_in_the_place_of_something(name: str) -> None:
    if name in LATITUDE:
        settings = [options(latitude={name: setting}) for setting in ("on", "explore")]
    else:
        settings = [options(defects={name: "1 ns" if name == "lose_buffered" else 1})]
    for changed in settings:
        assert parts_of(changed) != Parts()


def test_several_at_once_each_have_their_place() -> None:
    made = parts_of(options(defects={"cache_invalid": True, "early_fence": True}, latitude={"out_of_order": "on"}))
    assert made.resolver is CachesInvalid
    assert issubclass(made.commands, CommandQueue)
    assert made.commands is not CommandQueue
    assert made.order is not Parts().order
    assert made.fault_buffer is FaultBuffer


def test_of_two_that_are_for_one_part_the_earlier_is_shadowed_by_the_later() -> None:
    both = options(defects={"pscid_bits": 1, "skip_permissions": True}, latitude={"evict": "on"})
    assert dict(shadowed(both)) == {
        ("latitude", "evict"): ("defects", "pscid_bits"),
        ("defects", "pscid_bits"): ("defects", "skip_permissions"),
    }
    apart = options(defects={"stale_fill": True, "early_fence": True}, latitude={"out_of_order": "on", "evict": "on"})
    assert not dict(shadowed(apart))


def test_of_two_that_are_for_one_part_the_later_has_effect() -> None:
    both = options(defects={"stale_fill": True}, latitude={"walk_across_invalidation": "on"})
    assert parts_of(both).overtaking is FillsStale
    both = options(defects={"lose_invalidation": 1, "keep_context": True})
    assert parts_of(both).commanded is KeepsContexts


def test_a_topology_that_sets_both_is_refused_at_the_one_without_effect() -> None:
    says = (
        r"defects\.pscid_bits: has no effect beside defects\.skip_permissions, which is for the same part of the IOMMU"
    )
    with pytest.raises(TopologyError, match=says):
        cosim.load("pscid_bits", set={"iommu0.defects.skip_permissions": True})


def asks_for(group: str, path: Path) -> list[int]:
    """The lines that read an option of a group."""
    tree = ast.parse(path.read_text())
    return [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr == group]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(FOLDER)))
def test_only_the_table_reads_these_options(path: Path) -> None:
    for group in ("latitude", "defects"):
        if path.name != "parts.py":
            assert not asks_for(group, path), f"{path.name} asks for {group}: make a class and a row in parts.py"
    if path.name == "parts.py":
        assert asks_for("latitude", path)
        assert asks_for("defects", path)


# --- A walk has one owner ---------------------------------------------------------------------------------------------

OWNERS = {"walk": {"walk.py", "walker.py"}, "miss": {"miss.py"}, "inner": {"walk.py", "walker.py"}}
"""Who may assign to an attribute of what is called so."""


def foreign_changes(name: str, source: str) -> list[int]:
    """The lines that assign to an attribute of a walk, a miss or an inner walk, in a file that does not own it."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            of = node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", "")
            if of in OWNERS and name not in OWNERS[of]:
                found.append(node.lineno)
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(FOLDER)))
def test_walks_and_misses_are_changed_by_their_owner_alone(path: Path) -> None:
    assert not foreign_changes(path.name, path.read_text())


def test_the_check_of_owners_sees_a_foreign_change() -> None:
    wrong = "walk.entry = None\nmiss.walk.reads += 1\na, miss.leaf = 1, 2\nentry.value = 3\n"
    assert foreign_changes("resolve.py", wrong) == [1, 2, 3]
    assert foreign_changes("walker.py", wrong) == [3]
