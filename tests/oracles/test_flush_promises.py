"""The oracle of the promise: what is not flushed is seen though no device happens to touch anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from cosim.events import (
    Attaching,
    DomainMade,
    KernelEnded,
    LeafCleared,
    MapBegun,
    Mapped,
    PageFreed,
    RegisterWritten,
    UnmapBegun,
    UnmapFailed,
    Unmapped,
)
from cosim.oracles import FlushPromises
from cosim.sim.operations import MmioWrite
from cosim.spec.queues import Iotinval
from cosim.spec.register_map import DDTP
from cosim.sw.dma_api import Piece
from cosim.sw.driver.driver import Driver
from cosim.sw.driver.policies.invalidate_kept import KeepsPages
from cosim.sw.kernel.errors import KernelError
from cosim.units.quantities import MIB, MS, US, S
from tests.oracles.contexts import executed, fence, found, invalid, named
from tests.oracles.judging import Small

IOMMU0, IOMMU1 = 0x0300_0000, 0x0300_1000
POLICIES = Path(__file__).with_name("policies.py")
PREFIX = "flush-promises: "


def promises(small: Small) -> list[str]:
    """What the oracle saw; that no device made any request, the others have seen nothing."""
    assert not [signature for signature in small.signatures if "dma" in signature.partition(":")[0]]
    return [signature.removeprefix(PREFIX) for signature in small.signatures if signature.startswith(PREFIX)]


@pytest.mark.parametrize("driver", ["v2", "merged", "current", "latest", "ideal"])
def test_what_is_flushed_is_right(driver: str):
    small = Small(driver)
    small.make("shared")
    for device in ("nic0", "nic2"):
        small.move(device, "shared")
    iova, _ = small.map("shared")
    small.unmap("shared", iova)
    assert promises(small) == []


@pytest.mark.parametrize(
    ("bonds", "found"), [("grouped", []), ("one-iommu-pointer", ["unmap returned, never invalidated"])]
)
@pytest.mark.parametrize("devices", [("nic0", "nic2"), ("nic2", "nic0")], ids=str)
def test_an_iommu_that_is_not_told_of_an_unmap_is_seen(devices: tuple[str, str], bonds: str, found: list[str]) -> None:
    """Whichever of the two it is."""
    small = Small(sets=[f"driver.bonds={bonds}"])
    small.make("shared")
    for device in devices:
        small.move(device, "shared")
    iova, _ = small.map("shared")
    small.unmap("shared", iova)
    assert promises(small) == found


@pytest.mark.parametrize(
    ("tables", "mapped", "found"),
    [
        ("generic", 2 * MIB, []),
        (f"{POLICIES}:TakesBack", 0, []),
        (f"{POLICIES}:TakesBackUnflushed", 0, ["failed map returned, never invalidated"]),
    ],
    ids=["by the caller", "by the driver", "unflushed"],
)
def test_a_failed_map_flushes_the_leaves_that_it_takes_back(tables: str, mapped: int, found: list[str]) -> None:
    """Its second table of leaves is refused; by then a device, or who prefetches for it, may have used the first."""
    small = Small("latest", [f"driver.tables={tables}"])
    failed: list[str] = []

    async def body() -> None:
        small.runtime.kernel.pages.fail({5})
        try:
            await small.runtime.dma["nic0"].map_sg([Piece(0x8200_1000, 3 * MIB)])
        except KernelError as error:
            failed.append(str(error))

    small.do(body(), wait_ps=100 * US)
    assert failed == [f"-ENOMEM: map of {0xFFC0_0000 + mapped:#x} in nic0"]
    assert promises(small) == found


async def write(address: int, value: int) -> None:
    await MmioWrite(address, value, 8)


def test_an_iommu_whose_ddtp_is_off_need_not_be_told_until_it_is_on_again():
    """It refuses every request then ("Device-directory-table pointer (ddtp)")."""
    small = Small(sets=["driver.bonds=one-iommu-pointer"])
    small.make("shared")
    for device in ("nic0", "nic2"):
        small.move(device, "shared")
    (x, _), (y, _) = small.map("shared"), small.map("shared")
    ddtp = int(small.system.iommus["iommu0"].registers.value(DDTP))
    place = IOMMU0 + DDTP.offset
    small.do(write(place, 0))
    small.unmap("shared", x)
    assert promises(small) == []
    small.do(write(place, ddtp))
    small.unmap("shared", y)
    assert promises(small) == ["unmap returned, never invalidated"]


@pytest.mark.parametrize(("off", "found"), [(False, ["attach returned, context never invalidated"]), (True, [])])
def test_a_context_of_an_iommu_whose_ddtp_is_off_need_not_be_forgotten(off: bool, found: list[str]):
    small = Small(sets=["driver.attach=keeps-invalidated"])
    if off:
        small.do(write(IOMMU1 + DDTP.offset, 0))
    small.do(small.runtime.core.release_device("nic2"))
    assert promises(small) == found


@pytest.mark.parametrize(
    ("invalidate", "found"),
    [("per-iommu", []), ("short-fence", ["unmap returned, invalidation sent but not executed"])],
)
def test_an_unmap_that_does_not_wait_for_its_fence_is_seen(invalidate: str, found: list[str]):
    """Defect C8: the fence is given 150 ms, and the command consumer stands still for 200 ms."""
    small = Small(sets=[f"driver.invalidate={invalidate}"])
    iova, _ = small.map("nic0")
    small.system.iommus["iommu0"].commands.stall(small.system.sim.now, 200 * MS)
    small.unmap("nic0", iova, wait_ps=300 * MS)
    assert promises(small) == found


@pytest.mark.parametrize(
    ("attach", "found"), [("bond-first", []), ("keeps-invalidated", ["attach returned, context never invalidated"])]
)
def test_a_context_that_the_iommu_is_not_told_to_forget_is_seen(attach: str, found: list[str]):
    small = Small(sets=[f"driver.attach={attach}"])
    small.do(small.runtime.core.release_device("nic0"))
    assert promises(small) == found


@pytest.mark.parametrize(
    ("attach", "found"),
    [("bond-first", []), ("no-old-flush", ["PSCID taken over from another domain before its flush"])],
)
def test_a_pscid_that_changes_hands_before_its_flush_is_seen(attach: str, found: list[str]):
    """Defect C3, the PSCID's part: x goes, and z gets its number."""
    small = Small(sets=[f"driver.attach={attach}"])
    small.hand_on()
    assert promises(small) == found


@pytest.mark.parametrize(
    ("attach", "found"),
    [
        ("bond-first", []),
        ("no-old-flush", ["PSCID in use again before the flush of what was unmapped meanwhile"]),
    ],
)
def test_a_page_that_is_unmapped_while_a_domain_is_empty_is_minded_when_it_is_entered_again(attach, found):
    """CVE-2026-53057: between the bond of the last device that leaves and its flush, an unmap flushes nothing."""
    small = Small(sets=[f"driver.attach={attach}"])
    small.make("x")
    iova, _ = small.map("x")
    small.move("nic0", "x")
    small.move("nic0", "nic0")
    small.unmap("x", iova)
    small.move("nic1", "x")
    assert promises(small) == found


@pytest.mark.parametrize(
    ("invalidate", "found"),
    [
        ("with-freelist", []),
        ("with-freelist-no-barrier", ["unmap returned before its leaf was cleared in memory"]),
    ],
)
def test_an_unmap_that_returns_before_memory_says_so_is_seen(invalidate: str, found: list[str]):
    """Defect C9: nothing orders the cleared leaf, and no device is in the domain."""
    small = Small("current", sets=[f"driver.invalidate={invalidate}", "cpu*.timing.drain=10 us"])
    small.make("x")
    iova, _ = small.map("x")
    small.wait(50 * US)
    small.unmap("x", iova, wait_ps=50 * US)
    assert promises(small) == found


@pytest.mark.parametrize("tables", ["Silent", "TakesTheTableOff"])
@pytest.mark.parametrize("drain", ["10 us", "60 us"])
@pytest.mark.parametrize(
    ("invalidate", "found"),
    [
        ("with-freelist", []),
        ("with-freelist-no-barrier", ["unmap returned before its leaf was cleared in memory"]),
    ],
)
def test_so_is_it_of_tables_that_do_not_tell_what_they_clear(
    invalidate: str, found: list[str], drain: str, tables: str
):
    """They are watched in memory: also a leaf that gets there while it is unmapped, or that goes with its table."""
    cells = [f"driver.invalidate={invalidate}", f"driver.tables={POLICIES}:{tables}"]
    small = Small("current", sets=[*cells, f"cpu*.timing.drain={drain}"])
    small.make("x")
    iova, _ = small.map("x")  # 20 us
    small.unmap("x", iova, wait_ps=200 * US)
    assert promises(small) == found


def test_several_iommus_are_told_of_in_the_same_order_in_every_process():
    small = Small(sets=["driver.invalidate.without=iotinval"])
    small.make("shared")
    for device in ("nic0", "nic2"):
        small.move(device, "shared")
    (oracle,) = [each for each in small.found._oracles if isinstance(each, FlushPromises)]
    keys = oracle._tags.of["shared"]
    oracle._tags.of["shared"] = sorted(keys, reverse=True)  # type: ignore[assignment]  # a set has any order
    iova, _ = small.map("shared")
    small.unmap("shared", iova)
    said = [violation.message for violation in small.found.kept]
    assert [("iommu0 may" in message, "iommu1 may" in message) for message in said] == [(True, False), (False, True)]


# --- Flushes that have failed, by what the driver says ----------------------------------------------------------------

FAILED = "page freed whose flush has failed"
IOVA, FRAME, SIZE = 0x4_0000, 0x8000_0000, 0x2000
ENTERED = [Attaching(1, "t", "nic0", "mine", (1,), "iommu0"), *named(2, 7)]
MAPPED = [MapBegun(10, "t", "mine", IOVA, SIZE, FRAME), Mapped(11, "t", "mine", IOVA, SIZE, FRAME)]
CLEARED = [UnmapBegun(20, "t", "mine", IOVA, SIZE), LeafCleared(22, "t", "mine", IOVA, SIZE)]
SAID = UnmapFailed(40, "t", "mine", IOVA, SIZE)
FLUSH = executed(30, Iotinval.vma(pscid=7))


def freed(address: int = FRAME, size: int = SIZE, time: int = 50) -> PageFreed:
    return PageFreed(time, "t", address, size, "buffer")


@pytest.mark.parametrize(
    ("events", "told"),
    [
        ([SAID, freed()], [f"{FAILED}, never invalidated"]),
        ([FLUSH, SAID, freed()], [f"{FAILED}, invalidated but not fenced"]),
        ([FLUSH, fence(35), SAID, freed()], []),
        ([FLUSH, SAID, fence(45), freed()], []),
        ([SAID], []),
        ([SAID, freed(FRAME + SIZE)], []),
        ([SAID, freed(FRAME - 0x1000)], [f"{FAILED}, never invalidated"]),
        ([SAID, freed(FRAME + 0x1000, 0x1000)], [f"{FAILED}, never invalidated"]),
        ([SAID, freed(size=0x1000), freed(FRAME + 0x1000, 0x1000)], [f"{FAILED}, never invalidated"] * 2),
        ([SAID, freed(), freed(time=60)], [f"{FAILED}, never invalidated"]),
        ([SAID, RegisterWritten(45, "iommu0", DDTP.offset, 8, 0, "cpu0"), freed()], []),
        ([SAID, invalid(44), freed()], [f"{FAILED}, never invalidated"]),
        ([SAID, KernelEnded(45), freed()], []),
        ([SAID, DomainMade(45, "mine"), freed()], []),
    ],
)
def test_what_was_mapped_is_not_freed_while_its_flush_is_said_to_have_failed(
    events: Sequence[object], told: list[str]
) -> None:
    assert found(FlushPromises, *ENTERED, *MAPPED, *CLEARED, *events) == told


def test_where_no_device_is_in_the_domain_or_the_flush_is_over_pages_may_be_freed() -> None:
    assert not found(FlushPromises, *MAPPED, *CLEARED, SAID, freed())
    assert not found(FlushPromises, *ENTERED, *CLEARED, SAID, freed()), "nothing was mapped"
    over = [FLUSH, fence(35), Unmapped(40, "t", "mine", IOVA, SIZE)]
    assert not found(FlushPromises, *ENTERED, *MAPPED, *CLEARED, *over, freed())
    assert found(FlushPromises, *ENTERED, *MAPPED, CLEARED[0], SAID, freed()), "the leaf was not seen to be cleared"


def test_a_leaf_that_a_map_has_cleared_is_not_one_that_the_unmap_after_it_has() -> None:
    """Such as that of a page which it has replaced, and which was flushed."""
    replaced = [MAPPED[0], LeafCleared(10, "t", "mine", IOVA, SIZE), MAPPED[1], replace(FLUSH, time=15), fence(16)]
    events = [*ENTERED, *replaced, CLEARED[0], Unmapped(40, "t", "mine", IOVA, SIZE)]
    assert found(FlushPromises, *events) == ["unmap returned, never invalidated"]


@dataclass(frozen=True)
class KeepsNothing(KeepsPages):
    """A flush that says when it has failed, and puts nothing in quarantine."""

    async def sync(self, driver, domain, gather):  # type: ignore[no-untyped-def]
        flushed = await self.flushed(driver, domain, gather)
        while gather.freelist:
            await driver.kernel.pages.free(gather.freelist.pop(0))
        return flushed


@pytest.mark.parametrize(
    ("invalidate", "stalled", "told"),
    [
        (KeepsPages, 200 * S, []),
        (KeepsNothing, 200 * S, [f"{FAILED}, invalidation sent but not executed"]),
        (KeepsNothing, 1 * S, []),
    ],
)
def test_a_driver_that_says_its_flush_has_failed_and_keeps_nothing_is_seen(
    invalidate: type[KeepsPages], stalled: int, told: list[str]
) -> None:
    small = Small("ideal")
    driver = small.runtime.driver
    assert isinstance(driver, Driver)
    driver.policies = replace(driver.policies, invalidate=invalidate())
    iova, page = small.map("nic0")
    small.system.iommus["iommu0"].commands.stall(small.system.sim.now, stalled)
    small.unmap("nic0", iova, wait_ps=100 * S)
    assert not promises(small), "the page is in use yet"
    small.do(small.runtime.kernel.pages.free(page))
    assert promises(small) == told
