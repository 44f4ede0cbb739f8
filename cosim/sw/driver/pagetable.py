"""First-stage page tables as the driver keeps them: entry by entry, without a lock ("Supervisor-Level ISA").

Maps, unmaps and walks may run beside one another; each entry changes by compare-and-swap alone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from cosim.sim.loaded import Loaded
from cosim.sim.operations import Oops
from cosim.spec.pagetable import FIRST_STAGE, NAPOT_LG2, PAGE_LG2, SV39, Pte, Scheme
from cosim.sw.contract import answer_of
from cosim.sw.driver.axes import Skeleton
from cosim.sw.driver.domain import DomainObject
from cosim.sw.kernel.errors import KernelError
from cosim.sw.kernel.objects import LOWEST_VALID, Cell, Ordering

V = Pte.v.mask
LEAF = Pte.r.mask | Pte.w.mask | Pte.x.mask
"""The bits of which a leaf has at least one."""
TABLE = Pte.of(v=1)
INDEX_BITS = SV39.index_bits
"""Bits of the IOVA that choose an entry of a table, in every scheme that the driver uses."""

Publish = Callable[[Cell, int, int], Awaitable[Loaded]]
"""Swaps an entry from one value to another if the entry still has the first; returns the value before."""


class LeafEntry(NamedTuple):
    """An entry that maps, or is empty: its place, its value, the bytes that it spans."""

    entry: Cell
    pte: int
    size: int


def leaf(paddr: int, *, writable: bool, dirty: bool, executable: bool = False) -> Pte:
    """A leaf for `paddr`. U=1, since a device's requests without a process are of user privilege; A=1 in any case."""
    return Pte.of(v=1, r=1, w=writable, x=executable, u=1, a=1, d=dirty, ppn=paddr >> PAGE_LG2)


def mapped_by(pte: int, span: int) -> tuple[int, int]:
    """The address and the size of what a leaf maps whose level spans `span` bytes: N makes one page of sixteen."""
    size = 1 << NAPOT_LG2 if pte & Pte.n.mask else span
    return Pte.ppn.get(pte) << PAGE_LG2 & ~(size - 1), size


def cell_at(table: int, scheme: Scheme, level: int, iova: int) -> Cell:
    """The entry for `iova` in a table of this level. Oops on a table that is not there."""
    if table < LOWEST_VALID:
        raise Oops(f"null pointer dereference: page table of level {level} for {iova:#x}")
    return Cell(table + 8 * scheme.vpn(level, iova))


def level_of(page_size: int) -> int:
    """The level of the entries that map `page_size` bytes each; of 64 KiB, that of the 4 KiB entries it is made of."""
    return (page_size.bit_length() - 1 - PAGE_LG2) // INDEX_BITS


async def scheme_of(domain: DomainObject) -> Scheme:
    """How the domain's table is built."""
    return FIRST_STAGE[0][int(await domain.mode.load())]


async def find_slot(
    driver: Skeleton, domain: DomainObject, scheme: Scheme, iova: int, page_size: int, publish: Publish
) -> Cell | None:
    """The entry that is to map `page_size` bytes at `iova`; missing tables are allocated (may fail: None).

    None also where a larger page is in the way. What the entry holds may be a table of smaller pages.
    """
    table: int = await domain.root.load()
    for level in range(scheme.levels - 1, -1, -1):
        entry = cell_at(table, scheme, level, iova)
        if 1 << scheme.page_lg2(level) == page_size:
            return entry
        pte = await entry.load()
        while not pte & V:
            found = await new_table(driver, domain, entry, pte, publish)
            if found is None:
                return None
            pte = found
        if pte & LEAF:
            return None
        table = Pte.ppn.get(pte) << PAGE_LG2
    return None


async def new_table(driver: Skeleton, domain: DomainObject, entry: Cell, empty: int, publish: Publish) -> Loaded | None:
    """Put a zeroed table where `entry` is `empty`; its value then, perhaps another map's table. None without memory."""
    try:
        page = await driver.kernel.pages.alloc(node=int(await domain.node.load()), purpose="table")
    except KernelError:
        return None
    fresh = Pte.ppn.put(TABLE, page >> PAGE_LG2)
    found = answer_of(publish, await publish(entry, empty, fresh), Loaded)
    if found == empty:
        return Loaded(fresh, found.at)
    await driver.kernel.pages.free(page)
    return found


async def find_leaf(domain: DomainObject, scheme: Scheme, iova: int) -> LeafEntry | None:
    """The leaf that maps `iova`, or the last entry of the way there if that is empty at level 0; else None."""
    table: int = await domain.root.load()
    for level in range(scheme.levels - 1, -1, -1):
        entry = cell_at(table, scheme, level, iova)
        pte = await entry.load()
        if pte & LEAF:
            return LeafEntry(entry, pte, 1 << scheme.page_lg2(level))
        if not pte & V:
            return None
        table = Pte.ppn.get(pte) << PAGE_LG2
    return None


async def take_tables(pte: int, level: int, freelist: list[int]) -> None:
    """Empty the table that `pte`, an entry of `level`, points to, and all below, and put them on `freelist`."""
    if not pte & V or pte & LEAF:
        return
    table = Pte.ppn.get(pte) << PAGE_LG2
    for index in range(1 << INDEX_BITS):
        entry = Cell(table + 8 * index)
        below = await entry.load()
        if below and await entry.cmpxchg(below, 0, Ordering.RELAXED) == below and level > 1:
            await take_tables(below, level - 1, freelist)
    freelist.append(int(table))


async def free_pages(driver: Skeleton, freelist: list[int]) -> None:
    """Free table pages that nothing reaches any more."""
    for page in freelist:
        await driver.kernel.pages.free(page)
