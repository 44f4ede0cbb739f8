"""Walks on behalf of requests: from a device_id to its context, from an IOVA to its leaf, and what is kept of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cosim.hw.iommu.faults import Fault
from cosim.hw.iommu.options import IommuOptions
from cosim.hw.iommu.pause import pause
from cosim.hw.iommu.translate import touched
from cosim.hw.iommu.translate.address_space import AddressSpace
from cosim.hw.iommu.translate.device_context import DeviceContext, EmptyContext
from cosim.hw.iommu.translate.directory import Directory
from cosim.hw.iommu.translate.invalidations import Invalidations
from cosim.hw.iommu.translate.iotlb import Iotlb
from cosim.hw.iommu.translate.leaf import Leaf
from cosim.hw.iommu.translate.miss import Miss, StartAgain
from cosim.hw.iommu.translate.page_table import A, D, PageTable
from cosim.hw.iommu.translate.steps import needed_by, page_fault, permission_of, require_no_second_stage
from cosim.hw.iommu.translate.tree import TableEntry
from cosim.hw.iommu.translate.walk import Walk
from cosim.hw.iommu.translate.walker import Walker
from cosim.sim.component import Component
from cosim.sim.footprints import Footprint
from cosim.sim.server import Server
from cosim.sim.task import Routine
from cosim.sim.transport import Response
from cosim.spec.faults import ACCESS_FAULT, Cause

if TYPE_CHECKING:
    from cosim.sim.simulation import Sim


class Resolver(Component):
    """Finds what the caches do not have, and fills them.

    Each request judges the entry for itself, whoever has read it: its permissions, A and D, its fault.
    """

    def __init__(
        self,
        sim: Sim,
        path: str,
        options: IommuOptions,
        iotlb: Iotlb,
        directory: Directory,
        walker: Walker,
        invalidations: Invalidations,
    ) -> None:
        super().__init__(sim, path)
        self.iotlb = iotlb
        self.directory = directory
        self.walker = walker
        self.invalidations = invalidations
        self.ad_updates = 0
        self._fill = pause("walk", options.timing.fill)
        self._fill_refused = options.geometry.fill_refused

    def find(self, miss: Miss, root: int, levels: int) -> Routine:
        """The routine that walks what `miss` lacks, and tells it. That raises Fault and StartAgain.

        A device context is looked for in the directory of `levels` levels at `root`.
        """
        context, space = miss.context, miss.space
        if context is None or space is None:
            return self.locate(miss, root, levels)
        return self.walk(miss, context, space)

    def locate(self, miss: Miss, root: int, levels: int) -> Routine:
        """Find the device context of a request (2.3.1 "Process to locate the Device-context")."""
        directory, device_id = self.directory, miss.txn.device_id
        with self.walker.begin(miss, directory.rooted(root, levels), device_id) as walk:
            entry = yield from self.walker.walk(walk)
            context = self._context(device_id, entry)
            if directory.contexts.entries and directory.contexts.peek(device_id) is not context:
                yield from self._before_fill(miss, directory.fill_pause, None)
                if miss.may_fill:
                    directory.fill(context)
            miss.located(context)

    def walk(self, miss: Miss, context: DeviceContext, space: AddressSpace) -> Routine:
        """Find the leaf of a request in its first stage ("Process to translate an IOVA", steps 17 and 18)."""
        txn, tables = miss.txn, space.tables
        assert tables is not None
        require_no_second_stage(txn, context)
        with self.walker.begin(miss, tables, txn.iova) as walk:
            entry = yield from self.walker.walk(walk)
            leaf = self._leaf(miss, context, space, tables.tree, entry)
            refused = not leaf.grants & needed_by(txn, space)
            if refused and not self._fill_refused:
                raise page_fault(txn, context)
            if leaf.must_update[txn.write]:
                if refused or not space.sade:
                    raise page_fault(txn, context)
                yield from self._set_ad(walk, context, entry)
                leaf = self._leaf(miss, context, space, tables.tree, entry)
            if self.iotlb.cache.entries and not self.iotlb.holds(leaf):
                yield from self._before_fill(miss, self._fill, space)
                if miss.may_fill:
                    self.iotlb.fill(leaf, miss.reserved)
            miss.mapped(leaf)  # the process judges it once more

    # --- What the entry says at which a walk has ended ---------------------------------------------------------------

    def _context(self, device_id: int, entry: TableEntry) -> DeviceContext:
        """The device context in the entry; raises Fault if there is none."""
        if entry.value is None:
            entry.value = self.directory.context(device_id, entry)
        context: DeviceContext = entry.value
        return context

    def _leaf(
        self, miss: Miss, context: DeviceContext, space: AddressSpace, table: PageTable, entry: TableEntry
    ) -> Leaf:
        """The translation in the entry; raises Fault if there is none."""
        txn = miss.txn
        if entry.response is Response.ACCESS_FAULT:
            raise Fault(ACCESS_FAULT[permission_of(txn)], dtf=context.dtf)
        if entry.response is Response.CORRUPT:
            raise Fault(Cause.PT_DATA_CORRUPTION, dtf=context.dtf)
        if entry.value is None:
            entry.value = table.leaf((space.gscid, space.pscid), txn.iova, entry)
        leaf: Leaf | None = entry.value
        if leaf is None:
            raise page_fault(txn, context)
        return leaf

    # --- What is kept ------------------------------------------------------------------------------------------------

    def _set_ad(self, walk: Walk, context: DeviceContext, entry: TableEntry) -> Routine:
        """Set A, and D for a write, in the leaf ("IOMMU updating of PTE accessed (A) and dirty (D) updates", 2.4).

        Raises StartAgain if it has changed meanwhile.
        """
        txn, old = walk.miss.txn, entry.words[0]
        new = old | A | (D if txn.write else 0)
        access = yield from self.walker.swap(walk, entry, new, f"{txn.master or self.path}.ad")
        if access.response is not Response.OK:
            raise Fault(ACCESS_FAULT[permission_of(txn)], dtf=context.dtf)
        if access.words[0] != old or walk.miss.must_restart:
            raise StartAgain
        self.ad_updates += 1
        entry.updated(new)

    def _before_fill(self, miss: Miss, delay: Server | None, space: AddressSpace | None) -> Routine:
        """Wait until a cache can be filled: that of translations, or without a `space` that of contexts.

        Raises StartAgain.
        """
        if delay is not None:
            yield delay
        if self.sim.exploring:
            master = miss.txn.master or self.path
            yield from self.sim.actions.ask(f"{master}.fill", master, self._filled(miss, space), True, "walk")
        if miss.must_restart:
            raise StartAgain

    def _filled(self, miss: Miss, space: AddressSpace | None) -> Footprint:
        """What the fill touches, as an action."""
        if space is None:
            return touched.contexts(self.path, miss.txn.device_id)
        return touched.translations(self.path, space.gscid, space.pscid)


class CachesInvalid(Resolver):
    """With the defect `cache_invalid`: it keeps entries with V=0 too, so that later requests fault without a walk."""

    def _context(self, device_id: int, entry: TableEntry) -> DeviceContext:
        directory = self.directory
        if directory.is_empty(entry):
            directory.fill(EmptyContext(device_id, directory.form.from_words([0] * directory.form.DWORDS)))
        return super()._context(device_id, entry)

    def _leaf(
        self, miss: Miss, context: DeviceContext, space: AddressSpace, table: PageTable, entry: TableEntry
    ) -> Leaf:
        if table.is_empty(entry):
            empty = Leaf(space.gscid, space.pscid, miss.txn.iova, table.span(entry))  # it grants nothing
            self.iotlb.fill(empty, miss.reserved)
        return super()._leaf(miss, context, space, table, entry)
