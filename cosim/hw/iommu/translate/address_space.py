"""An address space: what a context says of the first stage that translates for it."""

from __future__ import annotations

from cosim.hw.iommu.translate.leaf import HOST
from cosim.hw.iommu.translate.page_table import PageTable
from cosim.hw.iommu.translate.tree import Stage, Tables


class AddressSpace:
    """What a context says of its first stage: its page tables, if there are any, and the tags of what is cached.

    Tables of a guest are `behind` those of its second stage.
    """

    __slots__ = ("bare", "gscid", "pscid", "sade", "shift", "sum", "tables", "upper")

    def __init__(
        self,
        table: PageTable | None,
        root: int,
        gscid: int,
        pscid: int,
        *,
        sade: bool,
        big_endian: int = 0,
        behind: Tables[Stage] | None = None,
    ) -> None:
        self.gscid = gscid
        self.pscid = pscid
        self.sade = sade
        """Whether hardware sets A and D."""
        self.sum = False
        """Whether a request with privilege may read and write the pages of users."""
        self.bare = table is None
        self.tables: Tables[PageTable] | None = None
        self.shift = self.upper = 0
        if table is not None:
            self.shift, self.upper = table.shift, table.upper
            levels = table.scheme.levels
            self.tables = Tables(table, root, levels, (gscid, pscid), big_endian=big_endian, behind=behind)


NO_FIRST_STAGE = AddressSpace(None, 0, HOST, 0, sade=False)
"""Where iosatp.MODE is taken to be Bare."""
