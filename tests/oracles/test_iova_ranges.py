"""The oracle of IOVAs: a range that is in use is not given out, whoever has freed it once too often."""

from __future__ import annotations

from pathlib import Path

import pytest

import cosim
from cosim.events import DomainMade, MapBegun, Unmapped
from cosim.oracles import IovaRanges, Violation
from tests.oracles.judging import judged

PAGE = 0x1000
TWICE = """\
parts:
  dram0: {kind: memory, base: 0x8000_0000, size: 64 MiB}
  cpu: {kind: cpu, count: 2}
  iommu0: {kind: iommu, base: 0x0300_0000}
  nic0: {kind: dma, through: iommu0, traffic: {pattern: none}}
domains: {shared: {devices: nic0}}
threads:
  - {on: cpu0, does: map-unmap, domain: shared, count: 3, hold: 20 us, start: 80 us}
  - {on: cpu0, does: map-unmap, domain: shared, count: 3, hold: 20 us, start: 80 us}
MISUSE
run: {until: 300 us}
"""
MISUSE = "  - {on: cpu0, does: misuse, domain: shared, what: unmap-twice}"


def map_of(page: int, pages: int = 1, *, time: int = 10, domain: str = "shared") -> MapBegun:
    return MapBegun(time, f"cpu{page}.t", domain, page * PAGE, pages * PAGE, 0x8000_0000)


def unmap_of(page: int, pages: int = 1, *, domain: str = "shared") -> Unmapped:
    return Unmapped(20, "cpu0.t", domain, page * PAGE, pages * PAGE)


def found(*events: object) -> list[str]:
    return [violation.signature for violation in judged(IovaRanges, *events)]


@pytest.mark.parametrize(
    "events",
    [
        (map_of(1), unmap_of(1), map_of(1)),
        (map_of(1), map_of(2), map_of(0)),
        (map_of(1, 4), map_of(5), map_of(0)),
        (map_of(1), map_of(1, domain="other")),
        (map_of(1), DomainMade(15, "shared"), map_of(1)),
        (map_of(1, 4), unmap_of(2, 2), map_of(2, 2)),
        (map_of(1), map_of(2), unmap_of(1, 2), map_of(1, 2)),
        (unmap_of(1), map_of(1)),
    ],
    ids=[
        "after its unmap",
        "beside one another",
        "up to one another",
        "in another domain",
        "in a new domain of the same name",
        "in a hole",
        "after a common unmap",
        "after an unmap of what is not mapped",
    ],
)
def test_what_is_not_in_use_may_be_given_out(events: tuple[object, ...]) -> None:
    assert not found(*events)


@pytest.mark.parametrize(
    "events",
    [
        (map_of(1, 4), map_of(4)),
        (map_of(4), map_of(1, 4)),
        (map_of(1, 4), unmap_of(2, 2), map_of(1)),
        (map_of(1, 4), unmap_of(2, 2), map_of(4)),
        (map_of(1), unmap_of(1, domain="other"), map_of(1, 2)),
    ],
)
def test_what_overlaps_is_seen(events: tuple[object, ...]) -> None:
    assert found(*events)


def test_a_range_that_is_given_out_twice_is_told_with_both_sides() -> None:
    violation: Violation
    (violation,) = judged(IovaRanges, map_of(2, 2, time=480_000), map_of(2, 2, time=500_000))
    assert violation.signature == "iova-ranges: a range is given out twice"
    assert violation.message == (
        "cpu2.t maps 0x2000 .. 0x3fff of shared at 500 ns, of which 0x2000 .. 0x3fff is in use since 480 ns by cpu2.t"
    )


@pytest.mark.slow
@pytest.mark.parametrize("driver", ["merged", "current"])
def test_what_is_unmapped_twice_is_given_out_twice(tmp_path: Path, driver: str) -> None:
    topology = tmp_path / "twice.yaml"
    topology.write_text(TWICE.replace("MISUSE", MISUSE), encoding="utf-8")
    assert "iova-ranges: a range is given out twice" in cosim.run(topology, driver=driver).signatures
    topology.write_text(TWICE.replace("MISUSE\n", ""), encoding="utf-8")
    assert not cosim.run(topology, driver=driver).signatures
