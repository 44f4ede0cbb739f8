"""The oracle of the promise: what is not flushed is seen though no device happens to touch anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from cosim.oracles import FlushPromises
from cosim.sim.operations import MmioWrite
from cosim.spec.register_map import DDTP
from cosim.sw.dma_api import Piece
from cosim.sw.kernel.errors import KernelError
from cosim.units.quantities import MIB, MS, US
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
