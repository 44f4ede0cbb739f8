"""The oracle of the flush queue: whatever waits for a flush, a timer will start one, and in time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cosim.events import (
    CallBegun,
    CallDone,
    DomainMade,
    FlushAwaited,
    FlushGivenUp,
    FlushQueued,
    FlushTimer,
    KernelEnded,
    UnmapBegun,
    UnmapFailed,
    Unmapped,
)
from cosim.oracles import Bounds, FlushQueue, Violation
from cosim.sim.operations import Sleep, Work
from cosim.sw import flush_queue
from cosim.sw.dma_iommu import DmaDomain
from cosim.sw.iommu_core import IommuCore
from cosim.sw.iommu_ops import Domain
from cosim.sw.iova import IovaOptions
from cosim.units.quantities import MS, US
from tests.oracles.judging import judged as judged_events
from tests.oracles.watching import watching
from tests.sw.fake_driver import FakeDriver
from tests.sw.machine import Machine

PAGE = 4096
DUE = 16 * MS
"""When the timer of what is queued at once fires: 10 ms in ticks of 4 ms, and one more, from the next tick on."""


class SlowDriver(FakeDriver):
    """Its flushes take 200 us, and succeed or fail."""

    succeeds = True

    def capable(self, what: str) -> bool:
        return what == "deferred_flush"

    async def flush_iotlb_all(self, domain: Domain) -> bool:  # type: ignore[override]
        await Work(200 * US)
        return self.succeeds


async def clears_its_flag_late(self: flush_queue.FlushQueue) -> None:
    """`FlushQueue._expired`, but what is queued during the flush finds the timer's flag set."""
    self._tell_timer("cpu0.irq5", "fires")
    await self._flush()
    await self._state.timer_on.store(0)
    for queue in self._queues.values():
        async with self._kernel.spin_irqsave(queue.state.lock):
            await self._release(queue)
    self._tell_timer("cpu0.irq5", "done")


def judged(
    second_at: int = DUE + 100 * US, *, rounds: int = 1, succeeds: bool = True, options: IovaOptions | None = None
) -> list[Violation]:
    """What is found when cpu0 unmaps a page at once, and cpu1 some at another time: at first during the flush."""
    machine = Machine(cpus=2, model="rvwmo")
    found = watching(machine.sim, FlushQueue, Bounds(deferred_ps=18 * MS))
    driver = SlowDriver(machine.kernel)
    driver.succeeds = succeeds
    core = IommuCore(machine.kernel, driver)
    dma = DmaDomain(core, machine.run(core.domain_alloc("shared")), options)
    machine.run(dma.be_lazy())

    async def unmap(at: int, times: int = 1) -> None:
        await Sleep(at)
        for _ in range(times):
            await dma.unmap(await dma.map(0x8010_0000, PAGE), PAGE)

    machine.start(unmap(1))
    machine.start(unmap(second_at, rounds), cpu="cpu1")
    machine.go(until=100 * MS)
    return found


@pytest.mark.parametrize("second_at", [1, DUE - 1 * US, DUE, DUE + 100 * US, DUE + 1 * MS])
def test_whenever_a_page_is_unmapped_a_timer_flushes_it(second_at: int) -> None:
    assert not judged(second_at)


@pytest.mark.slow
@pytest.mark.parametrize("succeeds", [True, False])
def test_a_full_queue_is_flushed_and_what_is_given_up_waits_no_longer(succeeds: bool) -> None:
    assert not judged(1, rounds=300, succeeds=succeeds)


def test_a_timer_whose_flag_is_cleared_after_its_flush_leaves_what_came_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(flush_queue.FlushQueue, "_expired", clears_its_flag_late)
    (found,) = judged()
    assert found.signature == "flush-queue: a range waits without a timer"
    assert "unmapped by cpu1.t at 16.1" in found.message
    assert not judged(DUE + 1 * MS)


def test_a_timer_that_is_due_too_late_is_seen_when_it_is_armed() -> None:
    (found,) = judged(1, options=IovaOptions.model_validate({"flush_timeout": "100 ms"}))
    assert found.signature == "flush-queue: a timer is due too late"


@pytest.mark.parametrize(("late_ps", "found"), [(0, []), (1, ["flush-queue: a timer is due too late"])])
def test_a_timer_may_be_due_as_late_as_its_bound_and_no_later(late_ps: int, found: list[str]) -> None:
    armed = FlushTimer(5 * MS, "cpu0.t", "shared", "armed", 23 * MS + late_ps)
    assert [each.signature for each in judged_events(FlushQueue, armed, bounds=Bounds(deferred_ps=18 * MS))] == found


@pytest.mark.parametrize(
    ("ranges", "found"), [(255, []), (256, ["flush-queue: more ranges wait than a ring has room for"])]
)
def test_as_many_ranges_may_wait_on_a_cpu_as_its_ring_holds_with_one_entry_unused(
    ranges: int, found: list[str]
) -> None:
    queued = [FlushQueued(5, "cpu0.t", "cpu0", "shared", page * PAGE, PAGE) for page in range(ranges)]
    others = [FlushQueued(5, "cpu1.t", "cpu1", "shared", (1000 + page) * PAGE, PAGE) for page in range(9)]
    assert [each.signature for each in judged_events(FlushQueue, *others, *queued)] == found


def test_a_range_is_judged_once_its_thread_has_gone_on() -> None:
    """A callback of an earlier timer ends while the thread that has queued a range is about to arm the next one."""
    fires, done = timer(4, "fires"), timer(6, "done")
    queued, goes_on = FlushQueued(5, "cpu0.t", "cpu0", "shared", PAGE, PAGE), FlushAwaited(9, "cpu0.t", "shared", PAGE)
    assert not judged_events(FlushQueue, fires, queued, done)
    (found,) = judged_events(FlushQueue, fires, queued, done, goes_on)
    assert (found.time_ps, found.signature) == (9, "flush-queue: a range waits without a timer")
    before = timer(1, "armed"), replace(queued, time=2), replace(goes_on, time=3)
    for flushed in (Unmapped(4, "cpu0.irq5", "shared", PAGE, PAGE), FlushGivenUp(4, "shared", PAGE)):
        assert not judged_events(FlushQueue, *before, fires, flushed, queued, done), "the range before it has gone on"
        early = *before[:2], fires, flushed, replace(goes_on, time=4)
        assert not judged_events(FlushQueue, *early, queued, done), "the range before it was flushed even earlier"


def timer(time: int, state: str) -> FlushTimer:
    return FlushTimer(time, "cpu0.irq5", "shared", state, 0)


def test_a_range_is_reported_once_and_not_before_the_last_callback_has_ended() -> None:
    """A timer may fire again, on another CPU, while its callback of before runs yet."""
    fires, done = timer(4, "fires"), timer(12, "done")
    queued, goes_on = FlushQueued(5, "cpu0.t", "cpu0", "shared", PAGE, PAGE), FlushAwaited(9, "cpu0.t", "shared", PAGE)
    assert not judged_events(FlushQueue, fires, fires, queued, goes_on, done)
    (found,) = judged_events(FlushQueue, fires, fires, queued, goes_on, done, replace(done, time=13), fires, done)
    assert (found.time_ps, found.since_ps) == (13, 5)


@pytest.mark.parametrize("over", [DomainMade(7, "shared"), KernelEnded(7)])
@pytest.mark.parametrize("state", ["arming", "armed", "fires"])
def test_a_domain_that_takes_the_name_of_another_has_nothing_of_its_flush_queue(
    state: str, over: DomainMade | KernelEnded
) -> None:
    """Neither the timer of that one, nor what waits there."""
    queued, goes_on = FlushQueued(5, "cpu0.t", "cpu0", "shared", PAGE, PAGE), FlushAwaited(9, "cpu0.t", "shared", PAGE)
    before = timer(4, state)
    assert not judged_events(FlushQueue, before, queued, goes_on)
    assert len(judged_events(FlushQueue, before, over, queued, goes_on)) == 1
    assert not judged_events(FlushQueue, before, queued, goes_on, over, timer(8, "fires"), timer(9, "done"))
    assert not judged_events(FlushQueue, before, queued, goes_on, over, queued, timer(8, "fires"), timer(9, "done"))
    more, small = replace(queued, iova=2 * PAGE), Bounds(deferred=2)
    assert len(judged_events(FlushQueue, queued, more, bounds=small)) == 1
    assert not judged_events(FlushQueue, queued, over, more, bounds=small)


@pytest.mark.slow
def test_a_ring_that_is_too_long_is_seen() -> None:
    assert {found.signature for found in judged(1, rounds=300, options=IovaOptions(flush_entries=512))} == {
        "flush-queue: more ranges wait than a ring has room for"
    }


@pytest.mark.parametrize(
    ("events", "found"),
    [
        (("awaited",), ["a timer is put off too far"]),
        ((), []),
        (("awaited", Unmapped(7, "cpu0.t", "shared", PAGE, PAGE)), []),
        (("awaited", "fires"), []),
        (("awaited", DomainMade(7, "shared")), []),
    ],
    ids=["it has gone on", "its thread arms yet", "flushed", "fired", "another domain"],
)
def test_an_armed_timer_is_not_put_off_for_those_that_wait(events: tuple[object, ...], found: list[str]) -> None:
    known = {"awaited": FlushAwaited(6, "cpu0.t", "shared", PAGE), "fires": timer(6, "fires")}
    before = FlushQueued(5, "cpu0.t", "cpu0", "shared", PAGE, PAGE), FlushTimer(5, "cpu0.t", "shared", "armed", 105)
    told = [known[each] if isinstance(each, str) else each for each in events]
    for due, kinds in ((105, []), (106, found)):
        again = FlushTimer(8, "cpu1.t", "shared", "armed", due)
        judged = judged_events(FlushQueue, *before, *told, again, bounds=Bounds(deferred_ps=100))
        assert [each.signature.removeprefix("flush-queue: ") for each in judged] == kinds


def test_a_timer_that_fires_before_it_is_told_as_armed_is_armed_no_more() -> None:
    """What waits since is without one, until another is armed, which puts off none."""
    queued, goes_on = FlushQueued(5, "cpu0.t", "cpu0", "shared", PAGE, PAGE), FlushAwaited(9, "cpu0.t", "shared", PAGE)
    before = FlushTimer(1, "cpu1.t", "shared", "arming", 0), timer(2, "fires"), timer(3, "done")
    late = FlushTimer(4, "cpu1.t", "shared", "armed", 2)
    assert kinds(*before, late, queued, goes_on) == []
    gone_on = FlushAwaited(4, "cpu1.t", "shared", 0)
    assert kinds(*before, late, gone_on, queued, goes_on) == ["a range waits without a timer"]
    again = FlushTimer(6, "cpu1.t", "shared", "arming", 0), FlushTimer(7, "cpu1.t", "shared", "armed", 7)
    assert kinds(*before, late, gone_on, queued, *again, FlushAwaited(8, "cpu1.t", "shared", 0), goes_on) == []


# --- What becomes of an unmap ----------------------------------------------------------------------------------------

UNFLUSHED, OTHER = "an unmap returned that nothing flushes", "another range is flushed than the one that waits"
FLUSHED = Unmapped(7, "cpu0.t", "shared", PAGE, PAGE)
QUEUED = FlushQueued(6, "cpu0.t", "cpu0", "shared", PAGE, PAGE)


def kinds(*events: object) -> list[str]:
    return [each.signature.removeprefix("flush-queue: ") for each in judged_events(FlushQueue, *events)]


@pytest.mark.parametrize(
    ("events", "found"),
    [
        ((FLUSHED,), []),
        ((QUEUED,), []),
        ((UnmapFailed(7, "cpu0.t", "shared", PAGE, PAGE),), []),
        ((), [UNFLUSHED]),
        ((replace(FLUSHED, who="cpu1.t"),), [UNFLUSHED]),
        ((replace(FLUSHED, domain="other"),), [UNFLUSHED]),
        ((replace(QUEUED, iova=2 * PAGE),), [UNFLUSHED]),
        ((CallBegun(6, "cpu0.t", "cmd_sync", {}), FLUSHED), []),
        ((CallBegun(6, "cpu0.t", "map", {}),), []),
        ((KernelEnded(7),), []),
    ],
    ids=["flushed", "waits", "failed", "nothing", "another's", "elsewhere", "another", "inside", "abandoned", "ended"],
)
@pytest.mark.parametrize("call", ["map", "unmap"])
def test_an_unmap_that_returns_is_flushed_or_waits_or_has_failed(
    call: str, events: tuple[object, ...], found: list[str]
) -> None:
    begun = CallBegun(4, "cpu0.t", call, {}), UnmapBegun(5, "cpu0.t", "shared", PAGE, PAGE)
    inside = CallDone(8, "cpu0.t", "cmd_sync", 6, {}, ""), CallDone(8, "cpu1.t", call, 6, {}, "")
    done = CallDone(9, "cpu0.t", call, 4, {}, "")
    assert kinds(*begun, *inside, *events, *inside, done, done) == found
    refused = replace(done, failed="EINVAL")
    assert kinds(*begun, *events, refused) == (found if call == "map" else []), "a refused unmap has cleared nothing"


@pytest.mark.parametrize(
    ("events", "found"),
    [
        ((FLUSHED,), []),
        ((replace(FLUSHED, size=0),), [OTHER]),
        ((replace(FLUSHED, size=2 * PAGE),), [OTHER]),
        ((replace(FLUSHED, domain="other", size=0),), []),
        ((replace(QUEUED, size=2 * PAGE), FLUSHED), []),
    ],
    ids=["all", "nothing", "more", "another's", "unmapped twice"],
)
def test_what_waits_is_flushed_as_a_whole(events: tuple[object, ...], found: list[str]) -> None:
    assert kinds(QUEUED, *events) == found


def test_nothing_is_found_in_nothing() -> None:
    assert not judged_events(FlushQueue)
