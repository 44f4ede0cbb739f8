"""What an invalidation of page-table entries names (3.1.1 "IOMMU Page-Table cache invalidation commands")."""

from __future__ import annotations

from dataclasses import dataclass

from cosim.hw.iommu.translate.leaf import HOST, Leaf
from cosim.spec.pagetable import PAGE_LG2
from cosim.spec.queues import Iotinval


@dataclass(frozen=True, slots=True)
class Scope:
    """The page-table entries that an invalidation names; what is None does not narrow it."""

    gscid: int | None = None
    pscid: int | None = None
    page: int | None = None
    """The first page of 4 KiB; without it, entries of every level are named."""
    pages_lg2: int = 0
    nonleaf: bool = True
    """Whether pointers to tables are named too."""

    @classmethod
    def vma(cls, command: Iotinval) -> Scope:
        """What IOTINVAL.VMA names (table "IOTINVAL.VMA operands and operations")."""
        gscid = command.gscid if command.gv else HOST
        pscid = command.pscid if command.pscv else None
        if not command.av:
            return cls(gscid, pscid)
        page, pages_lg2 = command.pages
        return cls(gscid, pscid, page, pages_lg2, bool(command.nl))

    def names(self, gscid: int, pscid: int) -> bool:
        """Whether mappings of this address space are named; ANY_PSCID are global ones, which PSCV=1 spares."""
        if self.gscid is not None and self.gscid != gscid:
            return False
        return self.pscid is None or self.pscid == pscid

    def spans(self, leaf: Leaf) -> bool:
        """Whether an address of a leaf is named."""
        _, _, lg2, page = leaf.key
        return self.covers(page << lg2, leaf.span)

    def covers(self, iova: int, lg2: int) -> bool:
        """Whether any of the 2^`lg2` bytes around `iova` is named."""
        if self.page is None:
            return True
        wide = max(lg2 - PAGE_LG2, self.pages_lg2)
        return self.page >> wide == iova >> PAGE_LG2 + wide


EVERYTHING = Scope()
