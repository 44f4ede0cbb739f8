"""A last-level cache: what is in it is read sooner, by whom it is for, and is never wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

import cosim
from cosim.hw.memory.line_cache import LineCache
from cosim.sim.simulation import Sim
from tests.hw.memory.test_memory import BASE, memory_of

LINE = 64

TOPOLOGY = """\
parts:
  dram0:  {kind: memory, base: 0x8000_0000, size: 32 MiB, latency: 100 ns}
  cpu0:   {kind: cpu}
  iommu0: {kind: iommu, base: 0x0300_0000, geometry: {iotlb_entries: 4}}
  nic0:   {kind: dma, through: iommu0, traffic: {pattern: random, window: 1 MiB}}
run: {until: 20 us}
"""


def test_the_line_that_was_used_longest_ago_gives_way() -> None:
    cache = LineCache(2)
    assert not cache.read(0, 8)
    assert not cache.read(64, 8)
    assert cache.read(0, 8)
    cache.use(128, 8)
    assert cache.read(0, 64)
    assert not cache.read(64, 8)
    assert (cache.hits, cache.misses) == (2, 3)


def test_an_access_of_two_lines_finds_both_or_none() -> None:
    cache = LineCache(4)
    cache.use(0, 8)
    assert not cache.read(56, 16)
    assert cache.read(56, 16)


def test_the_lines_that_a_cpu_writes_are_held() -> None:
    memory = memory_of(Sim(), cache_lines=8)
    memory.write(BASE + 60, 8, 1)
    memory.write_block(BASE + 4 * LINE - 8, (1, 2))
    memory.write(BASE + 6 * LINE, 4, 1)
    assert memory.cache is not None
    held = [memory.cache.read(BASE + LINE * line, LINE) for line in range(8)]
    assert held == [True, True, False, True, True, False, True, False]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "cached.yaml"
    found.write_text(TOPOLOGY, encoding="utf-8")
    return found


def test_walks_that_find_their_lines_are_faster_by_what_the_memory_is_slower(path: Path) -> None:
    """The page table of 256 pages is 32 lines, which the driver has written."""
    bare = cosim.run(path)
    cached = cosim.run(path, set={"dram0.cache_lines": 4096, "dram0.cache_latency": "30 ns"})
    assert "dram0.cache.hits" not in bare.scalars
    assert cached.scalars["dram0.cache.misses"] == 0
    assert cached.scalars["dram0.cache.hits"] >= cached.scalars["iommu0.walk_reads"] > 20
    walks = [result.latencies["nic0.read"].parts["walk"] for result in (bare, cached)]
    assert walks[1] == pytest.approx(walks[0] * 30 / 100, rel=0.1)


def test_devices_pass_it_by(path: Path) -> None:
    cached = cosim.run(path, set={"dram0.cache_lines": 4096})
    assert cached.latencies["nic0.read"].parts["memory"] == 100_000


def test_what_devices_write_pushes_no_table_out(path: Path) -> None:
    """40 writes of 2 KiB are ten times the lines that the tables' 32 leave free."""
    settings = {"dram0.cache_lines": 128, "nic0.traffic.read": 0, "nic0.traffic.size": "2 KiB", "run.warmup": "2 us"}
    cached = cosim.run(path, set=settings)
    assert cached.scalars["nic0.writes"] > 40
    assert cached.scalars["dram0.cache.misses"] == 0
    assert cached.scalars["dram0.cache.hits"] > 20


def test_a_cache_of_a_line_saves_a_little(path: Path) -> None:
    few = cosim.run(path, set={"dram0.cache_lines": 1})
    assert few.scalars["dram0.cache.misses"] > 10 * few.scalars["dram0.cache.hits"]
