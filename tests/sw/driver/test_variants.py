"""The table of variants: rows, single cells, a user's own driver, and what is said of mistakes."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
from pathlib import Path

import pytest

from cosim.sw.contract import breaches
from cosim.sw.driver import policies
from cosim.sw.driver.axes import AXES, CONTRACTS
from cosim.sw.driver.driver import Driver
from cosim.sw.driver.own import VariantError
from cosim.sw.driver.policies import attach, attach_defects, invalidate, pscid
from cosim.sw.driver.table import CELLS, ROWS
from cosim.sw.driver.variants import called, load_variant, variant
from cosim.sw.steps import steps
from cosim.units.quantities import MS
from tests.sw.machine import Machine

OWN = """
from dataclasses import dataclass, replace

from cosim.units.quantities import MS
from cosim.sw.driver.policies.attach import BondFirst
from cosim.sw.driver.policies.invalidate import PerIommu
from cosim.sw.driver.variants import load_variant


@dataclass(frozen=True)
class Hasty(PerIommu):
    fence_ps: int = 1 * MS


class NeedsMore(BondFirst):
    def __init__(self, what):
        pass


class Stranger:
    pass


class FromNothing:  # no subclass of anything, and a policy all the same
    async def range(self, driver, domain, first, last):
        pass

    async def sync(self, driver, domain, gather):
        pass


class Half(FromNothing):
    sync = None


class HasMore(PerIommu):  # also what a policy of pscid has
    async def born(self, *what):
        pass

    died = take = on = drop = of = born


class Short(PerIommu):
    async def range(self, driver, domain):
        pass


class Blocking(PerIommu):
    def range(self, driver, domain, start, end):
        pass


class OwnQueue:
    async def send(self, driver, iommu, command):
        return 0

    async def wait(self, driver, iommu, ticket):
        return True


row = replace(load_variant("current"), attach=BondFirst(), name="mine")
nameless = replace(row, name="")
torn = replace(load_variant("merged"), queue="fast")
mixed = replace(load_variant("merged"), attach=FromNothing())
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "my_driver.py"
    path.write_text(OWN)
    return path


def test_rows_differ_in_the_cells_that_they_say() -> None:
    assert {axis for axis in AXES if ROWS["v2"][axis] != ROWS["v2-as-posted"][axis]} == {"tables"}
    assert {axis for axis in AXES if ROWS["merged"][axis] != ROWS["current"][axis]} == {
        *("attach", "tables", "invalidate", "queue", "capable")
    }


@pytest.mark.parametrize("name", list(ROWS))
def test_every_row_is_complete_and_knows_its_name(name: str) -> None:
    row = load_variant(name)
    assert row.name == name
    for axis in AXES:
        assert getattr(row, axis) is CELLS[axis][ROWS[name][axis]]


def test_policies_hold_no_state() -> None:
    """What threads share is in simulated memory: a policy that could be written to would hide races."""
    for axis, named in CELLS.items():
        for name, policy in named.items():
            if axis == "capable":
                assert isinstance(policy, frozenset)
                continue
            with pytest.raises((dataclasses.FrozenInstanceError, AttributeError)):
                policy.anything = name


def test_there_is_a_contract_for_each_axis_and_every_policy_keeps_its_own() -> None:
    assert tuple(CELLS) == AXES
    for axis, named in CELLS.items():
        for name, policy in named.items():
            assert not breaches(CONTRACTS[axis], policy), f"{axis}: {name}"


def test_every_class_among_the_policies_can_be_chosen_by_a_name() -> None:
    chosen = {type(policy) for named in CELLS.values() for policy in named.values()}
    for module in pkgutil.iter_modules(policies.__path__, f"{policies.__name__}."):
        for name, kind in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            if kind.__module__ == module.name:
                assert kind in chosen, f"{name} of {module.name} is in no line of CELLS (cosim/sw/driver/table.py)"


def test_no_two_axes_have_policies_of_the_same_class_name() -> None:
    kinds = {type(policy) for named in CELLS.values() for policy in named.values()}
    assert len({kind.__name__ for kind in kinds}) == len(kinds)


def test_one_cell_can_be_changed() -> None:
    row = variant("merged", {"attach": "context-first"})
    assert isinstance(row.attach, attach_defects.ContextFirst)
    assert row.invalidate == load_variant("merged").invalidate


def test_a_row_and_what_was_changed_in_it_are_called_as_they_are_set() -> None:
    cells = {"queue": "locked", "attach": {"policy": "bond-first", "without": ["barrier", "iodir_of_old"]}}
    wanted = "merged queue=locked attach=bond-first attach.without=barrier,iodir_of_old"
    assert called(load_variant("merged"), cells) == wanted
    assert called(load_variant("merged"), {"invalidate": {"fence_ps": "10 ms"}}) == "merged invalidate.fence_ps=10 ms"


def test_a_policys_own_numbers_can_be_changed() -> None:
    row = variant("merged", {"invalidate": {"policy": "short-fence", "fence_ps": "10 ms"}, "pscid": {"highest": 4}})
    assert row.invalidate == invalidate.ShortFence(fence_ps=10 * MS)
    assert row.pscid == pscid.Shared(highest=4)


def test_the_highest_number_may_be_the_largest_that_a_pscid_can_be() -> None:
    assert variant("merged", {"pscid": {"highest": (1 << 20) - 1}}) == variant("merged")


def test_without_a_policy_the_numbers_are_those_of_the_rows_own_cell() -> None:
    row = variant("current", {"invalidate": {"fence_ps": "10 ms"}})
    assert row.invalidate == invalidate.WithFreelist(fence_ps=10 * MS)


@pytest.mark.parametrize(
    ("name", "cells", "text"),
    [
        ("merge", {}, "driver 'merge' is not known; did you mean merged?"),
        ("zzz", {}, "driver 'zzz' is not known; there are: merged, v2, v2-as-posted, current"),
        ("merged", {"atach": "bond-first"}, "driver: 'atach' is not an axis; did you mean attach?"),
        ("merged", {"attach": "bond-frist"}, "driver: attach: there is no 'bond-frist'; did you mean bond-first?"),
        ("merged", {"queue": 3}, "driver: queue: there is no 3; there are: tickets, no-mmiowb"),
        (
            "merged",
            {"invalidate": {"policy": "per-iommu", "fence": "1 ms"}},
            "driver: invalidate: per-iommu has no option 'fence'; did you mean fence_ps?",
        ),
        ("merged", {"invalidate": {"fence_ps": "10 parsecs"}}, "driver: invalidate: per-iommu: fence_ps: "),
        *(
            (
                "merged",
                {"pscid": {"highest": wrong}},
                f"driver: pscid: shared: highest: {wrong} is not a whole number above 0",
            )
            for wrong in ("many", 0, -1, 1.5, True)
        ),
        (
            "merged",
            {"pscid": {"highest": 1 << 20}},
            "driver: pscid: shared: highest: 1048576 is no PSCID; ",
        ),
        (
            "merged",
            {"tables": {"policy": "cpu-mode", "satp": "sv99"}},
            "driver: tables: cpu-mode: satp: sv99 is no scheme; there are: sv39, sv48, sv57",
        ),
        ("merged", {"capable": {"policy": "none", "lazy": 1}}, "driver: capable: none has no option 'lazy'"),
    ],
)
def test_a_mistake_is_answered_with_the_nearest_right_name(name: str, cells: dict[str, object], text: str) -> None:
    with pytest.raises(VariantError) as error:
        variant(name, cells)
    assert str(error.value).startswith(text)


# --- A user's own ---------------------------------------------------------------------------------------------------


def test_a_subclass_of_one_policy_takes_its_place_in_merged(own: Path) -> None:
    row = load_variant(f"{own}:Hasty")
    assert row.name == f"merged invalidate={own}:Hasty"
    assert row.invalidate.fence_ps == 1 * MS
    assert row.attach == load_variant("merged").attach


def test_what_keeps_a_contract_is_a_policy_whatever_it_derives_from(own: Path) -> None:
    row = load_variant(f"{own}:FromNothing")
    assert type(row.invalidate).__name__ == "FromNothing"
    assert row.queue == load_variant("merged").queue


def test_what_derives_from_a_policy_is_of_its_axis_whatever_else_it_has(own: Path) -> None:
    row = load_variant(f"{own}:HasMore")
    assert row.name == f"merged invalidate={own}:HasMore"
    assert row.pscid == load_variant("merged").pscid


def test_a_whole_row_can_be_ones_own(own: Path) -> None:
    row = load_variant(f"{own}:row")
    assert (row.name, row.attach) == ("mine", attach.BondFirst())
    assert row.tables is load_variant("current").tables
    assert load_variant(f"{own}:nameless").name == "nameless", "called as in the file"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Hastie", "defines no 'Hastie'; did you mean Hasty?"),
        ("Stranger", "is neither a Variant nor a policy of one of the axes: pscid, bonds, attach, tables, invalidate"),
        ("NeedsMore", "cannot be made without arguments"),
        ("torn", "torn: queue: 'fast' is no queue policy (QueuePolicy): it has no method send(driver, iommu, com"),
        ("mixed", "mixed: attach: FromNothing is no attach policy (AttachPolicy): it has no attribute has_blocked;"),
        ("Half", "is no invalidate policy (InvalidatePolicy): it has no method sync(driver, domain, gather)"),
        ("Short", "its range(driver, domain) cannot be called as range(driver, domain, start, end)"),
        ("Blocking", "is no invalidate policy (InvalidatePolicy): its range is not async, and is awaited"),
        ("OwnQueue", "its wait(driver, iommu, ticket) cannot be called as wait(driver, iommu, ticket, timeout_ps)"),
        ("OwnQueue", "is no queue policy (QueuePolicy): "),
        ("OwnQueue", "; it has no method sync(driver, iommu, timeout_ps)"),
    ],
)
def test_a_driver_of_ones_own_is_checked_when_it_is_loaded(own: Path, name: str, text: str) -> None:
    with pytest.raises(VariantError) as error:
        load_variant(f"{own}:{name}")
    assert text in str(error.value)


def test_a_policy_of_ones_own_takes_one_cell_of_any_row(own: Path) -> None:
    row = variant("current", {"invalidate": f"{own}:Hasty"})
    assert (row.name, type(row.invalidate).__name__, row.invalidate.fence_ps) == ("current", "Hasty", 1 * MS)
    assert row.attach == load_variant("current").attach


MISSPELT = """
from cosim.sw.driver.policies.invalidate import PerIommu

class Misspelt(PerIommu):
    async def rnage(self, driver, domain, start, end):
        pass

class Helped(PerIommu):
    async def ranges(self, driver, domain, parts):  # a helper of its own, which is called below
        pass

    async def range(self, driver, domain, start, end):
        await self.ranges(driver, domain, [(start, end)])
"""


def test_a_method_that_takes_the_place_of_none_for_a_slip_of_the_pen_is_told(tmp_path: Path) -> None:
    path = tmp_path / "my_driver.py"
    path.write_text(MISSPELT)
    with pytest.raises(VariantError, match=r"Misspelt: nothing calls its rnage, .* did you mean range\?"):
        variant("merged", {"invalidate": f"{path}:Misspelt"})
    assert type(variant("merged", {"invalidate": f"{path}:Helped"}).invalidate).__name__ == "Helped"


def test_a_capability_that_is_misspelt_is_told_and_one_that_nobody_asks_for_is_let_be(tmp_path: Path) -> None:
    """Without `deferred_flush` a lazy domain is strict, and says nothing of it."""
    path = tmp_path / "my_driver.py"
    path.write_text(
        'Lazy = frozenset({"defered_flush", "cache_coherency"})\nMore = frozenset({"deferred_flush", "dirty_tracking"})'
    )
    with pytest.raises(VariantError, match=r"Lazy: nobody asks for .*'defered_flush'; did you mean deferred_flush\?$"):
        variant("merged", {"capable": f"{path}:Lazy"})
    assert "dirty_tracking" in variant("merged", {"capable": f"{path}:More"}).capable


def test_a_policy_of_ones_own_has_numbers_and_steps_as_others_have(own: Path) -> None:
    cell = {"policy": f"{own}:Hasty", "fence_ps": "2 ms", "without": "barrier"}
    policy = variant("merged", {"invalidate": cell}).invalidate
    assert policy.fence_ps == 2 * MS
    assert "barrier" not in steps(policy)


@pytest.mark.parametrize(
    ("axis", "name", "text"),
    [
        ("invalidate", "Hastie", "defines no 'Hastie'; did you mean Hasty?"),
        ("invalidate", "Half", "Half is no invalidate policy (InvalidatePolicy): it has no method sync(driver, domain"),
        (
            "invalidate",
            "Stranger",
            "Stranger is no invalidate policy (InvalidatePolicy): it has no method range(driver",
        ),
        ("attach", "Hasty", "Hasty is a policy of invalidate: driver.invalidate={own}:Hasty"),
        ("attach", "row", "row is a whole row; it is chosen with driver.variant={own}:row"),
        ("attach", "NeedsMore", "NeedsMore cannot be made without arguments"),
    ],
)
def test_a_cell_of_ones_own_is_checked_when_it_is_loaded(own: Path, axis: str, name: str, text: str) -> None:
    with pytest.raises(VariantError) as error:
        variant("current", {axis: f"{own}:{name}"})
    assert str(error.value).startswith(f"driver: {axis}: {own}")
    assert text.format(own=own) in str(error.value)


def test_a_cell_that_is_named_by_its_file_alone_is_told_what_the_file_has(own: Path) -> None:
    with pytest.raises(VariantError, match=rf"driver: attach: {own}: a driver is named FILE.py:NAME; it defines: "):
        variant("current", {"attach": str(own)})
    with pytest.raises(VariantError, match=r"driver: attach: nowhere.py:X: there is no file nowhere.py"):
        variant("current", {"attach": "nowhere.py:X"})


def test_policies_that_need_others_say_which() -> None:
    with pytest.raises(
        VariantError, match=r"driver: attach: fenced needs pscid: by-bond and bonds: counted, not pscid: s"
    ):
        variant("merged", {"attach": "fenced"})
    with pytest.raises(VariantError, match=r"driver: pscid: by-bond needs .*, not bonds: grouped"):
        variant("ideal", {"bonds": "grouped"})
    with pytest.raises(VariantError, match=r"driver: pscid: by-bond needs .*, not attach: bond-first"):
        variant("ideal", {"attach": "bond-first"})
    together = {"attach": "fenced", "pscid": "by-bond", "bonds": "counted"}
    assert variant("merged", together).attach == variant("ideal").attach


@pytest.mark.parametrize(
    ("earlier", "axis"),
    [
        *((axis, axis) for axis in ("pscid", "bonds", "tables", "bringup")),
        *(("attaching", "attach"), ("invalidating", "invalidate"), ("queueing", "queue")),
    ],
)
def test_a_driver_that_asks_for_policies_by_their_earlier_names_still_works(earlier: str, axis: str) -> None:
    driver = Driver(Machine().kernel, load_variant("current"))
    assert getattr(driver, earlier) is getattr(driver.policies, axis)
    with pytest.raises(AttributeError, match="no attribute 'bond'"):
        driver.bond  # type: ignore[attr-defined]


def test_a_file_that_is_missing_or_broken_is_said_to_be(tmp_path: Path) -> None:
    with pytest.raises(VariantError, match=r"there is no file .*nowhere.py"):
        load_variant(f"{tmp_path}/nowhere.py:X")
    broken = tmp_path / "broken.py"
    broken.write_text("import nothing_of_that_name\n")
    with pytest.raises(VariantError, match="does not load: ModuleNotFoundError: No module named"):
        load_variant(f"{broken}:X")
    notes = tmp_path / "notes.txt"
    notes.write_text("hello")
    with pytest.raises(VariantError, match=r"a driver is a Python file, FILE.py:NAME"):
        load_variant(f"{notes}:X")


def test_a_file_may_define_dataclasses_whose_annotations_are_text(tmp_path: Path) -> None:
    own = tmp_path / "own.py"
    own.write_text(
        "from __future__ import annotations\n"
        "from dataclasses import dataclass\n"
        "from cosim.sw.driver.policies.invalidate import PerIommu\n\n"
        "@dataclass(frozen=True)\nclass Counts(PerIommu):\n    seen: int = 0\n"
    )
    assert vars(load_variant(f"{own}:Counts").invalidate)["seen"] == 0
