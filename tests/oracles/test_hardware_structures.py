"""The oracles of what software and IOMMU share beside rings: device contexts, roots, entries of the IOTLB."""

from __future__ import annotations

import pytest

from cosim.events import (
    Attached,
    CacheFilled,
    ContextChanged,
)
from cosim.hw.iommu.translate.iotlb import Iotlb
from cosim.hw.iommu.translate.leaf import Leaf
from cosim.hw.iommu.translate.reservations import Reservation
from cosim.oracles import ContextUpdate, IotlbEntries, OneRoot
from cosim.oracles.translations import Pages, Translations
from cosim.spec.translation import DcTa, Fsc, IosatpMode
from cosim.units.quantities import US
from tests.oracles.judging import Small, judged


def of(small: Small, oracle: str) -> list[str]:
    return [signature for signature in small.signatures if signature.startswith(f"{oracle}: ")]


# --- Device contexts -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attach", "found"),
    [
        ("bond-first", []),
        ("flushes-contexts", []),
        ("live-update", ["context-update: a context is changed while it is valid"]),
        ("keeps-invalidated", ["context-update: a context is changed while it may be cached"]),
    ],
)
def test_a_context_that_an_iommu_may_be_using_is_not_changed(attach: str, found: list[str]):
    """Defects C4 and C1, with no device that makes a request."""
    small = Small(sets=[f"driver.attach={attach}"])
    small.make("other")
    small.move("nic0", "other")
    small.do(small.runtime.core.release_device("nic0"))
    assert of(small, "context-update") == found


def test_a_change_is_one_violation_however_many_words_it_has():
    words = [("ta", DcTa.of(pscid=1)), ("fsc", Fsc.of(mode=IosatpMode.SV39, ppn=1)), ("tc", 1), ("tc", 0)]
    words += [("ta", DcTa.of(pscid=2)), ("fsc", Fsc.of(mode=IosatpMode.SV39, ppn=2)), ("tc", 1)]
    events = [ContextChanged(time, "iommu0", 1, field, value) for time, (field, value) in enumerate(words)]
    (found,) = judged(ContextUpdate, *events)
    assert found.time_ps == 4


# --- Roots -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tables", "found"),
    [("per-page", []), ("root-at-attach", ["one-root: devices of one domain have different roots"])],
)
def test_two_devices_of_a_domain_that_walk_from_different_roots_are_seen(tables: str, found: list[str]):
    """Remark B9: both find no root, at the same time; one finds its own as long as its store is in the buffer."""
    small = Small(sets=[f"driver.tables={tables}", "cpu2.timing.drain=2 us"])
    small.make("shared")
    small.move("nic0", "shared", cpu="cpu1", wait_ps=1)
    small.move("nic2", "shared", cpu="cpu2", wait_ps=60 * US)
    assert of(small, "one-root") == found


def entered(time: int, device: str, roots: dict[int, int]) -> list[object]:
    """A device enters d, where the context of each of its ids names a root."""
    events: list[object] = []
    for number, root in roots.items():
        words = [("ta", DcTa.of(pscid=number)), ("fsc", Fsc.of(mode=IosatpMode.SV39, ppn=root)), ("tc", 1)]
        events += [ContextChanged(time, "iommu0", number, field, value) for field, value in words]
    return [*events, Attached(time, "t", device, tuple(roots), "d", "iommu0")]


@pytest.mark.parametrize(
    ("roots", "times"), [({2: 0x10, 3: 0x10}, []), ({2: 0x10, 3: 0x20}, [9]), ({2: 0x20, 3: 0x10}, [9, 9])]
)
def test_each_id_of_a_device_walks_from_the_root_of_its_domain(roots: dict[int, int], times: list[int]) -> None:
    found = judged(OneRoot, *entered(1, "nic0", {1: 0x10}), *entered(9, "nic1", roots))
    assert [each.time_ps for each in found] == times


def test_who_has_left_a_domain_says_nothing_of_its_root_any_more():
    """nic0 leaves d, which is freed; another domain of that name has another root, and nic1 enters it."""
    first, second = entered(1, "nic0", {1: 0x10}), entered(9, "nic1", {2: 0x20})
    assert [each.time_ps for each in judged(OneRoot, *first, *second)] == [9]
    for where in ("other", ""):
        gone = Attached(5, "t", "nic0", (1,), where, "iommu0")
        assert not judged(OneRoot, *first, gone, *second)


# --- Entries of the IOTLB --------------------------------------------------------------------------------------------


def test_an_entry_under_a_pscid_that_no_context_names_is_seen():
    (found,) = judged(IotlbEntries, CacheFilled(5, "iommu0.iotlb", (-1, 7, 12, 0x1), False, 0x8000_0000))
    assert found.signature == "iotlb-entries: an entry under a PSCID that nobody owns"


def test_an_entry_that_its_owner_does_not_map_is_seen(monkeypatch: pytest.MonkeyPatch):
    small = Small()
    (iova, _), (other, _) = small.map("nic0"), small.map("nic0")
    small.dma("nic0", iova)
    assert of(small, "iotlb-entries") == []
    fill = Iotlb.fill

    def wrong(self: Iotlb, leaf: Leaf, reserved: Reservation | None = None) -> None:
        leaf.base += 4096
        fill(self, leaf, reserved)

    monkeypatch.setattr(Iotlb, "fill", wrong)
    small.dma("nic0", other)
    assert of(small, "iotlb-entries") == ["iotlb-entries: an entry that its owner does not map"]


def test_an_entry_of_half_a_terabyte_is_judged_by_what_is_mapped_and_not_page_by_page():
    """The entry of a root table, as the defect `cache_invalid` keeps it: 2**27 pages, of which two are mapped."""

    class Unasked(dict[int, int]):
        def get(self, page: int, default: object = None) -> int:
            assert page in self, f"page {page:#x} is not mapped and was asked for"
            return self[page]

    translations = Translations()
    translations.live["d"] = Pages(Unasked({1: 0x5000, 1 << 30: 0x6000}), Unasked())
    assert translations.any_fits("d", range(1 << 27), 0x5000)
    assert not translations.any_fits("d", range(1 << 27), 0x6000)
    assert not translations.any_fits("d", range(1, 2), 0x6000)


@pytest.mark.parametrize(("defect", "found"), [("false", []), ("true", ["an entry that was invalidated before"])])
def test_a_walk_that_fills_in_what_was_invalidated_meanwhile_is_seen(defect: str, found: list[str]):
    """The defect `stale_fill`, and a read of the leaf that takes far longer than the unmap."""
    small = Small(sets=[f"iommu0.defects.stale_fill={defect}", "iommu0.timing.walk_step=40 us"])
    iova, _ = small.map("nic0")
    small.system.masters["nic0"].request(iova, 8, False)
    small.wait(290 * US)  # three reads of the directory, four of tables, and the leaf is read
    small.unmap("nic0", iova, wait_ps=400 * US)
    assert [each.removeprefix("iotlb-entries: ") for each in of(small, "iotlb-entries")] == found
