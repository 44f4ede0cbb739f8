"""Invalidations: what they drop from the caches, and whom they overtake.

They are 3.1.1 "IOMMU Page-Table cache invalidation commands" and 3.1.3 "IOMMU directory cache invalidation commands".
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable
from typing import TYPE_CHECKING, Any

from cosim.hw.iommu.options import IommuOptions, Latitude
from cosim.hw.iommu.translate.directory import Directory
from cosim.hw.iommu.translate.iotlb import EVERYTHING, HOST, Iotlb, Scope
from cosim.hw.iommu.translate.ledger import Ledger
from cosim.hw.iommu.translate.page_table import Pointers
from cosim.hw.iommu.translate.walk import Miss, Overtaken
from cosim.hw.iommu.translate.walker import Walker
from cosim.sim.component import Component
from cosim.spec.queues import Command, Iodir, Iotinval

if TYPE_CHECKING:
    from cosim.sim.simulation import Sim


class Invalidations(Component):
    """Carries out invalidations: each is a plain call, and takes hold at once on caches and on requests under way.

    A request is *overtaken* by an invalidation that names an entry which it has already used, or is using: its walk
    is nobody's to join from then on, and by default it starts again, with what is in memory by then.

    ```
    walk reads PTE            |
                              |  software changes PTE
                              |  IOTINVAL: the walk is overtaken
    starts again: reads PTE'  |
                              |  IOFENCE: waits for the reads of overtaken walks, lest one is in a freed table
    ```

    With ``latitude.walk_across_invalidation`` it goes on instead, fills no cache, and IOFENCE waits for its access.
    """

    def __init__(
        self,
        sim: Sim,
        path: str,
        options: IommuOptions,
        iotlb: Iotlb,
        pointers: Pointers,
        directory: Directory,
        walker: Walker,
    ) -> None:
        super().__init__(sim, path)
        self.iotlb = iotlb
        self.pointers = pointers
        self.directory = directory
        self.walker = walker
        self.ledger = Ledger(sim)
        self.settle: Callable[[bool, bool], Generator[Any, Any, None]] = self.ledger.settle
        """What an IOFENCE waits for."""
        self.overtaken = 0
        """Requests that were."""
        self._across: Latitude = "on" if options.defects.stale_fill else options.latitude.walk_across_invalidation
        self._more: Latitude = options.latitude.invalidate_more
        self._misses: dict[Miss, None] = {}

    # --- What commands do --------------------------------------------------------------------------------------------

    def invalidate_vma(self, command: Iotinval) -> None:
        """IOTINVAL.VMA takes hold."""
        self._drop(EVERYTHING if self._widened() else Scope.vma(command))

    def invalidate_gvma(self, command: Iotinval) -> None:
        """IOTINVAL.GVMA takes hold. Entries are not tagged with guest addresses, so all of the VM have to go."""
        gscid = command.gscid if command.gv else None
        for scope in self._virtual_machines(gscid):
            self._drop(scope)

    def invalidate_ddt(self, device_id: int | None) -> None:
        """IODIR.INVAL_DDT takes hold: for one device, or for all."""
        if self._widened():
            device_id = None
        self.directory.invalidate(device_id)
        self._overtake(lambda miss: self._uses_context(miss, device_id))

    def invalidate_pdt(self, device_id: int, process_id: int) -> None:
        """IODIR.INVAL_PDT takes hold; nothing of a process directory is cached."""

    def abandon(self) -> None:
        """Overtake every request: the directory that they use is about to disappear."""
        self._overtake(lambda miss: True)

    def footprint(self, command: Command) -> tuple[Hashable, ...]:
        """What the execution of `command` touches, as an action: look-ups and fills that it names touch it too."""
        if isinstance(command, Iotinval):
            gscid = command.gscid if command.gv else HOST
            return ((self.path, "iotlb", gscid, command.pscid) if command.pscv else (self.path, "iotlb"),)
        if isinstance(command, Iodir):
            return ((self.path, "ddtc", command.did) if command.dv else (self.path, "ddtc"),)
        return ()

    def iotlb_footprint(self, gscid: int, pscid: int) -> tuple[Hashable, ...]:
        """What a look-up or a fill of the IOTLB touches."""
        return (self.path, "iotlb"), (self.path, "iotlb", gscid, pscid)

    def ddtc_footprint(self, device_id: int) -> tuple[Hashable, ...]:
        """What a look-up or a fill of the context cache touches."""
        return (self.path, "ddtc"), (self.path, "ddtc", device_id)

    # --- Requests under way ------------------------------------------------------------------------------------------

    def begin(self, miss: Miss) -> None:
        """From here on `miss` may be overtaken."""
        self._misses[miss] = None

    def again(self, miss: Miss) -> None:
        """`miss` has let go of all that it had read."""
        if miss.held is not None:
            self.ledger.release(miss.held)
            miss.held = None
        miss.overtaken = Overtaken.NOT
        miss.walk = miss.context = miss.space = miss.leaf = None

    def end(self, miss: Miss) -> None:
        """The translation of `miss` is decided. What is `held` stays so until it is released."""
        del self._misses[miss]

    def _drop(self, scope: Scope) -> None:
        self.iotlb.invalidate(scope)
        self.pointers.invalidate(scope)
        self._overtake(lambda miss: self._uses_pages(miss, scope))

    def _overtake(self, named: Callable[[Miss], bool]) -> None:
        for miss in [miss for miss in self._misses if not miss.overtaken and named(miss)]:
            across = self._asked(self._across, f"{miss.txn.master or self.path}.across")
            miss.overtaken = Overtaken.ACROSS if across else Overtaken.AGAIN
            self.overtaken += 1
            if miss.walk is not None:
                self.walker.retire(miss.walk)
            if across or miss.access is not None:
                miss.held = self.ledger.hold()

    def _uses_pages(self, miss: Miss, scope: Scope) -> bool:
        """Whether `miss` has read, or taken from a cache, an entry of a page table that `scope` names."""
        walk, space = miss.walk, miss.space
        if walk is None or space is None or space.table is None or not scope.names(space.gscid, space.pscid):
            return False
        known = walk.known()
        if scope.page is None:
            return walk.source.seen or known is not None
        if known is not None and space.table.pointer(known.words, known.level) is None:
            return scope.covers(walk.target, space.table.span(known))
        top = space.table.scheme.page_lg2(walk.source.top)
        return scope.nonleaf and walk.source.seen and scope.covers(walk.target, top)

    def _uses_context(self, miss: Miss, device_id: int | None) -> bool:
        """Whether `miss` uses the context of `device_id`; of None, whether it uses any entry of the directory."""
        if device_id is not None and miss.txn.device_id != device_id:
            return False
        walk = miss.walk
        if miss.context is not None or walk is None:
            return miss.context is not None
        known = walk.known()
        if device_id is None:
            return walk.source.seen or known is not None
        return known is not None and known.level == 0

    # --- Latitude ----------------------------------------------------------------------------------------------------

    def _widened(self) -> bool:
        return self._asked(self._more, f"{self.path}.more")

    def _asked(self, latitude: Latitude, agent: str) -> bool:
        if latitude == "explore":
            return self.sim.exploring and self.sim.actions.pick(agent, 2) == 1
        return latitude == "on"

    def _virtual_machines(self, gscid: int | None) -> list[Scope]:
        if self._widened():
            return [EVERYTHING]
        if gscid is not None:
            return [Scope(gscid)]
        cached = {key[0] for key, _ in self.iotlb.cache.items()}
        under_way = {miss.space.gscid for miss in self._misses if miss.space is not None}
        return [Scope(found) for found in sorted(cached | under_way) if found != HOST]
