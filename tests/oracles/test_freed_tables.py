"""Tables that are freed before the way to them is flushed are seen, though no walk goes through them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cosim.events import Attached, DomainMade, RegisterWritten, TableFreed
from cosim.oracles import FlushPromises
from cosim.spec.queues import Command, Iodir, Iotinval
from cosim.spec.register_map import DDTP
from cosim.sw.iommu_map import iommu_map, iommu_unmap
from cosim.sw.iommu_ops import Prot
from cosim.units.quantities import KIB, MIB, US
from tests.oracles.contexts import FSC, executed, fence, found, invalid, named
from tests.oracles.judging import Small, judged

POLICIES = Path(__file__).with_name("policies.py")
LARGE, IOVA, DATA = 2 * MIB, 0x4000_0000, 0x8100_0000
NEVER = ["table freed, never invalidated"]
AGAIN = ["PSCID in use again before the flush of what was freed meanwhile"]

# --- What is flushed, by events given by hand -----------------------------------------------------------------------

ATTACH = Attached(0, "t", "nic0", (1,), "mine", "iommu0")
ROOT = (FSC & (1 << 44) - 1) << 12


def freed(time: int, unlinked: int, iova: int = IOVA, size: int = LARGE) -> TableFreed:
    return TableFreed(time, "t", ROOT, 0x8800_0000, iova, size, unlinked)


@pytest.mark.parametrize(
    ("command", "kinds"),
    [
        (Iotinval.vma(pscid=7), []),
        (Iotinval.vma(), []),
        (Iotinval.vma(pscid=8), NEVER),
        (Iotinval.vma(pscid=7, addr=IOVA), NEVER),
        (Iotinval.vma(pscid=7, addr=IOVA, pages_lg2=9), NEVER),
        (Iotinval.vma(pscid=7, addr=IOVA, nl=1), []),
        (Iotinval.vma(pscid=7, addr=IOVA + LARGE - 0x1000, nl=1), []),
        (Iotinval.vma(pscid=7, addr=IOVA + LARGE, nl=1), NEVER),
        (Iotinval.vma(pscid=7, addr=IOVA, pages_lg2=18, nl=1), []),
        (Iotinval.vma(pscid=8, addr=IOVA, nl=1), NEVER),
        (Iotinval.vma(addr=IOVA, nl=1), []),
        (Iotinval.vma(pscid=7, gscid=3), NEVER),
        (Iotinval.gvma(gscid=3), NEVER),
    ],
    ids=[
        "PSCID",
        "all",
        "another",
        "a leaf",
        "leaves",
        "way",
        "by its last page",
        "beside",
        "range",
        "another's",
        "any",
        "a virtual machine's",
        "a second stage's",
    ],
)
def test_the_way_to_a_table_is_forgotten_by_what_names_more_than_leaves(command: Command, kinds: list[str]) -> None:
    events = [ATTACH, *named(1, 7), executed(20, command), fence(25)]
    assert found(FlushPromises, *events, freed(30, 10)) == kinds


FLUSH = Iotinval.vma(pscid=7)


@pytest.mark.parametrize(
    ("events", "unlinked", "kinds"),
    [
        ([executed(20, FLUSH), fence(25)], 20, []),
        ([executed(20, FLUSH), fence(25)], 21, NEVER),
        ([executed(20, Iotinval.vma(pscid=7, addr=IOVA, nl=1)), fence(25)], 21, NEVER),
        ([RegisterWritten(20, "iommu0", DDTP.offset, 8, 0, "t")], 10, []),
        ([executed(20, FLUSH)], 10, ["table freed, invalidated but not fenced"]),
        ([executed(20, FLUSH), fence(25)], -1, ["table freed, still linked"]),
        ([invalid(11), executed(20, Iodir.inval_ddt(1)), fence(25)], -1, []),
        ([invalid(11), executed(20, Iodir.inval_ddt(1))], -1, ["table freed, still linked"]),
        ([invalid(11), executed(20, Iodir.inval_ddt(1)), fence(25), *named(40, 7)], 10, NEVER),
    ],
    ids=[
        "at once",
        "too early",
        "way too early",
        "ddtp Off",
        "no fence",
        "still linked",
        "all have left",
        "not forgotten",
        "entered again",
    ],
)
def test_what_comes_before_the_table_is_unlinked_does_not_count(
    events: list[object], unlinked: int, kinds: list[str]
) -> None:
    assert found(FlushPromises, ATTACH, *named(1, 7), *events, freed(50, unlinked)) == kinds


def test_each_iommu_that_may_hold_the_way_is_told() -> None:
    other = [replace(ATTACH, device="nic2", iommu="iommu1"), *(replace(each, who="iommu1") for each in named(1, 7))]
    violations = judged(FlushPromises, ATTACH, *named(1, 7), *other, freed(30, 10))
    assert [each.message.partition(", and ")[2].partition(" may")[0] for each in violations] == ["iommu0", "iommu1"]


LEFT = [invalid(5), executed(6, Iodir.inval_ddt(1)), fence(7)]


@pytest.mark.parametrize(
    ("between", "kinds"),
    [
        ([], AGAIN),
        ([executed(40, Iotinval.vma(pscid=7, addr=IOVA)), fence(41)], AGAIN),
        ([executed(40, Iotinval.vma(pscid=7, addr=IOVA, nl=1)), fence(41)], []),
        ([DomainMade(40, "mine")], ["PSCID taken over from another domain before its flush"]),
    ],
    ids=["nothing", "leaves", "way", "another of that name"],
)
def test_a_table_that_is_freed_while_its_domain_is_empty_is_minded_when_that_is_entered_again(
    between: list[object], kinds: list[str]
) -> None:
    events: list[object] = [ATTACH, *named(1, 7), *LEFT, freed(20, 10), *between, *named(50, 7)]
    assert found(FlushPromises, *events) == kinds


def test_a_table_of_a_domain_that_was_made_again_is_the_earlier_ones() -> None:
    """That has another root, and a device."""
    again = [DomainMade(20, "mine"), *named(31, 8, fsc=FSC + 1)]
    assert found(FlushPromises, ATTACH, *named(1, 7), *LEFT, *again, freed(50, -1)) == []


# --- What drivers do -------------------------------------------------------------------------------------------------


def promises(small: Small) -> list[str]:
    """What the oracle saw, and no other one saw anything."""
    assert all(signature.startswith("flush-promises: ") for signature in small.signatures)
    return [signature.removeprefix("flush-promises: ") for signature in small.signatures]


def replaced(small: Small, domain: str = "nic0") -> None:
    """A page of 4 KiB comes and goes, and one of 2 MiB takes the place of its table."""

    async def body() -> None:
        runtime = small.runtime
        core, driver = runtime.core.domains[domain], runtime.driver
        await iommu_map(driver, core, IOVA, DATA, 4 * KIB, Prot.READ)
        await iommu_unmap(driver, core, IOVA, 4 * KIB)
        await iommu_map(driver, core, IOVA, DATA - DATA % LARGE, LARGE, Prot.READ)

    small.do(body(), wait_ps=60 * US)


ROWS = ["merged", "current", "latest", "ideal"]
MUTANTS = [
    ("merged", "tables=freed-at-once"),
    ("merged", "tables.without=flush-of-replaced"),
    ("current", "invalidate.without=flush-of-tables"),
    ("latest", "invalidate.without=flush-of-freed"),
    ("ideal", "invalidate.without=flush-of-freed"),
]
NL = "iommu*.capabilities.nl=true"


@pytest.mark.parametrize("sets", [(), (NL,), (NL, "iommu*.capabilities.s=true")], ids=["", "nl", "nl s"])
@pytest.mark.parametrize("driver", ROWS)
def test_a_driver_that_flushes_before_it_frees_a_table_is_right(driver: str, sets: tuple[str, ...]) -> None:
    small = Small(driver, sets=sets)
    replaced(small)
    assert promises(small) == []


@pytest.mark.parametrize(("driver", "change"), MUTANTS)
def test_a_driver_that_does_not_flush_before_it_frees_a_table_is_seen(driver: str, change: str) -> None:
    small = Small(driver, sets=[f"driver.{change}"])
    replaced(small)
    assert promises(small) == NEVER


def test_of_two_iommus_each_is_to_be_told() -> None:
    small = Small("merged", sets=["driver.bonds=one-iommu-pointer"])
    small.make("shared")
    for device in ("nic0", "nic2"):
        small.move(device, "shared")
    replaced(small, "shared")
    assert NEVER[0] in promises(small)


def test_a_table_of_a_domain_in_which_no_device_is_needs_no_flush() -> None:
    small = Small("merged", sets=["driver.tables=freed-at-once"])
    small.make("x")
    replaced(small, "x")
    assert promises(small) == []


@pytest.mark.parametrize("driver", ROWS)
def test_a_domain_is_freed_with_its_tables_when_its_devices_have_left(driver: str) -> None:
    small = Small(driver)
    small.make("x")
    small.move("nic0", "x")
    small.map("x")
    small.move("nic0", "nic0")
    small.free("x")
    assert promises(small) == []


@pytest.mark.slow
@pytest.mark.parametrize(("tables", "kinds"), [("generic", []), (f"{POLICIES}:FreesBeforeFlush", NEVER)])
def test_a_table_that_an_unmap_leaves_empty_is_freed_behind_the_flush(tables: str, kinds: list[str]) -> None:
    small = Small("latest", sets=[f"driver.tables={tables}"])

    async def body() -> None:
        driver, domain = small.runtime.driver, small.runtime.core.domains["nic0"]
        await iommu_map(driver, domain, IOVA, DATA + 64 * KIB, LARGE, Prot.READ)
        await iommu_unmap(driver, domain, IOVA, LARGE)

    small.do(body(), wait_ps=100 * US)
    assert promises(small) == kinds
