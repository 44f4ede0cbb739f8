"""The DMA API: a buffer has an IOVA from the return of its map to its unmap, and what Linux tolerates is tolerated."""

from __future__ import annotations

import errno

import pytest

from cosim.events import CallDone, Mapped, PageFreed, Unmapped
from cosim.sim.operations import Sleep
from cosim.sw.dma_api import Piece
from cosim.sw.dma_direct import DmaDirect
from cosim.sw.dma_iommu import DmaDomain
from cosim.sw.iommu_core import IommuCore
from cosim.sw.iommu_map import iommu_map
from cosim.sw.iommu_ops import Domain, Gather, Prot
from cosim.sw.kernel.errors import KernelError
from cosim.units.quantities import US
from tests.sw.fake_driver import FakeDriver
from tests.sw.machine import Machine

PAGE = 4096
MIB_2 = 1 << 21
TOP = 0xFFFF_F000


class Bench:
    """A machine with one domain, called shared."""

    def __init__(self, model: str = "", kind: type[FakeDriver] = FakeDriver) -> None:
        self.machine = Machine(size=32 << 20, model=model)
        self.driver = kind(self.machine.kernel)
        self.core = IommuCore(self.machine.kernel, self.driver)
        domain = self.machine.run(self.core.domain_alloc("shared"))
        self.dma = DmaDomain(self.core, domain)
        self.domain = domain
        self.events: list[object] = []
        for event in (Mapped, Unmapped):
            self.machine.sim.probe(event).watch(self.events.append)
        self.calls: list[CallDone] = []
        self.machine.sim.probe(CallDone).watch(self.calls.append)

    def told(self) -> list[tuple[str, int, int]]:
        return [(type(event).__name__, event.iova, event.size) for event in self.events]  # type: ignore[attr-defined]


def test_a_buffer_keeps_its_offset_in_the_page_and_is_mapped_in_whole_pages() -> None:
    bench = Bench()

    async def body() -> None:
        iova = await bench.dma.map(0x8010_0123, 0x1000)
        assert iova == TOP - PAGE + 0x123
        assert bench.driver.translate("shared", iova + 0xFFF) == 0x8010_1122
        await bench.dma.unmap(iova, 0x1000)
        assert bench.driver.translate("shared", iova) is None

    bench.machine.run(body())
    assert bench.told() == [("Mapped", TOP - PAGE, 2 * PAGE), ("Unmapped", TOP - PAGE, 2 * PAGE)]


@pytest.mark.parametrize("short", [0, 100])
def test_pieces_from_anywhere_become_one_range(short: int) -> None:
    """Each begins with a page of its own, also where the one before it does not fill its last page."""
    bench = Bench()
    pieces = [Piece(0x8030_0000, PAGE), Piece(0x8010_0000, 2 * PAGE - short), Piece(0x8020_0000, PAGE)]

    async def body() -> None:
        ((iova, _),) = await bench.dma.map_sg(pieces)
        found = [bench.driver.translate("shared", iova + index * PAGE) for index in range(4)]
        assert found == [0x8030_0000, 0x8010_0000, 0x8010_1000, 0x8020_0000]
        await bench.dma.unmap(iova, 4 * PAGE)

    bench.machine.run(body())
    assert bench.driver.named("sync") == [f"sync {TOP - 3 * PAGE:#x} {TOP + PAGE - 1:#x}"], "flushed once"


def test_the_iova_that_was_freed_is_the_next_one() -> None:
    bench = Bench()

    async def body() -> list[int]:
        iovas = []
        for _ in range(3):
            iovas.append(await bench.dma.map(0x8010_0000, PAGE))
            await bench.dma.unmap(iovas[-1], PAGE)
        return iovas

    assert bench.machine.run(body()) == [TOP, TOP, TOP]


def test_an_unmap_has_flushed_before_it_is_told_and_before_its_iova_is_free() -> None:
    bench = Bench()
    order: list[str] = []
    bench.machine.sim.probe(Unmapped).watch(lambda event: order.append(bench.driver.calls[-1]))

    async def body() -> None:
        await bench.dma.unmap(await bench.dma.map(0x8010_0000, PAGE), PAGE)

    bench.machine.run(body())
    assert order == [f"sync {TOP:#x} {TOP + PAGE - 1:#x}"]


def test_the_iovas_of_a_map_that_fails_half_way_are_lost_if_their_flush_fails() -> None:
    """A device may reach by them what was mapped: nobody else may get them."""

    class Fails(FakeDriver):
        async def iotlb_sync(self, domain: Domain, gather: Gather) -> bool:
            await super().iotlb_sync(domain, gather)
            return False

    bench = Bench(kind=Fails)
    bench.driver.refuses.add(("shared", TOP))
    pieces = [Piece(0x8010_0000, PAGE), Piece(0x8020_0000, PAGE)]

    async def body() -> None:
        with pytest.raises(KernelError, match="ENOMEM"):
            await bench.dma.map_sg(pieces)
        bench.driver.refuses.clear()
        assert await bench.dma.map_sg(pieces) == ((TOP - 3 * PAGE, 2 * PAGE),)

    bench.machine.run(body())


def test_an_iova_is_given_to_nobody_else_while_its_unmap_is_flushed() -> None:
    """Two threads of one CPU: what that CPU frees is what it gets next."""

    class Sleepy(FakeDriver):
        async def iotlb_sync(self, domain: Domain, gather: Gather) -> None:
            await Sleep(10 * US)
            await super().iotlb_sync(domain, gather)

    bench = Bench(kind=Sleepy)
    given: list[int] = []

    async def unmaps() -> None:
        given.append(await bench.dma.map(0x8010_0000, PAGE))
        await bench.dma.unmap(given[0], PAGE)

    async def maps() -> None:
        await Sleep(5 * US)
        given.append(await bench.dma.map(0x8020_0000, PAGE))
        assert not bench.driver.named("sync"), "the flush is under way"

    bench.machine.start(unmaps(), name="a")
    bench.machine.start(maps(), name="b")
    bench.machine.go()
    assert given == [TOP, TOP - PAGE]


@pytest.mark.parametrize("prot", [Prot.READ, Prot.WRITE, Prot.READ | Prot.WRITE])
def test_a_buffer_is_mapped_with_the_permission_that_was_asked_for(prot: Prot) -> None:
    bench = Bench()
    iova = bench.machine.run(bench.dma.map(0x8010_0000, PAGE, prot))
    assert bench.driver.permitted["shared", iova] == prot


@pytest.mark.parametrize("count", [1, 3])
def test_without_translation_each_piece_keeps_its_place_and_size_and_costs_its_time(count: int) -> None:
    bench = Bench()
    direct = DmaDirect(bench.core)
    pieces = [Piece(0x8030_0010, 64), Piece(0x8010_0000, 2 * PAGE), Piece(0x8020_0000, PAGE)][:count]
    segments = bench.machine.run(direct.map_sg(pieces))
    assert segments == tuple((piece.address, piece.size) for piece in pieces)
    bench.machine.run(direct.unmap_sg(segments))
    took = count * bench.machine.kernel.options.dma_direct_cost
    assert [(call.call, call.time - call.began) for call in bench.calls] == [("map", took), ("unmap", took)]
    assert not bench.driver.named("map")


def test_mapping_and_unmapping_are_measured_and_their_parts_add_up() -> None:
    bench = Bench("rvwmo")

    async def body() -> None:
        await bench.dma.unmap(await bench.dma.map(0x8010_0000, PAGE), PAGE)

    bench.machine.run(body())
    assert [call.call for call in bench.calls] == ["map", "unmap"]
    for call in bench.calls:
        assert sum(call.parts.values()) == call.time - call.began


# --- What is wrong, as Linux answers it ------------------------------------------------------------------------------


def test_unmapping_what_is_not_mapped_is_warned_of_and_flushes_nothing() -> None:
    bench = Bench()
    bench.machine.run(bench.dma.unmap(0x7000, PAGE))
    assert bench.machine.log == [
        "warning: dma: unmap of 0x1000 bytes at 0x7000 in shared cleared only 0x0: they were not mapped so"
    ]
    assert bench.driver.named("sync") == ["sync"]


def test_unmapping_twice_lets_one_iova_be_given_out_twice() -> None:
    bench = Bench()

    async def body() -> list[int]:
        iova = await bench.dma.map(0x8010_0000, PAGE)
        await bench.dma.unmap(iova, PAGE)
        await bench.dma.unmap(iova, PAGE)
        return [await bench.dma.map(0x8010_0000, PAGE), await bench.dma.map(0x8020_0000, PAGE)]

    assert bench.machine.run(body()) == [TOP, TOP]
    assert len(bench.machine.log) == 1


def test_unmapping_more_than_was_mapped_ends_at_the_first_hole() -> None:
    bench = Bench()

    async def body() -> None:
        iova = await bench.dma.map(0x8010_0000, 2 * PAGE)
        await bench.dma.unmap(iova, 8 * PAGE)

    bench.machine.run(body())
    assert bench.machine.log[0].endswith("cleared only 0x2000: they were not mapped so")


def test_a_map_that_fails_half_way_is_undone_and_its_iova_is_free_again() -> None:
    bench = Bench()
    bench.driver.refuses.add(("shared", TOP - PAGE))
    pieces = [Piece(0x8010_0000, PAGE)] * 4

    async def body() -> None:
        with pytest.raises(KernelError) as failure:
            await bench.dma.map_sg(pieces)
        assert failure.value.code == errno.ENOMEM
        assert not bench.driver.tables["shared"]
        bench.driver.refuses.clear()
        assert await bench.dma.map_sg(pieces) == ((TOP - 3 * PAGE, 4 * PAGE),)

    bench.machine.run(body())
    assert [call.failed for call in bench.calls] == ["ENOMEM", ""]
    mapped, unmapped = bench.told()[:2], bench.told()[2:4]
    assert [name for name, _, _ in mapped] == ["Mapped", "Mapped"]
    assert unmapped == [("Unmapped", TOP - PAGE, PAGE), ("Unmapped", TOP - 3 * PAGE, 2 * PAGE)]


@pytest.mark.parametrize(
    "pieces", [[Piece(0x8010_0000, 3 * PAGE)], [Piece(0x8010_0000, 2 * PAGE), Piece(0x8020_0000, PAGE)]]
)
def test_an_iova_of_a_failed_map_is_lost_if_what_was_mapped_cannot_be_flushed(pieces: list[Piece]) -> None:
    """Whether the map itself takes it back, or the map of the piece behind it."""

    class Fails(FakeDriver):
        async def iotlb_sync(self, domain: Domain, gather: Gather) -> bool:  # type: ignore[override]
            await super().iotlb_sync(domain, gather)
            return False

    bench = Bench(kind=Fails)
    bench.driver.refuses.add(("shared", TOP - PAGE))
    given: list[int] = []

    async def body() -> None:
        with pytest.raises(KernelError, match="-ENOMEM"):
            await bench.dma.map_sg(pieces)
        bench.driver.refuses.clear()
        given.append(await bench.dma.map(0x8010_0000, 3 * PAGE))

    bench.machine.run(body())
    assert given[0] < TOP - 3 * PAGE
    assert ("Unmapped", TOP - 3 * PAGE) not in [each[:2] for each in bench.told()]


def test_what_is_not_aligned_is_refused_and_logged() -> None:
    bench = Bench()

    async def body() -> None:
        with pytest.raises(KernelError, match="-EINVAL"):
            await iommu_map(bench.driver, bench.domain, 0x1800, 0x8010_0000, PAGE, Prot.READ)

        with pytest.raises(KernelError, match="-EINVAL"):
            await iommu_map(bench.driver, bench.domain, 0x1000, 0x8010_0800, PAGE, Prot.READ)

    bench.machine.run(body())
    assert bench.machine.log == [
        "error: unaligned: iova 0x1800 pa 0x80100000 size 0x1000 min_pagesz 0x1000",
        "error: unaligned: iova 0x1000 pa 0x80100800 size 0x1000 min_pagesz 0x1000",
    ]


def test_of_a_range_that_cannot_be_mapped_whole_nothing_stays_mapped() -> None:
    """And if nothing was mapped, nothing is flushed."""
    bench = Bench()
    bench.driver.refuses.add(("shared", 0x2000))

    async def body() -> None:
        for start in (0x1000, 0x2000):
            with pytest.raises(KernelError, match="-ENOMEM: map of 0x2000 in shared"):
                await iommu_map(bench.driver, bench.domain, start, 0x8010_0000, 2 * PAGE, Prot.READ)
            assert not bench.driver.tables["shared"]

    bench.machine.run(body())
    assert bench.driver.named("sync") == ["sync 0x1000 0x1fff"]


def test_coherent_memory_is_zeroed_mapped_and_freed_after_its_unmap() -> None:
    bench = Bench()
    pages, words = bench.machine.kernel.pages, bench.machine.memory
    before = pages.purposes()

    async def body() -> None:
        used = await pages.alloc(2, purpose="buffer")
        for offset in range(0, 4 * PAGE, 8):
            words.poke(used + offset, 8, offset + 1)
        await pages.free(used)
        bench.machine.sim.probe(PageFreed).watch(bench.events.append)
        memory = await bench.dma.alloc_coherent(3 * PAGE)
        assert memory.address == used
        assert not any(words.peek(used + offset, 8) for offset in range(0, 3 * PAGE, 8))
        assert bench.driver.translate("shared", memory.iova + 2 * PAGE) == memory.address + 2 * PAGE
        assert pages.purposes()["ring"] == 4 * PAGE
        await bench.dma.free_coherent(memory)

    bench.machine.run(body())
    assert [type(event) for event in bench.events] == [Mapped, Unmapped, PageFreed]
    assert pages.purposes() == before
    assert not bench.machine.touched


def test_coherent_memory_without_translation_is_a_root_until_it_is_freed() -> None:
    """No page table leads to it, and it is not lost as long as a device has it."""
    bench = Bench()
    direct, pages = DmaDirect(bench.core), bench.machine.kernel.pages

    async def body() -> None:
        first, second = [await direct.alloc_coherent(PAGE) for _ in range(2)]
        assert (first.iova, second.iova) == (first.address, second.address)
        for memory in (second, first):
            assert memory.address in direct.roots()
            await direct.free_coherent(memory)
            assert memory.address not in direct.roots()

    before = pages.purposes()
    bench.machine.run(body())
    assert direct.roots() == []
    assert pages.purposes() == before


def test_coherent_memory_that_cannot_be_mapped_is_given_back() -> None:
    bench = Bench()
    bench.driver.refuses.add(("shared", TOP))
    before = bench.machine.kernel.pages.purposes()

    async def body() -> None:
        with pytest.raises(KernelError):
            await bench.dma.alloc_coherent(PAGE)

    bench.machine.run(body())
    assert bench.machine.kernel.pages.purposes() == before
