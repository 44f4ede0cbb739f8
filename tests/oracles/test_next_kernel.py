"""One kernel after the other: what the one before had attached and mapped is over, and must be forgotten."""

from __future__ import annotations

from pathlib import Path

import pytest

import cosim
from cosim.events import (
    Attached,
    Attaching,
    ContextChanged,
    DmaCommitted,
    DmaDone,
    FlushAwaited,
    FlushQueued,
    IommuProbed,
    KernelEnded,
    LeafCleared,
    MapBegun,
    Mapped,
    RunEnded,
    TableSeen,
    UnmapBegun,
    Unmapped,
)
from cosim.events.domains import SeenLeaf
from cosim.oracles import (
    ContextUpdate,
    EndlessFaults,
    FlushPromises,
    FlushQueue,
    ForeignDma,
    GlobalLeaves,
    IotlbEntries,
    IovaRanges,
    NeededCommands,
    OneRoot,
    Oracle,
    OverlappedRemovals,
    PageTable,
    RefusedDma,
    StaleDma,
    TouchedAfterwards,
)
from cosim.spec.faults import Cause
from cosim.spec.queues import Command, Iodir, Iotinval
from cosim.sw.driver import device_directory
from cosim.sw.driver.axes import Skeleton
from cosim.sw.driver.device import IommuDevice
from cosim.sw.workloads.trouble import ProbeAgain, Shutdown
from cosim.system.topology import Topology
from cosim.units.quantities import US
from tests.oracles.contexts import FSC, executed, fence, filled, found, named
from tests.oracles.judging import SMALL, Small, said

ENDED, PROBED = KernelEnded(100), IommuProbed(200, "iommu0")
ATTACH = Attached(1, "boot", "nic0", (1,), "mine", "iommu0")
ANEW = Attached(300, "plug", "nic0", (1,), "mine", "iommu0")
MAP = Mapped(10, "cpu0.t", "mine", 0x1000, 0x1000, 0x8000_0000)


# --- A system --------------------------------------------------------------------------------------------------------


def handed_over(driver: str, *sets: str, text: str = SMALL) -> tuple[Small, int]:
    """nic0 and nic1 have used a page, and the identity domain; a kernel ends, and the next one has probed."""
    small = Small(driver, sets, text)
    small.make("x")
    small.move("nic0", "x")
    small.move("nic1", "identity")
    iova, page = small.map("x")
    small.dma("nic0", iova)
    small.dma("nic1", page)
    small.do(Shutdown(on="cpu0", does="shutdown").round(small.runtime), wait_ps=50 * US)
    small.do(ProbeAgain(on="cpu0", does="probe-again").round(small.runtime), wait_ps=300 * US)
    return small, iova


@pytest.mark.parametrize("driver", ["merged", "current", "latest", "ideal"])
def test_a_device_of_the_kernel_before_is_refused_and_that_is_right(driver: str) -> None:
    small, iova = handed_over(driver)
    requests: list[DmaDone] = []
    small.system.sim.probe(DmaDone).watch(requests.append)
    for _ in range(3):
        small.dma("nic0", iova)
    small.dma("nic1", 0x8000_0000)
    assert [done.cause for done in requests] == [Cause.DDT_NOT_VALID] * 4
    assert small.signatures == []


@pytest.mark.parametrize(
    ("step", "promised"),
    [
        ("iodir-of-all", ["old context never invalidated"]),
        ("iotinval-of-all", ["old translations never invalidated"]),
    ],
)
def test_what_a_probe_does_not_flush_is_seen_though_no_device_touches_anything(step: str, promised: list[str]) -> None:
    small, _ = handed_over("ideal", f"driver.bringup.without={step}")
    assert small.signatures == [f"flush-promises: probe returned, {what}" for what in promised]


FIXED_ROOT = """\
parts:
  dram0: {kind: memory, base: 0x8000_0000, size: 16 MiB}
  sram0: {kind: memory, base: 0x0200_0000, size: 4 KiB, reserved: true}
  cpu: {kind: cpu, count: 2}
  iommu0:
    {kind: iommu, base: 0x0300_0000, geometry: {cq_log2: 6, fq_log2: 6}, hardwired: {ddtp: 0x0200_0000}}
  nic0: {kind: dma, through: iommu0, traffic: {pattern: none}}
prepare:
  - {on: cpu0, does: shutdown}
threads:
  - {on: cpu0, does: probe-again}
run: {until: threads + 10 us}
expect: {threads: finished, calls: succeed}
"""


def test_tables_of_a_directory_that_the_next_kernel_has_emptied_are_not_lost(tmp_path: Path) -> None:
    """Its root is where the IOMMU has it, and both kernels use that."""
    path = tmp_path / "fixed.yaml"
    path.write_text(FIXED_ROOT)
    assert cosim.run(path, driver="latest").signatures == {}


def test_a_device_that_a_stale_context_lets_through_is_seen() -> None:
    """Its own old page, and what the identity domain once led to."""
    small, iova = handed_over("ideal", "driver.bringup.without=iodir-of-all")
    told = set(small.signatures)
    small.dma("nic0", iova)
    small.dma("nic1", 0x8000_0000)
    assert "stale-dma: read, kernel ended, context never invalidated" in set(small.signatures) - told
    assert small.found.signatures["stale-dma: read, kernel ended, context never invalidated"] == 2


HARDWIRED = SMALL.replace(
    "iommu0: {kind: iommu, base: 0x0300_0000}",
    "sram0: {kind: memory, base: 0x0200_0000, size: 4 KiB, reserved: true}\n"
    "  iommu0: {kind: iommu, base: 0x0300_0000, hardwired: {ddtp: 0x0200_0000}, geometry: {ddt_levels: 1}}",
)


zeroed_root = device_directory.alloc_root


async def root_as_it_is(driver: Skeleton, iommu: IommuDevice) -> None:
    root = await driver.policies.bringup.fixed_root(driver, iommu)
    await (iommu.root.store(root) if root else zeroed_root(driver, iommu))


@pytest.mark.parametrize("zeroed", [True, False])
@pytest.mark.parametrize("levels", [1, 2, 3])
def test_a_context_that_is_left_in_a_directory_which_the_next_kernel_takes_over_is_seen(
    levels: int, zeroed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before any device makes a request. That the next kernel zeroes what may be cached still is no change in use."""
    if not zeroed:
        monkeypatch.setattr(device_directory, "alloc_root", root_as_it_is)
    small = handed_over("ideal", text=HARDWIRED.replace("ddt_levels: 1", f"ddt_levels: {levels}"))[0]
    kinds = ["leads to leaves", "is Bare"] if not zeroed else []
    assert small.signatures == [f"attached-context: blocked with a context that {kind}" for kind in kinds]


def test_a_kernel_that_leaves_its_directory_to_the_devices_is_seen() -> None:
    small = Small("merged", ["driver.bringup=no-hand-over"])
    small.make("x")
    small.move("nic0", "x")
    iova, _ = small.map("x")
    small.dma("nic0", iova)
    small.do(Shutdown(on="cpu0", does="shutdown").round(small.runtime))
    assert small.signatures == []
    small.dma("nic0", iova)
    assert small.signatures == ["stale-dma: read, kernel ended, context never invalidated"]


def test_a_domain_of_the_next_kernel_is_another_one_though_it_has_the_name() -> None:
    small, _ = handed_over("latest")
    changed: list[ContextChanged] = []
    small.system.sim.probe(ContextChanged).watch(changed.append)
    small.do(small.runtime.core.probe_device("nic0", (1,), "iommu0"))
    small.make("x")
    small.move("nic0", "x")
    iova, _ = small.map("x")
    small.dma("nic0", iova)
    small.unmap("x", iova)
    assert small.signatures == []
    assert [change.field for change in changed] == ["fsc", "ta", "tc"], "told of the new directory"


@pytest.mark.parametrize("driver", ["merged", "latest", "ideal"])
@pytest.mark.parametrize("start", ["1500 ns", "12500 ns"])
def test_a_call_beside_a_shutdown_is_no_violation(driver: str, start: str) -> None:
    """It fills slots of a queue that is off by then, and finds in its table what its own kernel had mapped there."""
    topology: dict[str, object] = {
        "parts": {
            "dram0": {"kind": "memory", "base": 0x8000_0000, "size": "16 MiB"},
            "cpu0": {"kind": "cpu"},
            "cpu1": {"kind": "cpu"},
            "iommu0": {"kind": "iommu", "base": 0x0300_0000, "interrupts_to": "cpu1"},
            "nic0": {"kind": "dma", "through": "iommu0", "traffic": {"pattern": "none"}},
        },
        "driver": driver,
        "threads": [
            {"on": "cpu0", "does": "map-unmap", "domain": "nic0", "pages": 2, "hold": "10 us"},
            {"on": "cpu1", "start": start, "does": "shutdown"},
        ],
        "run": {"until": "100 us"},
    }
    ran = cosim.run(Topology.model_validate(topology))
    assert ran.unfinished, "the thread is in a call that waits for what no IOMMU executes"
    assert (ran.outcome, ran.signatures) == ("ok", {})


# --- By events -------------------------------------------------------------------------------------------------------


def dma(time: int, address: int, iova: int = 0x1000, *, issued: int = -1, translated: int = -1) -> DmaCommitted:
    decided = time if translated < 0 else translated
    return DmaCommitted(time, "nic0", 1, 0, iova, address, 64, False, decided, "iommu0", issued)


STALE, FOREIGN = ["read, kernel ended, context never invalidated"], ["read of a device in no domain"]


@pytest.mark.parametrize(
    ("events", "stale", "foreign"),
    [
        ([dma(50, 0x8000_0000), ENDED], [], []),
        ([ENDED, dma(150, 0x8000_0000)], STALE, []),
        ([ENDED, dma(150, 0x8000_0000, issued=90)], [], []),
        ([ENDED, dma(150, 0x9000_0000)], [], FOREIGN),
        ([ENDED, dma(150, 0x1000)], [], []),
        ([ENDED, PROBED, dma(250, 0x1000)], [], FOREIGN),
        ([ENDED, PROBED, dma(250, 0x1000, issued=150, translated=190)], [], []),
        ([ENDED, PROBED, dma(250, 0x1000, issued=150, translated=210)], [], FOREIGN),
        ([ENDED, PROBED, dma(250, 0x8000_0000)], STALE, []),
        ([ENDED, PROBED, ENDED, dma(250, 0x1000)], [], []),
        ([ENDED, PROBED, ANEW, dma(350, 0x8000_0000)], STALE, []),
        ([ENDED, PROBED, ANEW, Mapped(310, "t", "mine", 0x1000, 0x1000, 0x8000_0000), dma(350, 0x8000_0000)], [], []),
        ([Attaching(90, "t", "nic0", "other"), ENDED, dma(150, 0x8000_0000)], STALE, []),
    ],
    ids=[
        "before",
        "mapped before",
        "under way",
        "never mapped",
        "Bare",
        "Bare no more",
        "translated before that",
        "translated after that",
        "probed",
        "left again",
        "attached anew",
        "mapped anew",
        "entering",
    ],
)
def test_what_the_kernel_before_had_mapped_is_stale_and_all_else_foreign(
    events: list[object], stale: list[str], foreign: list[str]
) -> None:
    assert found(StaleDma, ATTACH, MAP, *events) == stale
    assert found(ForeignDma, ATTACH, MAP, *events) == foreign


def test_an_access_that_was_issued_at_the_very_start_was_under_way() -> None:
    assert not found(StaleDma, ATTACH, MAP, ENDED, dma(150, 0x8000_0000, issued=0))


@pytest.mark.parametrize("oracle", [StaleDma, ForeignDma])
@pytest.mark.parametrize(
    ("access", "enough"),
    [(dma(150, 0x8000_0000, issued=90), False), (dma(150, 0x1000), True), (dma(250, 0x1000, translated=190), False)],
    ids=["under way", "Bare", "under way to the next kernel"],
)
def test_an_access_that_was_under_way_does_not_stand_for_those_alike_that_come_later(
    oracle: type[StaleDma | ForeignDma], access: DmaCommitted, enough: bool
) -> None:
    before = [event for event in (ATTACH, MAP, ENDED, PROBED) if event.time < access.time]
    assert not found(oracle, *before, access)
    assert said(oracle, *before, access) is enough


FLUSH: list[Command] = [Iodir.inval_ddt(), Iotinval.vma()]
BOTH = ["old context never invalidated", "old translations never invalidated"]
UNFENCED = [each.replace("never invalidated", "invalidated but not fenced") for each in BOTH]


@pytest.mark.parametrize(
    ("commands", "kept"),
    [
        ([], BOTH),
        ([*(executed(150, each) for each in FLUSH), fence(160)], []),
        ([executed(150, FLUSH[1]), executed(155, FLUSH[0]), fence(160)], []),
        ([executed(150, each) for each in FLUSH], UNFENCED),
        ([executed(150, FLUSH[0]), fence(160)], BOTH[1:]),
        ([executed(150, FLUSH[1]), fence(160)], BOTH[:1]),
        ([executed(150, Iodir.inval_ddt(2)), executed(150, Iotinval.vma(pscid=8)), fence(160)], BOTH),
    ],
    ids=["nothing", "all", "the other way round", "no fence", "contexts", "translations", "of others"],
)
def test_a_probe_has_all_forgotten_that_the_kernel_before_had(commands: list[object], kept: list[str]) -> None:
    before = [ATTACH, *named(2, 7), executed(50, FLUSH[0]), executed(50, FLUSH[1]), fence(60)]
    assert found(FlushPromises, *before, ENDED, *commands, PROBED) == [f"probe returned, {each}" for each in kept]


def test_the_first_probe_has_nothing_to_forget() -> None:
    assert found(FlushPromises, IommuProbed(0, "iommu0"), ATTACH, *named(2, 7)) == []


SECOND = Attached(320, "plug", "nic1", (2,), "mine", "iommu0")
BEGUN = MapBegun(10, "cpu0.t", "mine", 0x1000, 0x1000, 0x8000_0000)
WAITS = FlushQueued(10, "cpu0.t", "cpu0", "mine", 0x1000, 0x1000)


def refused(time: int) -> DmaDone:
    return DmaDone(time + 5, "nic0", 1, 0, 0x1000, 64, False, time, "UR", {}, cause=Cause.DDT_NOT_VALID)


@pytest.mark.parametrize(
    ("oracle", "before", "after"),
    [
        (RefusedDma, [ATTACH, MAP], [refused(350)]),
        (RefusedDma, [ATTACH, MAP], [ANEW, refused(350)]),
        (EndlessFaults, [ATTACH], [refused(350), RunEnded(400)]),
        (IovaRanges, [BEGUN], [BEGUN]),
        (PageTable, [BEGUN, MAP], [TableSeen(300, "", "mine", 0, 1 << 64, ())]),
        (OneRoot, [*named(1, 7), ATTACH], [*named(310, 8, 2, FSC + 1), SECOND]),
        (ContextUpdate, named(1, 7), [executed(120, Iodir.inval_ddt()), fence(130), *named(310, 8)]),
        (FlushQueue, [WAITS], [FlushAwaited(300, "cpu0.t", "mine", 0x1000)]),
    ],
    ids=lambda value: value.name if isinstance(value, type) else "",
)
def test_nothing_of_the_kernel_before_is_held_against_the_next_one(
    oracle: type[Oracle], before: list[object], after: list[object]
) -> None:
    assert found(oracle, *before, *after), "without an end of the kernel it is a violation"
    assert not found(oracle, *before, ENDED, *after)


def test_a_walk_of_the_kernel_before_may_fill_the_iotlb_until_the_next_one_has_probed() -> None:
    before, fill = [ATTACH, MAP, *named(2, 7)], filled(150, 7, 0x1000, 0x8000_0000)
    assert not found(IotlbEntries, *before, ENDED, fill)
    assert found(IotlbEntries, *before, ENDED, PROBED, fill) == ["an entry under a PSCID that nobody owns"]


def test_an_entry_of_what_a_kernel_before_had_cleared_is_only_one_that_nobody_maps() -> None:
    """Its domain has but the name of that one, and what was invalidated there is another domain's."""
    cleared = [LeafCleared(30, "t", "mine", 0x1000, 0x1000), executed(40, Iotinval.vma(pscid=7))]
    fill = filled(350, 7, 0x1000, 0x8000_0000)
    there = [ATTACH, MAP, *named(2, 7), *cleared]
    assert found(IotlbEntries, *there, fill) == ["an entry that was invalidated before"]
    anew = [ENDED, PROBED, ANEW, *named(310, 7)]
    assert found(IotlbEntries, *there, *anew, fill) == ["an entry that its owner does not map"]


def test_a_device_that_was_refused_to_the_end_of_its_kernel_is_told_then() -> None:
    assert found(EndlessFaults, ATTACH, refused(50), ENDED, RunEnded(400)) == ["ddt_not_valid"]


def test_who_counts_begins_anew_with_the_next_kernel() -> None:
    """What a domain, or a device, of the same name had is no device there, no buffer and no removal."""
    counts: dict[str, int] = {}
    unmaps = [UnmapBegun(20, "t", "mine", 0x1000, 0x1000), Unmapped(30, "t", "mine", 0x1000, 0x1000)]
    other = Attached(320, "t", "nic0", (1,), "other", "iommu0")
    events = [ATTACH, MAP, *unmaps[:1], ENDED, *unmaps, Attaching(310, "t", "nic0", "other"), other]
    for recorder in (NeededCommands(), TouchedAfterwards(), OverlappedRemovals()):
        methods = dict(recorder.listeners())
        for event in events:
            if type(event) in methods:
                methods[type(event)](event)
        counts |= recorder.counts()
    assert not any(counts.values()), counts


def test_a_leaf_with_g_of_the_kernel_before_is_none_of_the_next_one() -> None:
    leaf = SeenLeaf(0x1000, 0x1000, 0x8000_0000, "rw", everywhere=True)
    seen, unmapped = TableSeen(20, "t", "mine", 0x1000, 0x1000, (leaf,)), Unmapped(330, "t", "mine", 0x1000, 0x1000)
    flushed = [executed(320, Iotinval.vma(pscid=7)), fence(325)]
    assert found(GlobalLeaves, ATTACH, *named(2, 7), seen, *flushed, unmapped)
    assert not found(GlobalLeaves, ATTACH, *named(2, 7), seen, ENDED, ANEW, *named(300, 7), *flushed, unmapped)
