"""What page tables hold, looked up in memory for those who watch (`TableSeen`); nothing here takes time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache

from cosim.events import TableSeen
from cosim.events.domains import SeenLeaf
from cosim.spec.bits import ONES
from cosim.spec.pagetable import FIRST_STAGE, NAPOT_LG2, PAGE_LG2, Pte, Scheme
from cosim.spec.translation import Fsc
from cosim.sw.iommu_ops import Domain, IommuDriver
from cosim.sw.kernel.kernel import Kernel
from cosim.sw.kernel.objects import WORD

V, RWX = Pte.v.mask, Pte.r.mask | Pte.w.mask | Pte.x.mask
FLAGS = ONES & ~Pte.ppn.mask

FEW = 64
"""So many pages are walked to one by one, and so many entries of a table looked at; of more, those that are not 0."""


class TablesSeen:
    """Looks at tables as they will be once what CPUs have stored has taken hold."""

    def __init__(self, kernel: Kernel, driver: IommuDriver) -> None:
        self._kernel, self._driver = kernel, driver
        self.wanted = kernel.sim.probe(TableSeen)
        """Whether anybody wants to know."""

    def of_range(self, who: str, domain: Domain, iova: int, size: int) -> None:
        """Tell what a domain's table holds for a range, if it is known where the table is."""
        if self.wanted:
            self._tell(who, domain, iova, size, self._kernel.stored())

    def of_all(self, domains: Iterable[Domain]) -> None:
        """Tell what the tables of these domains hold."""
        if self.wanted:
            stored = self._kernel.stored()
            for domain in domains:
                self._tell("", domain, 0, 1 << 64, stored)

    def _tell(self, who: str, domain: Domain, iova: int, size: int, stored: dict[int, int]) -> None:
        kernel = self._kernel
        fsc = self._driver.table(domain, lambda address: kernel.word(address, stored))
        scheme = None if fsc is None else FIRST_STAGE[0].get(fsc.mode)
        if fsc is None or scheme is None or scheme.bare:
            return
        leaves = _Table(kernel, stored).leaves(fsc.ppn << PAGE_LG2, scheme, iova, iova + size)
        self.wanted(TableSeen(kernel.sim.now, who, domain.name, iova, size, tuple(leaves)))


def lets_pass(kernel: Kernel, fsc: Fsc, stored: dict[int, int]) -> bool:
    """Whether there is a leaf that permits anything in the page table that a context names, if it names one."""
    scheme = FIRST_STAGE[0].get(fsc.mode)
    if scheme is None or scheme.bare:
        return False
    return any(leaf.prot for leaf in _Table(kernel, stored).leaves(fsc.ppn << PAGE_LG2, scheme, 0, 1 << 64))


class _Table:
    """One look at one table."""

    def __init__(self, kernel: Kernel, stored: dict[int, int]) -> None:
        self._memory, self._stored = kernel.pages.memory, stored

    def leaves(self, root: int, scheme: Scheme, start: int, end: int) -> Iterator[SeenLeaf]:
        """The valid leaves that map anything of `start` .. `end` (exclusive); of the upper half sign-extended."""
        half = 1 << scheme.address_bits - 1
        for first, last, above in ((0, half, 0), ((1 << 64) - half, 1 << 64, (1 << 64) - 2 * half)):
            if max(first, start) < min(last, end):
                wanted = max(first, start) - above, min(last, end) - above
                if end - start <= FEW << PAGE_LG2:
                    yield from self._one_by_one(root, scheme, above, *wanted)
                else:
                    for leaf in self._below((root,), 0, scheme, scheme.levels - 1, 0, *wanted):
                        yield leaf._replace(iova=leaf.iova + above)

    def _one_by_one(self, root: int, scheme: Scheme, above: int, start: int, end: int) -> Iterator[SeenLeaf]:
        """The same for a few pages, each as a walk finds it; their IOVAs are `above` more."""
        stored, entries, steps = self._stored, self._memory.entries, _steps(scheme)
        while start < end:
            table, upper = root, 0
            for level, lg2, mask in steps:
                place = table + WORD * (start >> lg2 & mask)
                if place in stored:
                    pte = stored[place]
                else:
                    found = entries(place, WORD)
                    pte = found[0][1] if found else 0
                if not pte & V:
                    break
                if pte & RWX:
                    yield _leaf(pte, level, above + (start >> lg2 << lg2), 1 << lg2, upper)
                    break
                table, upper = Pte.ppn.get(pte) << PAGE_LG2, upper | pte & FLAGS
            start = (start >> lg2) + 1 << lg2

    def _below(
        self, way: tuple[int, ...], upper: int, scheme: Scheme, level: int, base: int, start: int, end: int
    ) -> Iterator[SeenLeaf]:
        """Of a table of `level`, the last one of `way`, whose first entry is for `base`.

        `upper` are the flags of the entries on the way.
        """
        span = 1 << scheme.page_lg2(level)
        first = max(0, (start - base) // span)
        last = min(scheme.entries(level), -(-(end - base) // span))
        for index, pte in self._entries(way[-1], first, last):
            if not pte & V:
                continue
            iova, address = base + index * span, Pte.ppn.get(pte) << PAGE_LG2
            if pte & RWX:
                yield _leaf(pte, level, iova, span, upper)
            elif level and address not in way:  # what is no table may lead anywhere
                yield from self._below((*way, address), upper | pte & FLAGS, scheme, level - 1, iova, start, end)

    def _entries(self, table: int, first: int, last: int) -> Iterator[tuple[int, int]]:
        """The entries from `first` to before `last` that are not 0: index and value."""
        stored, place = self._stored, table + WORD * first
        found = self._memory.entries(*((place, WORD * (last - first)) if last - first <= FEW else (table, 512 * WORD)))
        if stored:
            values = dict(found)
            for address in range(place, table + WORD * last, WORD):
                if address in stored:
                    values[address] = stored[address]
            found = sorted(values.items())
        for address, value in found:
            index = (address - table) // WORD
            if value and first <= index < last:
                yield index, value


@cache
def _steps(scheme: Scheme) -> tuple[tuple[int, int, int], ...]:
    """From the root down: the level, log2 of what an entry spans, and the bits that are the index."""
    return tuple((level, scheme.page_lg2(level), scheme.entries(level) - 1) for level in reversed(range(scheme.levels)))


def _leaf(pte: int, level: int, iova: int, span: int, upper: int) -> SeenLeaf:
    address = Pte.ppn.get(pte) << PAGE_LG2
    mask = (1 << NAPOT_LG2) - 1 if pte & Pte.n.mask and not level else span - 1
    leads = address & ~mask | iova & mask
    return SeenLeaf(iova, span, leads, _prot(pte), bool(pte & Pte.g.mask), pte, level, upper)


def _prot(pte: int) -> str:
    """What U, R and W let a device do: a request without a process is of user privilege.

    Whether an IOMMU takes the rest of the leaf for a valid one is for those to say who know it.
    """
    if not pte & Pte.u.mask:
        return ""
    return "r" * bool(pte & Pte.r.mask) + "w" * bool(pte & Pte.w.mask)
