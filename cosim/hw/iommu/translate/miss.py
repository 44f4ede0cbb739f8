"""A request that the caches could not answer: what it lacks, what it has found, and whether it may still trust that."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from cosim.hw.dma.transaction import Transaction
from cosim.sim.transport import Response

if TYPE_CHECKING:
    from cosim.hw.iommu.translate.address_space import AddressSpace
    from cosim.hw.iommu.translate.device_context import DeviceContext
    from cosim.hw.iommu.translate.leaf import Leaf
    from cosim.hw.iommu.translate.ledger import Epoch
    from cosim.hw.iommu.translate.reservations import Reservation
    from cosim.hw.iommu.translate.scope import Scope
    from cosim.hw.iommu.translate.walk import Walk


class StartAgain(Exception):
    """A request must not use what it has read: an invalidation named it, or it has changed before A and D were set.

    Raised where that is seen, caught once: the request starts again from the first step.
    """


class Overtaken(IntEnum):
    """What becomes of a request when an invalidation names what it has read."""

    NOT = 0
    AGAIN = 1
    """It starts again from the first step."""
    ACROSS = 2
    """It goes on with what it has read, fills no cache, and a fence waits for its access."""
    STALE = 3
    """It goes on, and fills the caches with what it has read: only defective hardware does."""


class Miss:
    """A request that the caches could not answer, until its translation is decided. It changes itself, when told to.

    ```
                         lacks its context              lacks its leaf
    Translation  made --------+--------------------------------+--------------------------> translated
    Resolver                  | walk ... `located`             | walk ... `mapped`
    Invalidations             |       `overtake`               |       `overtake`
                              v                                v
                 StartAgain: `forget`, from the first step (restarts), or Fault: `forget`, and over
    ```

    `walk` is its present or last walk. Once it is *overtaken* it must not be trusted with what it has read.

    Where the IOTLB allocates at the miss, it holds an entry from `lacks_leaf` on until it has to `forget` or is over.
    """

    __slots__ = ("context", "held", "leaf", "must_restart", "overtaken", "probed", "reserved", "space", "txn", "walk")

    def __init__(self, txn: Transaction) -> None:
        self.txn = txn
        self.probed = False
        """Whether its look-up in the IOTLB has been counted."""
        self.walk: Walk | None = None
        self.context: DeviceContext | None = None
        self.space: AddressSpace | None = None
        """Where its leaf is looked for; None while it is not."""
        self.leaf: Leaf | None = None
        self.overtaken = Overtaken.NOT
        self.must_restart = False
        """Whether what it has read is not to be used."""
        self.held: Epoch | None = None
        """What the ledger holds for it since it was overtaken, if anything."""
        self.reserved: Reservation | None = None

    # --- What becomes of it ------------------------------------------------------------------------------------------

    def walks(self, walk: Walk) -> None:
        """A walk for it begins."""
        self.walk = walk

    def located(self, context: DeviceContext) -> None:
        """Its device context is known."""
        self.context = context

    def lacks_leaf(self, context: DeviceContext, space: AddressSpace) -> None:
        """Its context is known, and its leaf is in none of the caches."""
        self.context, self.space, self.probed = context, space, True

    def reserves(self, reserved: Reservation | None) -> None:
        """A place in the IOTLB waits for its leaf, or none can."""
        self.reserved = reserved

    def give_back(self) -> None:
        """Let go of that place, whether or not it was filled."""
        if self.reserved is not None:
            self.reserved.let_go()
            self.reserved = None

    def over(self) -> None:
        """Its translation is decided: let go of that place and of its walk, which knows it, so that both are gone."""
        self.give_back()
        self.walk = None

    def mapped(self, leaf: Leaf) -> None:
        """Its leaf is known."""
        self.leaf = leaf

    def overtake(self, how: Overtaken, held: Epoch | None) -> None:
        """An invalidation names what it uses."""
        self.overtaken, self.held = how, held
        self.must_restart = how is Overtaken.AGAIN

    def forget(self) -> Epoch | None:
        """Let go of all that was read or reserved, also of what the ledger held, which is returned."""
        self.give_back()
        held, self.held = self.held, None
        self.overtaken = Overtaken.NOT
        self.must_restart = False
        self.walk = self.context = self.space = self.leaf = None
        return held

    # --- Questions ---------------------------------------------------------------------------------------------------

    @property
    def how(self) -> str:
        """How its leaf was found: by a walk of its own, or merged with another's."""
        return "merged" if self.walk is not None and self.walk.merged else "walk"

    @property
    def may_fill(self) -> bool:
        """Whether what it has read may be kept in a cache."""
        return self.overtaken is Overtaken.NOT or self.overtaken is Overtaken.STALE

    @property
    def accessing(self) -> bool:
        """Whether it has an access of a table under way."""
        return self.walk is not None and self.walk.accessing

    def uses_pages(self, scope: Scope) -> bool:
        """Whether it has read, or taken from a cache, an entry of a page table that `scope` names."""
        walk, space = self.walk, self.space
        if walk is None or space is None or space.tables is None or not scope.names(space.gscid, space.pscid):
            return False
        if scope.page is None:
            return walk.relies_on_any()
        table, known = space.tables.tree, walk.known()
        if known is not None and (known.response is not Response.OK or table.pointer(known.words, known.level) is None):
            return scope.covers(walk.target, table.span(known))
        return scope.nonleaf and walk.source.seen and scope.covers(walk.target, table.reach(walk.source.top))

    def uses_context(self, device_id: int | None) -> bool:
        """Whether it uses the context of `device_id`; of None, whether it uses any entry of the directory."""
        if device_id is not None and self.txn.device_id != device_id:
            return False
        walk = self.walk
        if self.context is not None or walk is None:
            return self.context is not None
        if device_id is None:
            return walk.relies_on_any()
        known = walk.known()
        return known is not None and known.level == 0
