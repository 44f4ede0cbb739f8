"""Invalidations: what they drop from the caches, and whom they overtake.

They are 3.1.1 "IOMMU Page-Table cache invalidation commands" and 3.1.3 "IOMMU directory cache invalidation commands".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from cosim.events import Invalidated
from cosim.hw.iommu.translate import touched
from cosim.hw.iommu.translate.directory import Directory
from cosim.hw.iommu.translate.iotlb import Iotlb
from cosim.hw.iommu.translate.leaf import HOST
from cosim.hw.iommu.translate.ledger import Ledger
from cosim.hw.iommu.translate.miss import Miss, Overtaken
from cosim.hw.iommu.translate.overtaking import StartsAgain
from cosim.hw.iommu.translate.pointers import Pointers
from cosim.hw.iommu.translate.scope import Scope
from cosim.hw.iommu.translate.widening import AsNamed
from cosim.sim.component import Component
from cosim.sim.footprints import Footprint
from cosim.sim.task import Routine
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
        iotlb: Iotlb,
        pointers: Pointers,
        directory: Directory,
        overtaking: StartsAgain,
        widening: AsNamed,
    ) -> None:
        super().__init__(sim, path)
        self.iotlb = iotlb
        self.pointers = pointers
        self.directory = directory
        self.ledger = Ledger(sim)
        self.settle: Callable[[bool, bool], Routine] = self.ledger.settle
        """What an IOFENCE waits for."""
        self.overtaken = 0
        """Requests that were."""
        self._overtaking = overtaking
        self._widening = widening
        self._misses: dict[Miss, None] = {}
        self._invalidated = sim.probe(Invalidated)

    # --- What commands do --------------------------------------------------------------------------------------------

    def invalidate_vma(self, command: Iotinval) -> None:
        """IOTINVAL.VMA takes hold."""
        before = self._seen()
        self._drop([Scope.vma(command)])
        self._tell(*before)

    def invalidate_gvma(self, command: Iotinval) -> None:
        """IOTINVAL.GVMA takes hold. Entries are not tagged with guest addresses, so all of the VM have to go."""
        before = self._seen()
        self._drop([Scope(command.gscid)] if command.gv else [Scope(gscid) for gscid in self._virtual_machines()])
        self._tell(*before)

    def invalidate_ddt(self, device_id: int | None) -> None:
        """IODIR.INVAL_DDT takes hold: for one device, or for all."""
        before = self._seen()
        dropped = self._widening.device(device_id)
        self.directory.invalidate(dropped)
        self._overtake(lambda miss: miss.uses_context(dropped))
        self._tell(*before)

    def invalidate_pdt(self, device_id: int, process_id: int) -> None:
        """IODIR.INVAL_PDT takes hold; nothing of a process directory is cached."""

    def abandon(self) -> None:
        """Overtake every request: the directory that they use is about to disappear."""
        self._overtake(lambda miss: True)

    def footprint(self, command: Command) -> Footprint:
        """What the execution of `command` touches, as an action, and what it names does as well."""
        if isinstance(command, Iotinval):
            gscid = command.gscid if command.gv else HOST
            return touched.invalidated_translations(self.path, (gscid, command.pscid) if command.pscv else None)
        if isinstance(command, Iodir):
            return touched.invalidated_contexts(self.path, command.did if command.dv else None)
        return ()

    # --- Requests under way ------------------------------------------------------------------------------------------

    def begin(self, miss: Miss) -> None:
        """From here on `miss` may be overtaken."""
        self._misses[miss] = None

    def again(self, miss: Miss) -> None:
        """`miss` has let go of all that it had read."""
        held = miss.forget()
        if held is not None:
            self.ledger.release(held)

    def end(self, miss: Miss) -> None:
        """The translation of `miss` is decided. What is `held` stays so until it is released."""
        del self._misses[miss]

    def _drop(self, named: list[Scope]) -> None:
        for scope in self._widening.scopes(named):
            self.iotlb.invalidate(scope)
            self.pointers.invalidate(scope)
            self._overtake_pages(scope)

    def _overtake_pages(self, scope: Scope) -> None:
        self._overtake(lambda miss: miss.uses_pages(scope))

    def _overtake(self, named: Callable[[Miss], bool]) -> None:
        for miss in [miss for miss in self._misses if not miss.overtaken and named(miss)]:
            becomes = self._overtaking.becomes(miss)
            goes_on = becomes is not Overtaken.AGAIN
            miss.overtake(becomes, self.ledger.hold() if goes_on or miss.accessing else None)
            self.overtaken += 1

    def _seen(self) -> tuple[int, int]:
        """How many entries have been dropped from caches so far, and how many requests overtaken."""
        if not self._invalidated:
            return 0, 0
        dropped = self.iotlb.cache.dropped + self.directory.contexts.dropped + self.directory.pointers.dropped
        return dropped + sum(level.dropped for level in self.pointers.levels.values()), self.overtaken

    def _tell(self, dropped: int, overtaken: int) -> None:
        if self._invalidated:
            all_dropped, all_overtaken = self._seen()
            now = self.sim.now
            self._invalidated(Invalidated(now, self.path, all_dropped - dropped, all_overtaken - overtaken))

    def _virtual_machines(self) -> list[int]:
        """The GSCIDs of whatever is cached or under way."""
        cached = {key[0] for key, _ in self.iotlb.cache.items()}
        under_way = {miss.space.gscid for miss in self._misses if miss.space is not None}
        return sorted((cached | under_way) - {HOST})
