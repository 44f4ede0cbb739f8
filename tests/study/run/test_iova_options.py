"""The options of the IOVA allocator are a section of a topology, and each of them changes what runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import cosim
from cosim.config.problems import TopologyError
from cosim.events import Mapped
from cosim.study.run.result import Result
from cosim.study.run.run import Point, run
from cosim.units.quantities import NS

pytestmark = pytest.mark.slow

TOPOLOGY = """
parts:
  dram0:  {kind: memory, base: 0x8000_0000, size: 16 MiB}
  cpu0:   {kind: cpu}
  iommu0: {kind: iommu, base: 0x0300_0000}
  nic0:   {kind: dma, through: iommu0, traffic: {pattern: none}}
driver: current
threads:
  - {on: cpu0, does: map-unmap, domain: nic0, count: 20}
run: {until: 150 us}
"""

LAZY = {"threads.0.mode": "lazy", "threads.0.count": None, "run.until": "450 us", "kernel.hz": 10_000}
"""The 256th unmap frees 255 ranges at once: more than two magazines of a few."""


@pytest.fixture
def topology(tmp_path: Path) -> Path:
    path = tmp_path / "iova.yaml"
    path.write_text(TOPOLOGY, encoding="utf-8")
    return path


def fastest_map(result: Result) -> int:
    return result.latencies["cpu0.map-unmap.map"].p50_ps


def test_a_range_from_a_magazine_costs_as_much_as_it_says(topology: Path) -> None:
    slow = cosim.run(topology, set={"iova.cache_cost": "70 ns"})
    assert fastest_map(slow) - fastest_map(cosim.run(topology)) == 50 * NS


def test_without_cached_sizes_each_range_is_searched_for_at_the_cost_of_a_search(topology: Path) -> None:
    searched = cosim.run(topology, set={"iova.classes": 0})
    assert fastest_map(searched) > fastest_map(cosim.run(topology)) + 100 * NS
    dearer = cosim.run(topology, set={"iova.classes": 0, "iova.search_cost": "250 ns"})
    assert fastest_map(dearer) - fastest_map(searched) == 100 * NS


@pytest.mark.parametrize("below", [True, False])
def test_addresses_below_4_gib_come_first_where_that_is_wanted(topology: Path, below: bool) -> None:
    point = Point(cosim.load(topology, set={"iova.prefer_32bit": below}))
    iovas: list[int] = []
    run(point, watchers=[lambda sim: sim.probe(Mapped).watch(lambda event: iovas.append(event.iova))])
    assert iovas
    assert all((iova < 1 << 32) is below for iova in iovas)


def test_small_magazines_go_to_the_depot_and_are_trimmed(topology: Path) -> None:
    large = cosim.run(topology, set=LAZY)
    small = {**LAZY, "iova.magazine": 2, "iova.trim": "0 ns"}
    kept = cosim.run(topology, set=small)
    assert kept.digest != large.digest
    assert cosim.run(topology, set={**small, "iova.trim": "10 us"}).digest != kept.digest


def test_aligned_ranges_begin_where_they_may(topology: Path) -> None:
    point = Point(cosim.load(topology, set={"iova.align": "2 MiB", "iova.classes": 0, "threads.0.pages": 3}))
    iovas: list[int] = []
    run(point, watchers=[lambda sim: sim.probe(Mapped).watch(lambda event: iovas.append(event.iova))])
    assert iovas
    assert all(iova % (2 << 20) < 3 * 4096 for iova in iovas)


def test_a_shorter_queue_or_time_out_of_a_lazy_domain_exposes_for_less_time(topology: Path) -> None:
    def exposed(**changes: object) -> float:
        named = {f"iova.{name}": value for name, value in changes.items()}
        result = cosim.run(topology, set={**LAZY, "run.until": "450 us", "threads.0.gap": "4 us", **named})
        assert result.scalars["nic0.exposed.ranges"] > 0
        assert result.scalars["nic0.exposed.max_ps"] >= result.scalars["nic0.exposed.mean_ps"]
        return result.scalars["nic0.exposed.max_ps"]

    whole = exposed(flush_entries=64)
    assert exposed(flush_entries=16) < whole / 3
    assert exposed(flush_entries=64, flush_timeout="30 us") < whole
    assert "nic0.exposed.ranges" not in cosim.run(topology).scalars


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"iova.align": "3 KiB"}, "iova.align: 3 KiB is no power of two of at least 4 KiB"),
        ({"iova.magazin": 4}, "iova.magazin: unknown field; did you mean magazine"),
        ({"iova.magazine": 0}, "iova.magazine"),
    ],
)
def test_they_are_checked_as_any_others(topology: Path, changes: Any, message: str) -> None:
    with pytest.raises(TopologyError, match=message):
        cosim.load(topology, set=changes)
