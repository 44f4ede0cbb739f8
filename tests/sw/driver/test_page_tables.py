"""Page tables: what is mapped is what a walk of memory finds, nothing leaks, each defect does what it does."""

from __future__ import annotations

import errno

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.events import PageAllocated
from cosim.hw.dma.transaction import Status, Transaction
from cosim.sim.operations import Oops
from cosim.spec.bits import ONES
from cosim.spec.pagetable import FIRST_STAGE, Pte, translated
from cosim.sw.iommu_map import iommu_map, iommu_unmap
from cosim.sw.iommu_ops import Domain, Gather, MapResult, Prot
from cosim.sw.kernel.errors import KernelError
from cosim.units.quantities import MIB
from tests.sw.driver.machine import DRAM, SETTLE, SIZE, SMALL_QUEUES, Machine

PAGE, HUGE = 4096, 2 << 20
IOVA = 0x4000_0000
BOTH = Prot.READ | Prot.WRITE

VARIANTS = ["merged", "current", "v2"]


class Bench:
    """A machine with one device, which is used again for each example: domains are made and freed on it."""

    def __init__(self, variant: str, **options: object) -> None:
        self.machine = Machine(variant, **options)  # type: ignore[arg-type]
        self.machine.boot()
        self.number = 0

    def domain(self) -> Domain:
        """A new domain, with a root in every variant."""
        self.number += 1
        domain = self.machine.run(self.machine.core.domain_alloc(f"x{self.number}", "dev0"))
        if not self.machine.memory.peek(domain.object.root.address, 8):
            self.machine.run(self.machine.core.replace("dev0", domain))
        return domain

    def free(self, domain: Domain) -> None:
        self.machine.run(self.machine.core.replace("dev0", self.machine.driver.identity))
        self.machine.run(self.machine.core.domain_free(domain.name))

    def walk(self, domain: Domain, iova: int) -> tuple[int, Pte] | None:
        """Where `iova` leads, as a walk of the tables in memory finds it, and the leaf."""
        peek = self.machine.memory.peek
        scheme = FIRST_STAGE[0][peek(domain.object.mode.address, 8)]
        table = peek(domain.object.root.address, 8)
        for level in range(scheme.levels - 1, -1, -1):
            pte = Pte(peek(table + 8 * scheme.vpn(level, iova), 8))
            if not pte.v:
                return None
            if pte.leaf:
                lg2 = scheme.leaf_lg2(pte, level)
                assert lg2 is not None
                return translated(pte, lg2, iova), pte
            table = pte.ppn << 12
        raise AssertionError(f"a table below level 0 for {iova:#x}")

    def tables(self) -> int:
        """Bytes of page tables in use."""
        return self.machine.kernel.pages.purposes()["table"]


@pytest.fixture(scope="module", params=VARIANTS)
def bench(request: pytest.FixtureRequest) -> Bench:
    return Bench(request.param)


# --- Against a twin -------------------------------------------------------------------------------------------------

SMALL = st.tuples(st.integers(0, 1100), st.integers(1, 40))
LARGE = st.tuples(st.integers(0, 3).map(lambda n: 512 * n), st.sampled_from([512, 513, 1024]))
Steps = list[tuple[tuple[int, int], int, bool] | int]
MAPS = st.tuples(st.one_of(SMALL, LARGE), st.integers(0, 2000), st.booleans())


STEPS = st.lists(st.one_of(MAPS, st.integers(0, 99)), max_size=8)


@settings(derandomize=True, deadline=None, max_examples=4)
@given(STEPS)
def test_a_walk_finds_what_was_mapped_and_nothing_else(bench: Bench, steps: Steps) -> None:
    compare(bench, steps)


@pytest.mark.slow
@settings(derandomize=True, deadline=None, max_examples=60)
@given(STEPS)
def test_a_walk_finds_what_was_mapped_and_nothing_else_at_length(bench: Bench, steps: Steps) -> None:
    compare(bench, steps)


def compare(bench: Bench, steps: Steps) -> None:
    """Maps and unmaps in any order, of pages of all sizes, against a dictionary of pages."""
    machine, driver, before = bench.machine, bench.machine.driver, bench.tables()
    domain = bench.domain()
    twin: dict[int, int] = {}
    ranges: list[tuple[int, int]] = []

    async def act() -> None:
        for step in steps:
            if isinstance(step, int):
                if ranges:
                    first, count = ranges.pop(step % len(ranges))
                    assert await iommu_unmap(driver, domain, first * PAGE, count * PAGE) == count * PAGE
                    for page in range(first, first + count):
                        del twin[page]
                continue
            (first, count), frame, aligned = step
            if any(page in twin for page in range(first, first + count)):
                continue
            frame = (DRAM >> 12) + (first if aligned else frame)
            if count > 40 and (not aligned or len(domain.page_sizes) == 1):
                continue
            await iommu_map(driver, domain, first * PAGE, frame * PAGE, count * PAGE, BOTH)
            ranges.append((first, count))
            twin.update({first + n: frame + n for n in range(count)})

    machine.run(act())
    for page in {*twin, *range(0, 3100, 7)}:
        found = bench.walk(domain, page * PAGE + 0x123)
        assert (found[0] if found else None) == (twin[page] * PAGE + 0x123 if page in twin else None)
    bench.free(domain)
    assert bench.tables() == before


def test_where_an_iova_leads_is_what_a_walk_finds(bench: Bench) -> None:
    domain = bench.domain()

    async def look() -> list[int]:
        await iommu_map(bench.machine.driver, domain, IOVA, DRAM, 17 * PAGE, BOTH)
        return [await bench.machine.driver.iova_to_phys(domain, IOVA + n * PAGE + 5) for n in range(17)]

    assert bench.machine.run(look()) == [DRAM + n * PAGE + 5 for n in range(17)]
    bench.free(domain)


def test_an_entry_allows_what_was_asked(bench: Bench) -> None:
    """U and A always, W if asked; D with W, since no IOMMU here sets it."""
    domain = bench.domain()

    async def there() -> None:
        await iommu_map(bench.machine.driver, domain, IOVA, DRAM, PAGE, Prot.READ)
        await iommu_map(bench.machine.driver, domain, IOVA + PAGE, DRAM, PAGE, BOTH)

    bench.machine.run(there())
    read, written = (bench.walk(domain, IOVA + n * PAGE) for n in range(2))
    assert read is not None
    assert written is not None
    assert (read[1].r, read[1].w, read[1].u, read[1].a, read[1].d) == (1, 0, 1, 1, 0)
    assert (written[1].r, written[1].w, written[1].u, written[1].a, written[1].d) == (1, 1, 1, 1, 1)
    bench.free(domain)


@pytest.mark.parametrize("variant", ["merged", "v2", "current", "latest", "ideal"])
def test_a_write_gets_through_whether_the_iommu_sets_d_or_the_driver_has(variant: str) -> None:
    """v2 and 6.13 leave D to an IOMMU that can set it, and let it; from 7.1 on it is set with the entry."""
    bench = Bench(variant, iommu={"capabilities": {"amo_hwad": True}, "geometry": SMALL_QUEUES})
    machine, domain = bench.machine, bench.domain()
    machine.run(machine.core.replace("dev0", domain))
    machine.run(iommu_map(machine.driver, domain, IOVA, DRAM + SIZE // 2, PAGE, BOTH))
    dirty = [bench.walk(domain, IOVA)[1].d]  # type: ignore[index]
    write = Transaction(1, IOVA, 8, write=True)
    machine.dma(write)
    machine.go(machine.sim.now + SETTLE)
    assert write.status is Status.SUCCESS
    dirty.append(bench.walk(domain, IOVA)[1].d)  # type: ignore[index]
    assert dirty == [int(variant not in ("merged", "v2")), 1]


# --- Page sizes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variant", "sizes"),
    [
        ("v2", [PAGE]),
        ("merged", [PAGE, HUGE, 1 << 30, 1 << 39]),
        ("current", [PAGE, 16 * PAGE, HUGE, 1 << 30, 1 << 39]),
    ],
)
def test_a_domain_offers_the_page_sizes_of_its_variant(variant: str, sizes: list[int]) -> None:
    assert list(Machine(variant).boot().page_sizes) == sizes


def test_7_1_writes_a_64k_page_sixteen_times() -> None:
    bench = Bench("current")
    domain = bench.domain()
    bench.machine.run(iommu_map(bench.machine.driver, domain, IOVA, DRAM, 16 * PAGE, BOTH))
    leaves = {bench.walk(domain, IOVA + n * PAGE)[1] for n in range(16)}  # type: ignore[index]
    assert [(leaf.n, leaf.ppn) for leaf in leaves] == [(1, DRAM >> 12 | 8)]


@pytest.mark.parametrize(("variant", "oopses"), [("v2", False), ("merged", True), ("current", True)])
def test_a_domain_that_is_made_for_no_device_is_an_oops_where_the_variant_looks_at_it(
    variant: str, oopses: bool
) -> None:
    machine = Machine(variant)
    machine.boot()
    machine.start(machine.core.domain_alloc("for-none"))
    machine.go(machine.sim.now + SETTLE)
    oops = "oops: cpu0.t: null pointer dereference: the device that a domain is made for"
    assert machine.log == [oops] * oopses
    assert ("for-none" in machine.core.domains) is not oopses


@pytest.mark.parametrize(
    ("capabilities", "bits"), [({}, 56), ({"sv57": False}, 47), ({"sv57": False, "sv48": False}, 38)]
)
def test_merged_takes_the_largest_scheme_of_the_iommu(capabilities: dict[str, bool], bits: int) -> None:
    machine = Machine(iommu={"capabilities": capabilities, "geometry": SMALL_QUEUES})
    assert machine.boot().aperture_end == (1 << bits) - 1


@pytest.mark.parametrize("variant", ["current", "latest", "ideal"])
def test_a_generic_table_offers_the_lower_half_though_both_can_be_mapped(variant: str) -> None:
    sv48 = {"capabilities": {"sv57": False}, "geometry": SMALL_QUEUES}
    assert Machine(variant, iommu=sv48).boot().aperture_end == (1 << 47) - 1
    assert Machine(variant, cells={"tables": {"offers_all": True}}, iommu=sv48).boot().aperture_end == ONES


def test_the_cpus_scheme_may_be_none_of_the_iommu() -> None:
    """C15: a domain of the CPU's mode cannot be attached; `merged` asks the IOMMU."""
    sv39 = {"capabilities": {"sv57": False, "sv48": False}, "geometry": SMALL_QUEUES}
    with pytest.raises(KernelError) as error:
        Machine("v2", iommu=sv39).boot()
    assert error.value.code == errno.ENODEV
    with pytest.raises(KernelError):
        Machine(cells={"tables": "cpu-mode"}, iommu=sv39).boot()
    Machine(cells={"tables": {"policy": "cpu-mode", "satp": "sv39"}}, iommu=sv39).boot()


@pytest.mark.parametrize("variant", ["merged", "current", "ideal", "v2"])
@pytest.mark.parametrize("asked", [2, 4, 6, 1200])
def test_one_call_unmaps_all_of_a_range_up_to_the_first_hole(variant: str, asked: int) -> None:
    """Also where its entries are in two tables; 4 pages are mapped."""
    bench = Bench(variant)
    domain, first, gather = bench.domain(), IOVA + HUGE - 2 * PAGE, Gather()
    driver, run, done = bench.machine.driver, bench.machine.run, min(asked, 4)
    run(iommu_map(driver, domain, first, DRAM, 4 * PAGE, BOTH))
    assert run(driver.unmap_pages(domain, first, PAGE, asked, gather)) == done * PAGE
    assert (gather.start, gather.end) == (first, first + done * PAGE - 1)
    assert [bench.walk(domain, first + n * PAGE) is None for n in range(4)] == [n < done for n in range(4)]


# --- Errors ---------------------------------------------------------------------------------------------------------


def test_mapping_what_is_mapped_is_refused_by_7_1_only() -> None:
    for variant, failed in (("merged", 0), ("current", errno.EADDRINUSE)):
        bench = Bench(variant)
        domain = bench.domain()

        async def twice(bench: Bench = bench, domain: Domain = domain) -> int:
            await iommu_map(bench.machine.driver, domain, IOVA, DRAM, PAGE, BOTH)
            return (await bench.machine.driver.map_pages(domain, IOVA, DRAM + PAGE, PAGE, 1, BOTH)).failed

        assert bench.machine.run(twice()) == failed


@pytest.mark.parametrize(("variant", "failed"), [("merged", errno.ENOMEM), ("current", errno.EADDRINUSE)])
def test_a_page_inside_a_larger_one_is_refused(variant: str, failed: int) -> None:
    bench = Bench(variant)
    domain = bench.domain()

    async def inside() -> int:
        await iommu_map(bench.machine.driver, domain, IOVA, DRAM, HUGE, BOTH)
        return (await bench.machine.driver.map_pages(domain, IOVA + PAGE, DRAM, PAGE, 1, BOTH)).failed

    assert bench.machine.run(inside()) == failed


@pytest.mark.parametrize(
    ("iova", "address", "failed"),
    [
        (1 << 60, DRAM, errno.ERANGE),
        ((1 << 56) - PAGE, DRAM, errno.ERANGE),
        ((1 << 64) - PAGE, DRAM, errno.ERANGE),
        ((1 << 64) - (1 << 56) - PAGE, DRAM, errno.ERANGE),
        (IOVA + 8, DRAM, errno.EINVAL),
        (IOVA, DRAM + 8, errno.EINVAL),
    ],
)
def test_7_1_maps_nothing_of_what_is_not_wholly_in_the_scheme_or_is_no_page(
    iova: int, address: int, failed: int
) -> None:
    bench = Bench("current")
    domain = bench.domain()
    result = bench.machine.run(bench.machine.driver.map_pages(domain, iova, address, PAGE, 2, BOTH))
    assert result == MapResult(0, failed)
    assert bench.walk(domain, iova) is None


@pytest.mark.parametrize("variant", ["merged", "current"])
def test_a_map_without_memory_for_tables_takes_back_what_it_did(variant: str) -> None:
    bench = Bench(variant, size=1 * MIB)
    machine, domain = bench.machine, bench.domain()

    async def exhaust() -> int:
        taken = []
        while True:
            try:
                taken.append(await machine.kernel.pages.alloc(zero=False, purpose="buffer"))
            except KernelError:
                break
        try:
            await iommu_map(machine.driver, domain, IOVA, DRAM, PAGE, BOTH)
        except KernelError as error:
            return error.code
        return 0

    assert machine.run(exhaust()) == errno.ENOMEM
    assert bench.walk(domain, IOVA) is None


def test_asking_where_nothing_leads_is_an_oops_until_7_1() -> None:
    """C13."""
    for variant, oops in (("merged", True), ("v2", True), ("current", False)):
        bench = Bench(variant)
        domain = bench.domain()

        async def ask(bench: Bench = bench, domain: Domain = domain) -> int | str:
            try:
                return await bench.machine.driver.iova_to_phys(domain, IOVA)
            except Oops as error:
                return str(error)

        found = bench.machine.run(ask())
        assert isinstance(found, str) is oops
        assert oops or found == 0


def test_v2_as_posted_unmaps_nothing_above_the_first_page() -> None:
    """C2: the test for the start of a page is inverted; the repaired v2 unmaps."""
    for variant, cells, unmapped in (
        ("v2-as-posted", {}, 0),
        ("merged", {"tables": "inverted-test"}, 0),
        ("v2", {}, PAGE),
        ("merged", {}, PAGE),
    ):
        bench = Bench(variant, cells=cells)
        domain = bench.domain()

        async def there_and_back(iova: int, bench: Bench = bench, domain: Domain = domain) -> int:
            await iommu_map(bench.machine.driver, domain, iova, DRAM, PAGE, BOTH)
            return await bench.machine.driver.unmap_pages(domain, iova, PAGE, 1, Gather())

        assert [bench.machine.run(there_and_back(iova)) for iova in (0, PAGE, IOVA)] == [PAGE, unmapped, unmapped]


# --- Root and node --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tables", ["per-page", "cpu-mode"])
@pytest.mark.parametrize(("node", "dirty"), [(1, True), (2, False)])
def test_a_domain_has_the_node_of_its_iommu_and_its_way_with_dirty_bits(tables: str, node: int, dirty: bool) -> None:
    machine = Machine(cells={"tables": tables}, iommu={"capabilities": {"amo_hwad": dirty}, "geometry": SMALL_QUEUES})
    machine.boot()
    machine.run(machine.core.iommus["iommu0"].node.store(node))
    made = machine.run(machine.core.domain_alloc("fresh", "dev0")).object
    assert [machine.memory.peek(at.address, 8) for at in (made.node, made.dirty_by_hardware)] == [node, dirty]


def test_a_map_before_the_first_attach_needs_a_root() -> None:
    """B10: a domain whose root comes with the attach cannot be mapped before."""
    for cells, oops in (({}, False), ({"tables": "root-at-attach"}, True)):
        machine = Machine(cells=cells)
        machine.boot()
        domain = machine.run(machine.core.domain_alloc("fresh", "dev0"))
        machine.start(iommu_map(machine.driver, domain, IOVA, DRAM, PAGE, BOTH))
        machine.go(machine.sim.now + 1_000_000_000)
        assert any("null pointer dereference" in line for line in machine.log) is oops


def roots(cells: dict[str, str]) -> int:
    """How many roots a domain gets that two devices of two groups are attached to at once."""
    machine = Machine(cells=cells, cpus=2)
    machine.boot(devices=2)
    domain = machine.run(machine.core.domain_alloc("fresh", "dev0"))
    fresh: list[PageAllocated] = []
    machine.sim.probe(PageAllocated).watch(lambda event: fresh.append(event) if event.purpose == "table" else None)
    before = 1 if machine.memory.peek(domain.object.root.address, 8) else 0
    for n in range(2):
        machine.start(machine.core.replace(f"dev{n}", domain), f"cpu{n}")
    machine.go(machine.sim.now + 1_000_000_000)
    return before + len(fresh)


def test_two_attaches_at_once_may_each_allocate_a_root() -> None:
    """B9: the device that was attached first then uses an orphan table for ever."""
    assert roots({}) == 1
    assert roots({"tables": "root-at-attach"}) == 2
