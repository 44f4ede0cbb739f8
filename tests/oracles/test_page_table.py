"""The oracle of page tables: what memory holds is what is mapped, also where no device looks."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from cosim.events import (
    AddressAsked,
    Attaching,
    ContextChanged,
    DomainMade,
    EntriesCleared,
    KernelEnded,
    MapBegun,
    Mapped,
    Misused,
    TableSeen,
    UnmapBegun,
    Unmapped,
)
from cosim.events.domains import SeenLeaf
from cosim.oracles import Bounds, PageTable
from cosim.sim.operations import Work
from cosim.spec.pagetable import Pte
from cosim.spec.registers import Capabilities
from cosim.spec.translation import DcTa, Tc
from cosim.sw.driver.driver import Driver
from cosim.sw.driver.policies.tables_generic import Generic
from cosim.sw.iommu_ops import Prot
from tests.oracles.contexts import FSC
from tests.oracles.judging import Small, judged

PAGE = 0x1000
FRAME = 0x8000_0000
STRAY = "a valid leaf of a page that is not mapped"
MISSING = "a mapped page has no valid leaf"
ELSEWHERE = "a leaf that leads to another frame than was mapped"
PERMITS = "a leaf that permits something else than was mapped"
SHORT = "an unmap has not cleared what was mapped"


def mapped(page: int, pages: int = 1, *, prot: str = "rw", domain: str = "mine") -> list[object]:
    place = ("t", domain, page * PAGE, pages * PAGE, FRAME + page * PAGE, prot)
    return [MapBegun(10, *place), Mapped(11, *place)]


def leaf(page: int, *, size: int = PAGE, to: int | None = None, prot: str = "rw") -> SeenLeaf:
    return SeenLeaf(page * PAGE, size, FRAME + (page if to is None else to) * PAGE, prot)


def table(*leaves: SeenLeaf, page: int = 0, pages: int = 64, domain: str = "mine") -> TableSeen:
    return TableSeen(50, "t", domain, page * PAGE, pages * PAGE, leaves)


def unmap(page: int, pages: int = 1) -> list[object]:
    return [UnmapBegun(20, "t", "mine", page * PAGE, pages * PAGE)]


def cleared(page: int, pages: int, of: int) -> EntriesCleared:
    return EntriesCleared(30, "t", "mine", page * PAGE, of * PAGE, pages * PAGE)


def unmapped(page: int, pages: int = 1) -> Unmapped:
    return Unmapped(40, "t", "mine", page * PAGE, pages * PAGE)


def found(*events: object) -> list[str]:
    return [violation.signature.removeprefix("page-table: ") for violation in judged(PageTable, *events)]


@pytest.mark.parametrize(
    ("events", "wrong"),
    [
        ([*mapped(1, 2), table(leaf(1), leaf(2))], []),
        ([*mapped(1, 2), table(leaf(1))], [MISSING]),
        ([*mapped(1, 2), table(leaf(1), leaf(2), leaf(3))], [STRAY]),
        ([*mapped(1, 2), table(leaf(0), leaf(1), leaf(2), leaf(3))], [STRAY, STRAY]),
        ([*mapped(1), table(leaf(1, to=2))], [ELSEWHERE]),
        ([*mapped(1, prot="r"), table(leaf(1))], [PERMITS]),
        ([*mapped(1), table(leaf(1, prot="r"))], [PERMITS]),
        ([*mapped(1), table(leaf(1, prot=""))], [PERMITS]),
        ([*mapped(1, prot="w"), table(leaf(1))], []),
        ([*mapped(1, 3), table(leaf(2), page=2)], [MISSING]),
        ([*mapped(1, 3), table(leaf(2), page=2, pages=1)], []),
        ([*mapped(0, 512), table(leaf(0, size=512 * PAGE), page=3, pages=2)], []),
        ([*mapped(0, 511), table(leaf(0, size=512 * PAGE), pages=512)], [STRAY]),
        ([*mapped(1, 511), table(leaf(0, size=512 * PAGE), pages=512)], [STRAY]),
        ([*mapped(1), table(), table()], [MISSING]),
        ([table(leaf(1)), table(leaf(1))], [STRAY]),
        ([table(leaf(1)), *mapped(1), *unmap(1), unmapped(1), table(leaf(1))], [STRAY, STRAY]),
        ([*mapped(1), table(domain="other")], []),
        ([*mapped(1), DomainMade(15, "mine"), table()], []),
        ([*mapped(1), DomainMade(15, "mine"), table(leaf(1))], [STRAY]),
        ([table(leaf(1)), DomainMade(60, "mine"), table(leaf(1))], [STRAY, STRAY]),
        ([table(leaf(1)), KernelEnded(60), table(leaf(1))], [STRAY, STRAY]),
        ([*mapped(1), table(leaf(1, to=2)), table(leaf(1, prot="r"))], [ELSEWHERE, PERMITS]),
        ([*mapped(1), table(), *unmap(1), unmapped(1), table(leaf(1))], [MISSING, STRAY]),
        ([*mapped(1, 4), *mapped(0, 2), table(leaf(3))], []),
    ],
)
def test_a_table_is_held_against_what_is_mapped(events: list[object], wrong: list[str]) -> None:
    assert found(*events) == wrong


def test_a_call_that_its_kernel_does_not_outlive_is_not_judged() -> None:
    """A thread clears what it has mapped beside a shutdown; the next kernel has domains of its own."""
    ended = [*mapped(1), KernelEnded(15)]
    late = [*unmap(1), table(leaf(1)), asked(1, FRAME + PAGE)]
    assert found(*ended, *late) == []
    assert found(*ended, DomainMade(16, "mine"), table(leaf(1))) == [STRAY]
    assert found(*ended, DomainMade(16, "mine"), asked(1, FRAME + PAGE)) == [
        "iova_to_phys is wrong of a page that is not mapped"
    ]


@pytest.mark.parametrize(("leaves", "size"), [((), 0x4000), ((1,), 0x3000), ((2, 4), 0x2000)])
def test_it_is_said_how_much_of_a_mapping_has_no_leaf(leaves: tuple[int, ...], size: int) -> None:
    (told,) = judged(PageTable, *mapped(1, 4), table(*map(leaf, leaves)))
    assert f"is mapped with 0x4000 bytes, and {size:#x} of them have no valid leaf" in told.message


def test_it_is_said_who_has_mapped_what_leads_elsewhere_or_permits_something_else() -> None:
    told = judged(PageTable, *mapped(1, 2), table(leaf(1, to=5), leaf(2, prot="r")))
    assert [each.message.partition(", by its")[0].partition(" and was ")[2] for each in told] == [
        f"mapped to {leaf(1).address:#x} by t",
        "mapped for rw by t",
    ]


@pytest.mark.parametrize(
    "events",
    [
        [mapped(1)[0]],
        [*mapped(1), *unmap(1)],
        [*mapped(1), *mapped(2), *unmap(1, 2)],
    ],
    ids=["coming", "leaving", "leaving together"],
)
@pytest.mark.parametrize("leaves", [(), (leaf(1),)], ids=["no leaf", "a leaf"])
def test_what_is_coming_or_leaving_may_have_a_leaf_or_none(events: list[object], leaves: tuple[SeenLeaf, ...]) -> None:
    assert not found(*events, table(*leaves))


@pytest.mark.parametrize(
    "events",
    [[mapped(1)[0], unmapped(1)], [*mapped(1), *unmap(1), unmapped(1)]],
    ids=["a map that failed", "an unmap"],
)
def test_what_has_failed_or_is_unmapped_has_no_leaf(events: list[object]) -> None:
    assert not found(*events, table())
    assert found(*events, table(leaf(1))) == [STRAY]


@pytest.mark.parametrize(
    "events",
    [
        [*mapped(1, 4), *unmap(2), cleared(2, 0, 1), unmapped(2)],
        [*mapped(1, 4), *unmap(0, 8), cleared(0, 0, 8), unmapped(0, 8)],
        [*mapped(1), *unmap(1), *unmap(1), cleared(1, 0, 1), unmapped(1)],
        [*mapped(1), *mapped(1), unmapped(1)],
        [*mapped(1), Misused(15, "t", "mine", PAGE, PAGE)],
    ],
    ids=["a part is unmapped", "more is unmapped", "unmapped twice", "mapped twice", "mapped over"],
)
@pytest.mark.parametrize("leaves", [(), (leaf(1, to=9),)], ids=["no leaf", "a leaf"])
def test_what_comes_of_a_caller_s_mistake_is_not_judged(events: list[object], leaves: tuple[SeenLeaf, ...]) -> None:
    assert not found(*events, table(*leaves, page=1, pages=1))


def test_an_unmap_of_what_is_live_says_that_all_of_it_is_cleared() -> None:
    two = [*mapped(1, 2), *mapped(3)]
    assert not found(*two, *unmap(1, 3), cleared(1, 3, 3))
    assert found(*two, *unmap(1, 3), cleared(1, 2, 3)) == [SHORT]
    assert found(*two, *unmap(1, 2), cleared(1, 3, 2)) == [SHORT]
    assert not found(*mapped(1), *mapped(3), *unmap(1, 3), cleared(1, 1, 3)), "there is a hole in it"
    assert not found(*unmap(1), cleared(1, 0, 1)), "nothing was mapped"
    assert found(*two, table(leaf(1)), *unmap(1, 3), cleared(1, 1, 3)) == [MISSING, MISSING], "whose leaf is gone"


def asked(page: int, address: int, began: int = 60) -> AddressAsked:
    return AddressAsked(70, "t", "mine", page * PAGE + 0x123, address, began)


def test_an_answer_is_held_against_what_was_mapped_when_it_was_asked_for() -> None:
    right, bounds = FRAME + PAGE + 0x123, Bounds(store_ps=5)

    def answers(*events: object) -> list[str]:
        return [each.signature for each in judged(PageTable, *events, bounds=bounds)]

    assert not answers(*mapped(1), asked(1, right))
    assert answers(*mapped(1), asked(1, right - 0x123)) == [
        "page-table: iova_to_phys is wrong of a page that is mapped"
    ]
    assert answers(*mapped(1), asked(1, 0)) == ["page-table: iova_to_phys is wrong of a page that is mapped"]
    assert answers(*mapped(1), asked(2, 1)) == ["page-table: iova_to_phys is wrong of a page that is not mapped"]
    assert not answers(*mapped(1), asked(2, 0))
    assert not answers(*mapped(1), asked(1, 0, began=15)), "the store may have to take hold yet"
    assert not answers(*mapped(1), asked(2, 1, began=15))
    assert not answers(*mapped(1), *unmap(1), asked(1, 0))
    assert not answers(*mapped(1), *unmap(1), unmapped(1), asked(1, right, began=44))
    assert answers(*mapped(1), *unmap(1), unmapped(1), asked(1, right, began=45))


# --- Drivers that get it wrong ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ClearsNothing(Generic):
    """An unmap that gathers what it should clear."""

    async def unmap_pages(self, driver, domain, iova, size, gather):  # type: ignore[no-untyped-def]
        await Work(driver.costs.call)
        gather.add(iova, size)
        gather.cleared(PAGE)
        return size


@dataclass(frozen=True)
class CountsNothing(Generic):
    """An unmap that does its work, and says that there was none."""

    async def unmap_pages(self, driver, domain, iova, size, gather):  # type: ignore[no-untyped-def]
        await super().unmap_pages(driver, domain, iova, size, gather)
        return 0


@dataclass(frozen=True)
class Permits(Generic):
    """A map that permits writes whatever was asked for."""

    async def map_pages(self, driver, domain, iova, paddr, page_size, count, prot):  # type: ignore[no-untyped-def]
        return await super().map_pages(driver, domain, iova, paddr, page_size, count, prot | Prot.WRITE)


@dataclass(frozen=True)
class NextFrame(Generic):
    """A map to the next frame."""

    async def _store(self, driver, slot, pte, page_size):  # type: ignore[no-untyped-def]
        await super()._store(driver, slot, pte.replace(ppn=Pte.ppn.get(pte) + 1), page_size)


@pytest.mark.parametrize(
    ("tables", "wrong"),
    [
        (Generic, []),
        (ClearsNothing, ["page-table: a valid leaf of a page that is not mapped"]),
        (CountsNothing, ["page-table: an unmap has not cleared what was mapped"]),
        (Permits, ["page-table: a leaf that permits something else than was mapped"]),
        (NextFrame, ["page-table: a leaf that leads to another frame than was mapped"]),
    ],
)
def test_a_driver_is_seen_by_what_it_leaves_in_memory(tables: type[Generic], wrong: list[str]) -> None:
    small = Small("latest")
    assert isinstance(small.runtime.driver, Driver)
    small.runtime.driver.policies = replace(small.runtime.driver.policies, tables=tables())
    iova, _ = small.map("nic0", Prot.READ)
    small.unmap("nic0", iova)
    assert small.signatures == wrong


# --- Leaves that an IOMMU refuses -------------------------------------------------------------------------------------

REFUSED = "a leaf that its IOMMU refuses"
RW = Pte.of(v=1, r=1, w=1, u=1, a=1, d=1)
NO_D, NO_A = RW.replace(d=0), RW.replace(a=0)


def entered(*, sade: int = 0, iommu: str = "iommu0", device_id: int = 1) -> list[object]:
    """A device enters the domain."""
    words = {"ta": DcTa.of(pscid=1), "fsc": FSC, "tc": Tc.of(v=1, sade=sade)}
    return [
        Attaching(1, "t", "nic", "mine", (device_id,), iommu),
        *(ContextChanged(2, iommu, device_id, field, value) for field, value in words.items()),
    ]


def of_entry(pte: int, *, prot: str = "rw", level: int = 0, above: int = 1) -> list[object]:
    """A mapping, and a look at the leaf that maps its first page."""
    pages = 1 << 9 * level
    seen = leaf(0, size=pages * PAGE, prot=prot)._replace(pte=pte | FRAME >> 2, level=level, above=above)
    return [*mapped(0, pages, prot=prot), table(seen, pages=pages)]


def refused(*events: object, **capabilities: Capabilities) -> list[str]:
    told = judged(PageTable, *events, bounds=Bounds(capabilities=capabilities))
    assert {each.signature for each in told} <= {f"page-table: {REFUSED}"}
    return [each.message.partition(" refuses that: ")[2].partition(", by its page table")[0] for each in told]


NONE, ADUE = Capabilities(0), Capabilities.of(amo_hwad=1)


@pytest.mark.parametrize(
    ("sade", "capabilities", "pte", "prot", "why"),
    [
        (0, NONE, RW, "rw", ""),
        (0, NONE, NO_A, "rw", "its leaf has A=0, which the IOMMU does not set"),
        (0, NONE, NO_A, "r", "its leaf has A=0, which the IOMMU does not set"),
        (0, NONE, NO_D, "rw", "its leaf has D=0, which the IOMMU does not set"),
        (0, NONE, NO_D, "r", ""),
        (0, ADUE, NO_D, "rw", "its leaf has D=0, which the IOMMU does not set"),
        (1, ADUE, NO_D, "rw", ""),
        (1, ADUE, NO_A, "rw", ""),
        (1, NONE, NO_A, "rw", "its leaf has A=0, which the IOMMU does not set"),
        (0, NONE, RW | 1 << 54, "rw", "its leaf has reserved bits, 0x40000000000000"),
        (0, NONE, RW.replace(pbmt=1), "rw", "its leaf has reserved bits, 0x2000000000000000"),
        (0, Capabilities.of(svpbmt=1), RW.replace(pbmt=1), "rw", ""),
        (0, NONE, RW.replace(n=1), "rw", "its leaf has N=1, and is none of 64 KiB"),
    ],
)
def test_a_leaf_of_what_is_mapped_is_one_for_the_iommu(
    sade: int, capabilities: Capabilities, pte: int, prot: str, why: str
) -> None:
    assert refused(*entered(sade=sade), *of_entry(pte, prot=prot), iommu0=capabilities) == [why] * bool(why)


def test_a_superpage_is_aligned_and_the_entries_above_a_leaf_have_no_bit_of_a_leaf() -> None:
    low = "its leaf is a superpage whose low PPN bits are not 0"
    assert not refused(*entered(), *of_entry(RW, level=1), iommu0=NONE)
    assert refused(*entered(), *of_entry(RW | 1 << 18, level=1), iommu0=NONE) == [low]
    above = "an entry that leads to its leaf has reserved bits, 0x40"
    assert refused(*entered(), *of_entry(RW, above=0x41), iommu0=NONE) == [above]


def test_each_iommu_of_the_domain_is_asked_and_no_other() -> None:
    event = of_entry(NO_D)
    both = [*entered(sade=1), *entered(iommu="iommu1")]
    assert not refused(*event, iommu0=NONE), "nobody is in the domain"
    assert not refused(*entered(), *event), "what the IOMMU can do is not known"
    assert not refused(*entered(), ContextChanged(3, "iommu0", 1, "tc", 0), *event, iommu0=NONE), "it has left"
    assert refused(*both, *event, iommu0=ADUE, iommu1=ADUE)
    assert not refused(*entered(sade=1), *event, iommu0=ADUE, iommu1=NONE)
    (told,) = judged(PageTable, *both, *event, bounds=Bounds(capabilities={"iommu0": ADUE, "iommu1": NONE}))
    assert "is mapped for rw, and iommu1 refuses that: its leaf has D=0" in told.message


@dataclass(frozen=True)
class Stores(Generic):
    """A map that changes the bits of each leaf."""

    bits: int = 0

    async def _store(self, driver, slot, pte, page_size):  # type: ignore[no-untyped-def]
        await super()._store(driver, slot, Pte(pte ^ self.bits), page_size)


@pytest.mark.parametrize(
    ("bits", "wrong"), [(0, []), (Pte.a.mask, [REFUSED]), (Pte.d.mask, [REFUSED]), (1 << 54, [REFUSED])]
)
def test_a_driver_is_seen_whose_leaves_no_device_can_use(bits: int, wrong: list[str]) -> None:
    small = Small("latest")
    assert isinstance(small.runtime.driver, Driver)
    small.runtime.driver.policies = replace(small.runtime.driver.policies, tables=Stores(bits=bits))
    iova, _ = small.map("nic0")
    small.unmap("nic0", iova)
    assert small.signatures == [f"page-table: {each}" for each in wrong]


def test_at_the_end_all_of_a_table_is_looked_at() -> None:
    small = Small()
    iova, page = small.map("nic0")
    small.map("nic0")
    small.system.end([])
    assert not small.signatures
    memory = small.system.memories["dram0"]
    leaves = [
        place for place, word in memory.entries(0x8000_0000, 1 << 26) if word & 1 and Pte.ppn.get(word) == page >> 12
    ]
    memory.poke(leaves[0], 8, 0)
    small.system.end([])
    assert small.signatures == ["page-table: a mapped page has no valid leaf"]
    assert small.found.kept[0].message.startswith(f"IOVA {iova:#x} of nic0 is mapped with 0x1000 bytes")
