"""Lazy unmapping: one flush for many, at the 256th of a CPU or on the timer, and nothing is reused before it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from cosim.events import FlushEnded, FlushGivenUp, Unmapped
from cosim.sim.chooser import Scheduled
from cosim.sim.operations import Sleep, Store, Work
from cosim.sim.simulation import Sim
from cosim.sw.dma_iommu import DmaDomain
from cosim.sw.iommu_core import IommuCore
from cosim.sw.iommu_ops import Domain, Gather
from cosim.sw.iova import IovaAllocator, IovaOptions
from cosim.sw.kernel.errors import KernelError
from cosim.sw.runtime import Runtime
from cosim.units.quantities import MS, US, S
from tests.sw.fake_driver import FakeDriver
from tests.sw.machine import BASE, Machine

PAGE = 4096


class LazyDriver(FakeDriver):
    """A driver that can defer flushes; each unmap frees `tables`."""

    tables_freed: Sequence[int] = ()

    def capable(self, what: str) -> bool:
        return what == "deferred_flush"

    async def flush_iotlb_all(self, domain: Domain) -> None:
        self.calls.append(f"flush at {self.kernel.sim.now // US} us")

    async def unmap_pages(self, domain: Domain, iova: int, page_size: int, count: int, gather: Gather) -> int:
        assert gather.queued
        gather.freelist += self.tables_freed
        self.tables_freed = ()
        return await super().unmap_pages(domain, iova, page_size, count, gather)


class Bench:
    def __init__(
        self,
        model: str = "",
        kind: type[FakeDriver] = LazyDriver,
        sim: Sim | None = None,
        options: IovaOptions | None = None,
    ) -> None:
        self.machine = Machine(model=model, sim=sim)
        self.driver = kind(self.machine.kernel)
        self.core = IommuCore(self.machine.kernel, self.driver)
        self.dma = DmaDomain(self.core, self.machine.run(self.core.domain_alloc("shared")), options)
        self.machine.run(self.dma.be_lazy())
        self.unmapped: list[Unmapped] = []
        self.machine.sim.probe(Unmapped).watch(self.unmapped.append)

    def flushes(self) -> list[str]:
        return [call for call in self.driver.calls if call.startswith("flush")]

    async def rounds(self, count: int) -> list[int]:
        iovas = []
        for _ in range(count):
            iovas.append(await self.dma.map(0x8010_0000, PAGE))
            await self.dma.unmap(iovas[-1], PAGE)
        return iovas


@pytest.mark.parametrize("model", ["", "rvwmo"])
def test_an_unmap_flushes_nothing_and_its_iova_stays_taken_until_the_timer(model: str) -> None:
    bench = Bench(model)

    async def body() -> None:
        first, second = await bench.rounds(2)
        assert first != second
        assert not bench.flushes()
        assert not bench.unmapped
        await Sleep(20 * MS)
        assert len(bench.flushes()) == 1
        assert [event.iova for event in bench.unmapped] == [first, second]
        assert await bench.dma.map(0x8010_0000, PAGE) == second, "given back last, so given out first"

    bench.machine.start(body())
    bench.machine.go(until=1 * S)
    assert not bench.driver.named("sync")
    assert not bench.machine.log


def test_the_timer_fires_after_10_ms_in_ticks_of_4_ms_and_is_armed_by_the_next_entry_again() -> None:
    bench = Bench()

    async def body() -> None:
        await Sleep(100 * MS + 500 * US)
        await bench.rounds(3)
        await Sleep(50 * MS)
        await bench.rounds(1)
        await Sleep(50 * MS)

    bench.machine.start(body())
    bench.machine.go(until=1 * S)
    times = [int(call.split()[2]) for call in bench.flushes()]
    assert [round(time / 1000) for time in times] == [116, 164]


def test_the_256th_unmap_of_a_cpu_flushes_and_then_every_255th() -> None:
    """As kernels were seen to do."""
    bench = Bench()
    seen: list[int] = []

    async def body() -> None:
        for number in range(1, 520):
            await bench.rounds(1)
            if len(bench.flushes()) > len(seen):
                seen.append(number)

    bench.machine.start(body())
    bench.machine.go(until=10 * MS)
    assert seen == [256, 511]
    assert len(bench.unmapped) == 510


def test_each_cpu_has_a_ring_of_its_own_and_the_timer_empties_all() -> None:
    bench = Bench()
    bench.machine.start(bench.rounds(100), cpu="cpu0")
    bench.machine.start(bench.rounds(100), cpu="cpu1")
    bench.machine.go(until=5 * MS)
    assert not bench.flushes()
    bench.machine.go(until=1 * S)
    assert len(bench.flushes()) == 1
    assert len(bench.unmapped) == 200


def test_a_domain_that_is_made_lazy_again_keeps_its_rings() -> None:
    """Every thread that is lazy asks for it: what waits is flushed with what comes later."""
    bench = Bench()
    before = bench.machine.kernel.pages.purposes()

    async def body() -> None:
        await bench.rounds(1)
        await bench.dma.be_lazy()
        await bench.rounds(1)

    bench.machine.start(body())
    bench.machine.go(until=1 * S)
    assert (len(bench.flushes()), len(bench.unmapped)) == (1, 2)
    assert bench.machine.kernel.pages.purposes() == before


@pytest.mark.parametrize("allocation", range(1, 5))
def test_a_domain_for_whose_rings_there_is_no_memory_stays_strict_and_keeps_none(allocation: int) -> None:
    """Two rings, each of two objects."""
    bench = Bench(kind=FakeDriver)
    pages = bench.machine.kernel.pages
    before = pages.purposes()

    async def body() -> None:
        bench.driver.deferring = True
        pages.fail({allocation})
        with pytest.raises(KernelError, match="ENOMEM"):
            await bench.dma.be_lazy()
        assert pages.purposes() == before
        await bench.rounds(1)
        assert len(bench.unmapped) == 1
        await bench.dma.be_lazy()

    bench.machine.run(body())
    assert pages.purposes()["FlushEntries"]


@pytest.mark.parametrize("kind", [LazyDriver, FakeDriver], ids=["lazy", "strict"])
def test_a_range_is_told_as_unmapped_before_others_may_have_it(
    kind: type[FakeDriver], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it might be told as mapped, for the next one, and then as unmapped."""
    bench, order, free = Bench(kind=kind), list[tuple[str, int, int]](), IovaAllocator.free
    bench.machine.sim.probe(Unmapped).watch(lambda event: order.append(("unmapped", event.iova, event.size)))

    async def freed(self: IovaAllocator, start: int, size: int) -> None:
        order.append(("free", start, size))
        await free(self, start, size)

    monkeypatch.setattr(IovaAllocator, "free", freed)
    (iova,) = bench.machine.run(bench.rounds(1))
    assert order == [("unmapped", iova, PAGE), ("free", iova, PAGE)]


def test_table_pages_are_freed_with_the_flush_and_not_before() -> None:
    bench = Bench()
    pages = bench.machine.kernel.pages

    async def body() -> None:
        bench.driver.tables_freed = [await pages.alloc(purpose="table")]  # type: ignore[attr-defined]
        await bench.rounds(1)
        assert pages.purposes()["table"] == PAGE
        assert not bench.machine.kernel.leaks([*bench.dma.roots(), int(bench.dma.domain.object.address)])
        await Sleep(20 * MS)
        assert pages.purposes()["table"] == 0

    bench.machine.start(body())
    bench.machine.go(until=1 * S)
    assert not bench.machine.log


class SlowToFree(LazyDriver):
    """A driver that takes longer to free a domain than a flush waits for its timer."""

    async def domain_free(self, domain: Domain) -> None:
        await Sleep(20 * MS)
        await super().domain_free(domain)


@pytest.mark.parametrize("kind", [LazyDriver, SlowToFree])
def test_a_domain_that_goes_takes_its_rings_and_what_waits_along(kind: type[FakeDriver]) -> None:
    """Its timer first: nothing is flushed for a domain that is about to go."""
    bench = Bench(kind=kind)
    pages = bench.machine.kernel.pages
    runtime = Runtime(bench.machine.kernel, bench.driver, bench.core, dma={"shared": bench.dma})

    async def body() -> None:
        bench.driver.tables_freed = [await pages.alloc(purpose="table")]  # type: ignore[attr-defined]
        await bench.rounds(1)
        await runtime.free_domain("shared")
        await Sleep(20 * MS)

    bench.machine.start(body())
    bench.machine.go(until=1 * S)
    assert not bench.flushes()
    assert not pages.in_use()


def test_a_driver_that_cannot_defer_stays_strict_and_says_so() -> None:
    bench = Bench(kind=FakeDriver)
    bench.machine.run(bench.rounds(1))
    assert bench.machine.log == ["info: shared: the driver does not defer flushes; unmaps are strict"]
    assert len(bench.driver.named("sync")) == 1
    assert len(bench.unmapped) == 1


class SlowDriver(LazyDriver):
    """A driver whose flush takes 2 ms."""

    async def flush_iotlb_all(self, domain: Domain) -> None:
        await super().flush_iotlb_all(domain)
        await Work(2 * MS)


def test_what_comes_while_the_timers_flush_is_under_way_has_a_timer_of_its_own() -> None:
    """The flush has begun before the range came: it is given back by the next one, and nobody else unmaps."""
    bench = Bench(kind=SlowDriver)

    async def later() -> None:
        while not bench.flushes():
            await Sleep(1 * MS)
        await bench.rounds(1)
        assert not bench.unmapped, "the flush is under way"

    bench.machine.start(bench.rounds(1), cpu="cpu0")
    bench.machine.start(later(), cpu="cpu1")
    bench.machine.go(until=1 * S)
    assert len(bench.flushes()) == len(bench.unmapped) == 2
    assert bench.unmapped[1].time - bench.unmapped[0].time > 10 * MS


def test_a_timer_that_is_due_while_a_full_ring_is_flushed_waits_for_that() -> None:
    """Else it would wait for the lock of the thread that it has interrupted."""
    bench = Bench(kind=SlowDriver, options=IovaOptions(flush_entries=4))
    flushes: list[tuple[int, int]] = []
    bench.machine.sim.probe(FlushEnded).watch(lambda event: flushes.append((event.began // MS, event.time // MS)))

    async def body() -> None:
        await bench.rounds(3)
        await Sleep(15 * MS - bench.machine.sim.now)
        await bench.rounds(1)

    bench.machine.start(body())
    bench.machine.go(until=1 * S)
    assert flushes == [(15, 17), (17, 19), (32, 34)], "the first timer was due after 16 ms"
    assert len(bench.unmapped) == 4
    assert not bench.machine.kernel.deadlocks()


def test_nothing_is_given_back_by_a_flush_that_is_under_way() -> None:
    """Nor what another CPU has queued before it began, when that CPU queues more."""
    bench = Bench(kind=SlowDriver)

    async def other() -> None:
        await bench.rounds(1)
        while not bench.flushes():
            await Sleep(1 * MS)
        await bench.rounds(1)
        assert not bench.unmapped

    bench.machine.start(bench.rounds(1), cpu="cpu0")
    bench.machine.start(other(), cpu="cpu1")
    bench.machine.go(until=1 * S)
    assert len(bench.unmapped) == 3
    assert not bench.machine.log


def test_what_the_flush_of_another_cpu_has_passed_is_given_back_with_the_next_unmap() -> None:
    """Long before the timer, and though the CPU's own queue is not full."""
    bench = Bench()
    bench.machine.start(bench.rounds(1), cpu="cpu1")
    bench.machine.go(until=1 * MS)
    bench.machine.start(bench.rounds(256), cpu="cpu0")
    bench.machine.go(until=5 * MS)
    assert (len(bench.flushes()), len(bench.unmapped)) == (1, 255)
    bench.machine.start(bench.rounds(1), cpu="cpu1")
    bench.machine.go(until=6 * MS)
    assert (len(bench.flushes()), len(bench.unmapped)) == (1, 256)


class FailingDriver(LazyDriver):
    """A driver whose first flush fails."""

    async def flush_iotlb_all(self, domain: Domain) -> bool | None:  # type: ignore[override]
        await super().flush_iotlb_all(domain)
        return len([call for call in self.calls if call.startswith("flush")]) > 1


def test_a_flush_that_fails_keeps_what_waited_and_the_next_one_frees_what_came_since() -> None:
    bench = Bench(kind=FailingDriver)
    pages = bench.machine.kernel.pages

    async def body() -> None:
        tables = [await pages.alloc(purpose="table") for _ in range(2)]
        for table in tables:
            bench.driver.tables_freed = [table]  # type: ignore[attr-defined]
            await bench.rounds(1)
            await Sleep(20 * MS)
        assert [known.address for known, _ in pages.quarantined] == tables[:1]
        assert pages.purposes()["table"] == 0, "the other was freed"

    bench.machine.start(body())
    bench.machine.go(until=1 * S)
    assert len(bench.flushes()) == 2
    assert len(bench.unmapped) == 1
    assert not bench.machine.log


class FailingLater(LazyDriver):
    """A driver whose second flush fails."""

    async def flush_iotlb_all(self, domain: Domain) -> bool | None:  # type: ignore[override]
        await super().flush_iotlb_all(domain)
        return len(self.named("flush")) != 2


def test_all_that_waits_is_given_up_also_where_the_ring_begins_again() -> None:
    """A ring of 4 entries holds 3: the first 3 are flushed, the next given up; the timer flushes what is left."""
    bench = Bench(kind=FailingLater, options=IovaOptions(flush_entries=4))
    given_up: list[int] = []
    bench.machine.sim.probe(FlushGivenUp).watch(lambda event: given_up.append(event.iova))
    iovas = bench.machine.run(bench.rounds(7))
    assert [event.iova for event in bench.unmapped] == iovas[:3] + iovas[6:]
    assert given_up == iovas[3:6]


PTE = BASE + (8 << 20)


class ClearingDriver(LazyDriver):
    """A driver whose unmap clears an entry in memory, and whose flush takes 5 us."""

    async def unmap_pages(self, domain: Domain, iova: int, page_size: int, count: int, gather: Gather) -> int:
        if self.kernel.sim.now > 10 * MS:
            await Store(PTE, 0)
        return await super().unmap_pages(domain, iova, page_size, count, gather)

    async def flush_iotlb_all(self, domain: Domain) -> None:
        await super().flush_iotlb_all(domain)
        await Work(5 * US)


def test_a_range_is_queued_behind_the_clearing_of_its_entries() -> None:
    """The clearing store leaves late; a flush that was over before it did not flush that range."""
    bench = Bench("rvwmo", ClearingDriver, Sim(Scheduled(0, {"cpu0.unmaps.st#0": 2}), hold_ps=100 * US))
    machine, mapped, entries = bench.machine, list[int](), list[int]()
    machine.sim.probe(Unmapped).watch(lambda event: entries.append(machine.memory.peek(PTE, 8)))
    machine.memory.poke(PTE, 8, 1)

    async def maps() -> None:
        mapped.append(await bench.dma.map(0x8020_0000, PAGE))
        await bench.rounds(1)

    async def unmaps() -> None:
        await Sleep(16 * MS - 10 * US - machine.sim.now)
        await bench.dma.unmap(mapped[0], PAGE)

    machine.sim.explore()
    machine.start(maps(), cpu="cpu1", name="maps")
    machine.start(unmaps(), cpu="cpu0", name="unmaps")
    machine.go(until=1 * S)
    assert len(bench.flushes()) == 2
    assert entries == [1, 0], "the first range was cleared long before; the second is given back by the next flush"
