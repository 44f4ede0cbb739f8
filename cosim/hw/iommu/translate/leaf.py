"""A leaf translation, as the IOTLB keeps it, and by whom it may be used."""

from __future__ import annotations

from typing import Final

HOST: Final = -1
"""The GSCID of address spaces whose second stage is Bare."""
ANY_PSCID: Final = -1
"""The PSCID of global mappings: they are in every address space of their GSCID."""

Key = tuple[int, int, int, int]
"""GSCID, PSCID, log2 of the page's bytes, page number in units of that size."""

USER, SUPERVISOR, SUPERVISOR_SUM = range(3)
"""As whom a request accesses pages: without privilege, with it, and with it while SUM=1."""


class Leaf:
    """A leaf translation: 2^`lg2` bytes of IOVA from ``page << lg2`` on lead to `base` and on.

    `grants` has the bit ``1 << permission + 3 * privilege`` of what is allowed. ``must_update[write]`` says whether A,
    or for a write D, has to be set in memory first: so a clean leaf is a miss to a write. An invalidation of any
    address in the 2^`span` bytes around it names it.
    """

    __slots__ = ("base", "grants", "key", "lg2", "mapped_globally", "must_update", "offset", "pbmt", "span")

    def __init__(
        self,
        gscid: int,
        pscid: int,
        iova: int,
        lg2: int,
        *,
        span: int = 0,
        base: int = 0,
        grants: int = 0,
        accessed: bool = True,
        dirty: bool = True,
        mapped_globally: bool = False,
        pbmt: int = 0,
    ) -> None:
        self.key: Key = (gscid, ANY_PSCID if mapped_globally else pscid, lg2, iova >> lg2)
        self.lg2 = lg2
        self.offset = (1 << lg2) - 1
        """The bits of an address that stay as they are."""
        self.span = span or lg2
        self.base = base
        self.grants = grants
        self.must_update = not accessed, not (accessed and dirty)
        self.mapped_globally = mapped_globally
        self.pbmt = pbmt

    def copy(self) -> Leaf:
        """Another one, which is the same."""
        gscid, pscid, lg2, page = self.key
        other = Leaf(gscid, pscid, page << lg2, lg2, span=self.span, base=self.base, grants=self.grants)
        other.must_update, other.mapped_globally, other.pbmt = self.must_update, self.mapped_globally, self.pbmt
        return other
