"""The oracle of IOVAs: a range in use is not given out nor given back, whoever frees it, and one out of use is."""

from __future__ import annotations

from pathlib import Path

import pytest

import cosim
from cosim.events import (
    CallBegun,
    CallDone,
    DomainMade,
    FlushTimer,
    IovaFreed,
    KernelEnded,
    MapBegun,
    UnmapFailed,
    Unmapped,
)
from cosim.oracles import IovaRanges, Violation
from cosim.sw.dma_iommu import DmaDomain
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


# --- Giving back -----------------------------------------------------------------------------------------------------

LOST, IN_USE = ["iova-ranges: a range is not given back"], ["iova-ranges: a range is given back that is in use"]


def freed(page: int, pages: int = 1, *, who: str = "cpu0.t", domain: str = "shared") -> IovaFreed:
    return IovaFreed(30, who, domain, page * PAGE, pages * PAGE)


def begun(call: str = "unmap", who: str = "cpu0.t") -> CallBegun:
    return CallBegun(15, who, call, {})


def done(call: str = "unmap", who: str = "cpu0.t") -> CallDone:
    return CallDone(40, who, call, 15, {}, "")


def timer(state: str) -> FlushTimer:
    return FlushTimer(40, "cpu0.t", "shared", state, 0)


FAILED = UnmapFailed(25, "cpu0.t", "shared", 9 * PAGE, PAGE)


@pytest.mark.parametrize(
    ("events", "kinds"),
    [
        ((begun(), unmap_of(1), freed(1), done()), []),
        ((begun(), unmap_of(1), done()), LOST),
        ((begun(), unmap_of(1), freed(1, domain="other"), done()), LOST),
        ((begun(), unmap_of(1), freed(1, who="cpu1.t"), done()), LOST),
        ((begun(), unmap_of(1), freed(2), done()), LOST),
        ((begun(), unmap_of(1, 2), freed(1), done()), LOST),
        ((begun(), unmap_of(1), unmap_of(2), freed(1, 4), done()), []),
        ((begun("map"), unmap_of(1), done("map")), LOST),
        ((begun("map"), unmap_of(1), FAILED, done("map")), []),
        ((begun(), FAILED, done(), begun(), unmap_of(1), done()), LOST),
        ((unmap_of(1), begun(), done()), []),
        ((begun(), unmap_of(1), done("cmd_sync"), begun("cmd_sync"), freed(1), done()), []),
        ((begun(), unmap_of(1), done(who="cpu1.t"), freed(1), done()), []),
        ((timer("fires"), unmap_of(1), timer("done")), LOST),
        ((timer("fires"), unmap_of(1), timer("armed"), freed(1), timer("done")), []),
        ((unmap_of(1), timer("fires"), timer("done")), []),
        ((begun(), unmap_of(1), KernelEnded(35), done()), []),
    ],
)
def test_what_a_call_takes_out_of_use_it_gives_back(events: tuple[object, ...], kinds: list[str]) -> None:
    """But for what may be reached for good, since a flush has failed."""
    assert found(map_of(1), *events) == kinds


@pytest.mark.parametrize(
    ("events", "kinds"),
    [
        ((), IN_USE),
        ((unmap_of(1, 2),), IN_USE),
        ((unmap_of(2, 2),), IN_USE),
        ((unmap_of(1, 3),), []),
        ((unmap_of(1, 3), map_of(4)), []),
        ((unmap_of(1, 3), map_of(3)), IN_USE),
        ((unmap_of(1, 3), map_of(3, domain="other")), []),
    ],
)
def test_what_is_in_use_is_not_given_back(events: tuple[object, ...], kinds: list[str]) -> None:
    assert found(map_of(1, 3), *events, freed(1, 3)) == kinds


@pytest.mark.parametrize("mode", ["strict", "lazy"])
@pytest.mark.parametrize("forgets", [False, True])
def test_an_allocator_to_which_nothing_comes_back_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, forgets: bool
) -> None:
    async def forget(self: DmaDomain, start: int, size: int) -> None:
        pass

    if forgets:
        monkeypatch.setattr(DmaDomain, "_free", forget)
    topology = tmp_path / "once.yaml"
    text = TWICE.replace("MISUSE\n", "iova: {flush_timeout: 50 us}\nkernel: {hz: 10000}\n")
    topology.write_text(text.replace("count: 3,", f"count: 3, mode: {mode},"), encoding="utf-8")
    assert list(cosim.run(topology, driver="current").signatures) == (LOST if forgets else [])
