"""Freed memory of every kind, touched by whoever reaches it: a thread frees what is still in use, and goes on."""

from __future__ import annotations

import pytest

from cosim.units.quantities import US
from tests.oracles.judging import SMALL, Small

WITHOUT_CACHES = ("iommu0.geometry.nonleaf_entries=0", "iommu0.geometry.iotlb_entries=0")
WITHOUT_CONTEXTS = ("iommu0.geometry.ddtc_entries=0", "iommu0.geometry.ddt_nonleaf_entries=0")
RING = SMALL.replace("run:", "  ring0: {kind: ring, through: iommu0, interval: 200 us}\nrun:").replace(
    "run:", "threads:\n  - {on: cpu2, does: receive-ring, device: ring0, entries: 4}\nrun:"
)


def signatures(small: Small) -> set[str]:
    """What was seen of freed memory."""
    return {each.removeprefix("freed-memory: ") for each in small.signatures if each.startswith("freed-memory: ")}


def freed(small: Small, purpose: str) -> None:
    """A thread frees all that is in use for a purpose."""
    pages = small.runtime.kernel.pages
    for known in pages.in_use():
        if known.purpose == purpose:
            small.do(pages.kfree(known.address), "cpu1")


@pytest.mark.parametrize(
    ("purpose", "seen", "sets"),
    [
        ("buffer", "dma read buffer page", ()),
        ("table", "walk read table page", WITHOUT_CACHES),
        ("ddt", "ddt read ddt page", WITHOUT_CONTEXTS),
    ],
)
def test_a_device_that_goes_on_touches_what_it_needs_for_that(purpose: str, seen: str, sets: tuple[str, ...]) -> None:
    small = Small(sets=sets)
    iova, _ = small.map("nic0")
    small.dma("nic0", iova)
    assert not small.signatures
    freed(small, purpose)
    small.dma("nic0", iova)
    assert seen in signatures(small)


@pytest.mark.parametrize("purpose", ["Bond", "DomainObject", "IommuDevice"])
def test_an_unmap_touches_the_domain_its_bonds_and_their_iommus(purpose: str) -> None:
    small = Small()
    iova, _ = small.map("nic0")
    freed(small, purpose)
    assert not small.signatures
    small.unmap("nic0", iova)
    assert f"thread read {purpose}" in signatures(small)


@pytest.mark.parametrize("purpose", ["DeviceObject", "DevIommu", "DeviceInfo"])
def test_an_attach_touches_the_device(purpose: str) -> None:
    small = Small()
    small.make("other")
    freed(small, purpose)
    assert not small.signatures
    small.move("nic0", "other")
    assert f"thread read {purpose}" in signatures(small)


def test_who_sends_and_what_fetches_touch_the_command_queue() -> None:
    small = Small()
    iova, _ = small.map("nic0")
    freed(small, "queue")
    small.unmap("nic0", iova)
    assert {"thread wrote queue page", "fetch read queue page"} <= signatures(small)


@pytest.mark.slow
def test_a_device_and_its_thread_touch_the_ring_of_descriptors() -> None:
    small = Small(text=RING)
    freed(small, "ring")
    small.wait(500 * US)
    assert {"dma read ring page", "thread read ring page"} <= signatures(small)
