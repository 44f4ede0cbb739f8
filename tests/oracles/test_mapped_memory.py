"""The oracle of memory that is freed while it is mapped, whether or not a device reaches it."""

from __future__ import annotations

from pathlib import Path

import pytest

import cosim
from cosim.events import DomainFreed, KernelEnded, MapBegun, PageFreed, UnmapBegun, Unmapped
from cosim.oracles import MappedMemory, Violation
from cosim.sw.dma_iommu import DmaDomain
from tests.oracles.judging import judged

PAGE = 0x1000
MEMORY = 0x8000_0000
MISUSE = """\
parts:
  dram0: {kind: memory, base: 0x8000_0000, size: 64 MiB}
  cpu0: {kind: cpu}
  iommu0: {kind: iommu, base: 0x0300_0000}
  nic0: {kind: dma, through: iommu0, traffic: {pattern: none}}
domains: {shared: {devices: nic0}}
threads:
  - {on: cpu0, does: map-unmap, domain: shared, count: 3}
  - {on: cpu0, does: misuse, domain: shared, what: free-mapped}
run: {until: 100 us}
"""


def map_of(page: int, pages: int = 1, *, to: int = 0, time: int = 10, domain: str = "shared") -> MapBegun:
    return MapBegun(time, "cpu0.t", domain, page * PAGE, pages * PAGE, MEMORY + to * PAGE)


def free_of(page: int, pages: int = 1) -> PageFreed:
    return PageFreed(40, "cpu1.t", MEMORY + page * PAGE, pages * PAGE, "buffer")


def unmap_of(page: int, pages: int = 1, *, domain: str = "shared") -> UnmapBegun:
    return UnmapBegun(20, "cpu0.t", domain, page * PAGE, pages * PAGE)


@pytest.mark.parametrize(
    "events",
    [
        (map_of(1), unmap_of(1), free_of(0)),
        (map_of(1), Unmapped(20, "cpu0.t", "shared", PAGE, PAGE), free_of(0)),
        (map_of(1, to=1), free_of(0), free_of(2)),
        (map_of(0, 32), free_of(32, 16)),
        (map_of(1, 4), unmap_of(2, 2), free_of(1, 2)),
        (map_of(1), unmap_of(1), map_of(1, to=7), free_of(0)),
        (map_of(1), DomainFreed(30, "shared"), free_of(0)),
        (map_of(1), KernelEnded(30), free_of(0)),
    ],
    ids=[
        "unmapped",
        "a map that failed",
        "beside it",
        "behind a large one",
        "in a hole",
        "its IOVA leads elsewhere",
        "its domain is gone",
        "its kernel is over",
    ],
)
def test_what_no_domain_leads_to_may_be_freed(events: tuple[object, ...]) -> None:
    assert not judged(MappedMemory, *events)


@pytest.mark.parametrize(
    "events",
    [
        (map_of(1, 4, to=15), free_of(18)),
        (map_of(1, 4, to=15), free_of(15)),
        (map_of(1, to=5), free_of(0, 8)),
        (map_of(1, 4), unmap_of(2, 2), free_of(0)),
        (map_of(1, 4), unmap_of(2, 2), free_of(3)),
        (map_of(1), map_of(1, domain="other"), unmap_of(1), free_of(0)),
        (map_of(1), map_of(2), unmap_of(1), free_of(0)),
        (map_of(1), DomainFreed(30, "other"), free_of(0)),
        (map_of(1), unmap_of(1, domain="other"), free_of(0)),
    ],
    ids=[
        "its end, in the next 64 KiB",
        "its beginning",
        "a block around it",
        "before a hole",
        "behind a hole",
        "by another domain",
        "by another IOVA",
        "another domain is gone",
        "unmapped elsewhere",
    ],
)
def test_what_is_mapped_and_freed_is_seen_once(events: tuple[object, ...]) -> None:
    assert [violation.signature for violation in judged(MappedMemory, *events)] == [
        "mapped-memory: memory is freed that is mapped"
    ]


def test_both_sides_are_told_with_the_first_page_that_is_mapped() -> None:
    violation: Violation
    (violation,) = judged(MappedMemory, map_of(4, 4, to=6, time=20_000), free_of(8, 4))
    assert violation.message == (
        "cpu1.t frees 0x80008000 (buffer) at 40 ps, where 0x6000 of shared leads since 20 ns, by cpu0.t"
    )
    assert (violation.time_ps, violation.since_ps) == (40, 20_000)


@pytest.mark.parametrize("driver", ["merged", "ideal"])
def test_memory_that_a_thread_frees_before_its_unmap_is_told_with_no_device_there(tmp_path: Path, driver: str) -> None:
    topology = tmp_path / "free.yaml"
    topology.write_text(MISUSE, encoding="utf-8")
    told = cosim.run(topology, driver=driver)
    assert told.signatures == {"mapped-memory: memory is freed that is mapped": 1}
    topology.write_text(MISUSE.replace("free-mapped", "map-twice"), encoding="utf-8")
    assert not any("mapped-memory" in each for each in cosim.run(topology, driver=driver).signatures)


def test_a_dma_layer_whose_unmap_does_nothing_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async def nothing(self: DmaDomain, segments: object) -> None: ...

    topology = tmp_path / "unmap.yaml"
    topology.write_text(MISUSE.replace("  - {on: cpu0, does: misuse, domain: shared, what: free-mapped}\n", ""))
    assert not cosim.run(topology).signatures
    monkeypatch.setattr(DmaDomain, "unmap_sg", nothing)
    assert "mapped-memory: memory is freed that is mapped" in cosim.run(topology).signatures
