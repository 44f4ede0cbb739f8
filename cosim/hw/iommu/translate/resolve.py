"""Walks on behalf of requests: from a device_id to its context, from an IOVA to its leaf, and what is kept of them."""

from __future__ import annotations

from collections.abc import Generator, Hashable
from typing import TYPE_CHECKING, Any

from cosim.hw.iommu.faults import Fault
from cosim.hw.iommu.memory_port import MemoryPort
from cosim.hw.iommu.options import IommuOptions
from cosim.hw.iommu.pause import pause
from cosim.hw.iommu.translate.context import DeviceContext
from cosim.hw.iommu.translate.directory import Directory
from cosim.hw.iommu.translate.invalidations import Invalidations
from cosim.hw.iommu.translate.iotlb import Iotlb, Leaf
from cosim.hw.iommu.translate.page_table import A, AddressSpace, D, PageTable
from cosim.hw.iommu.translate.steps import needed_by, page_fault, permission_of
from cosim.hw.iommu.translate.walk import Miss, TableEntry, Walk
from cosim.hw.iommu.translate.walker import Walker
from cosim.sim.component import Component
from cosim.sim.server import Server
from cosim.sim.transport import AccessKind, Port, Response
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
        port: Port,
        iotlb: Iotlb,
        directory: Directory,
        walker: Walker,
        invalidations: Invalidations,
    ) -> None:
        super().__init__(sim, path)
        self.memory = MemoryPort(port, walker.path)
        self.iotlb = iotlb
        self.directory = directory
        self.walker = walker
        self.invalidations = invalidations
        self.ad_updates = 0
        self._defects = options.defects
        self._fill = pause("walk", options.timing.fill)
        self._fill_refused = options.geometry.fill_refused

    def find(self, miss: Miss, root: int, levels: int) -> Generator[Any, Any, bool]:
        """Walk what `miss` lacks, and give it that; false if the request has to start again.

        A device context is looked for in the directory of `levels` levels at `root`.
        """
        context, space = miss.context, miss.space
        if context is None or space is None:
            miss.context = yield from self.locate(miss, root, levels)
            return miss.context is not None
        miss.leaf = yield from self.walk(miss, context, space)
        return miss.leaf is not None

    def locate(self, miss: Miss, root: int, levels: int) -> Generator[Any, Any, DeviceContext | None]:
        """The device context of a request (2.3.1 "Process to locate the Device-context").

        None if the request has to start again.
        """
        directory, device_id = self.directory, miss.txn.device_id
        walk = miss.walk = Walk(
            miss, directory, ("ddt", root, levels), device_id, levels, root, big_endian=directory.registers.fctl.be
        )
        entry: TableEntry | None = None
        try:
            entry = yield from self.walker.walk(walk)
            if entry is None:
                return None
            if self._defects.cache_invalid and directory.is_empty(entry):
                directory.fill(directory.empty(device_id))
            context = entry.value = entry.value or directory.context(device_id, entry)
            assert isinstance(context, DeviceContext)
            if directory.contexts.entries and directory.contexts.peek(device_id) is not context:
                touched = self.invalidations.ddtc_footprint(device_id)
                if not (yield from self._before_fill(miss, directory.fill_pause, touched)):
                    entry = None
                    return None
                if self._may_fill(miss):
                    directory.fill(context)
            return context
        finally:
            self.walker.finish(walk, entry)

    def walk(self, miss: Miss, context: DeviceContext, space: AddressSpace) -> Generator[Any, Any, Leaf | None]:
        """The leaf that translates a request in its first stage; None if the request has to start again."""
        txn, table = miss.txn, space.table
        assert table is not None
        walk = miss.walk = Walk(
            miss, table, space.tag, txn.iova, table.scheme.levels, space.root, big_endian=space.big_endian
        )
        entry: TableEntry | None = None
        try:
            entry = yield from self.walker.walk(walk)
            if entry is None:
                return None
            leaf = self._judge(miss, context, space, table, entry)
            refused = not leaf.grants & needed_by(txn, space)
            if refused and not self._fill_refused:
                raise page_fault(txn, context)
            if leaf.must_update[txn.write]:
                if refused or not space.sade:
                    raise page_fault(txn, context)
                if not (yield from self._set_ad(miss, context, space, entry)):
                    entry = None
                    return None
                leaf = self._judge(miss, context, space, table, entry)
            if self.iotlb.cache.entries and not self.iotlb.holds(leaf):
                touched = self.invalidations.iotlb_footprint(space.gscid, space.pscid)
                if not (yield from self._before_fill(miss, self._fill, touched)):
                    entry = None
                    return None
                if self._may_fill(miss):
                    self.iotlb.fill(leaf)
            if refused:
                raise page_fault(txn, context)
            return leaf
        finally:
            self.walker.finish(walk, entry)

    def _judge(
        self, miss: Miss, context: DeviceContext, space: AddressSpace, table: PageTable, entry: TableEntry
    ) -> Leaf:
        """The translation in the entry where a walk has ended; raises Fault if there is none."""
        txn = miss.txn
        if entry.response is Response.ACCESS_FAULT:
            raise Fault(ACCESS_FAULT[permission_of(txn)], dtf=context.dtf)
        if entry.response is Response.CORRUPT:
            raise Fault(Cause.PT_DATA_CORRUPTION, dtf=context.dtf)
        if entry.value is None:
            entry.value = table.leaf(space, txn.iova, entry)
        leaf: Leaf | None = entry.value
        if leaf is None:
            if self._defects.cache_invalid and table.is_empty(entry):
                self.iotlb.fill(Leaf(space.gscid, space.pscid, txn.iova, table.span(entry), empty=True))
            raise page_fault(txn, context)
        return leaf

    def _set_ad(
        self, miss: Miss, context: DeviceContext, space: AddressSpace, entry: TableEntry
    ) -> Generator[Any, Any, bool]:
        """Set A, and D for a write, in the leaf, unless it has changed meanwhile; false if it has.

        "IOMMU updating of PTE accessed (A) and dirty (D) updates" (2.4).
        """
        txn, table = miss.txn, space.table
        assert table is not None
        old = entry.words[0]
        new = old | A | (D if txn.write else 0)
        agent, size = f"{txn.master or self.path}.ad", table.scheme.pte_size
        miss.access = access = self.memory.access(
            AccessKind.CAS, entry.address, size, "ad_update", (old, new), big_endian=space.big_endian, agent=agent
        )
        yield access
        miss.access = None
        if access.response is not Response.OK:
            raise Fault(ACCESS_FAULT[permission_of(txn)], dtf=context.dtf)
        if access.words[0] != old or miss.must_restart:
            return False
        self.ad_updates += 1
        entry.words = (new,)
        entry.value = None
        return True

    def _before_fill(
        self, miss: Miss, delay: Server | None, touched: tuple[Hashable, ...]
    ) -> Generator[Any, Any, bool]:
        """Wait until a cache can be filled; false if the request has to start again."""
        if delay is not None:
            yield delay
        if self.sim.exploring:
            master = miss.txn.master or self.path
            yield from self.sim.actions.ask(f"{master}.fill", master, touched, True, "walk")
        return not miss.must_restart

    def _may_fill(self, miss: Miss) -> bool:
        return not miss.overtaken or self._defects.stale_fill
