"""The process to translate an IOVA (2.3 "Process to translate an IOVA"): by the caches, or else by walks."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from cosim.events import CacheLookup, Translated
from cosim.hw.dma.transaction import Transaction
from cosim.hw.iommu.faults import Fault
from cosim.hw.iommu.options import IommuOptions
from cosim.hw.iommu.registers import RegisterFile
from cosim.hw.iommu.translate.context import DeviceContext
from cosim.hw.iommu.translate.directory import Directory
from cosim.hw.iommu.translate.invalidations import Invalidations
from cosim.hw.iommu.translate.iotlb import Iotlb, Leaf
from cosim.hw.iommu.translate.ledger import Epoch
from cosim.hw.iommu.translate.page_table import AddressSpace, PageTable, Pointers
from cosim.hw.iommu.translate.resolve import Resolver
from cosim.hw.iommu.translate.steps import (
    NO_FIRST_STAGE,
    needed_by,
    page_fault,
    require_no_second_stage,
    space_of,
    without_directory,
)
from cosim.hw.iommu.translate.walk import Miss
from cosim.hw.iommu.translate.walker import Walker
from cosim.sim.component import Component
from cosim.sim.transport import Port
from cosim.spec.faults import Cause
from cosim.spec.pagetable import PAGE_LG2, SV32, SV39, SV48, SV57
from cosim.spec.register_map import DDTP
from cosim.spec.registers import Ddtp, IommuMode

if TYPE_CHECKING:
    from cosim.sim.simulation import Sim

_CHANCE = 4
"""With ``latitude.evict: on`` one hit in so many finds its entry gone."""


class Translation(Component):
    """Translates requests: a plain call where the caches suffice, else a routine that walks.

    Counters: `requests`; `restarts` of a request, after an invalidation or because an entry had changed before its A
    and D were set.
    """

    def __init__(self, sim: Sim, path: str, options: IommuOptions, port: Port, registers: RegisterFile) -> None:
        super().__init__(sim, path)
        capabilities = registers.capabilities
        self.registers = registers
        self.iotlb = Iotlb(sim, path, options)
        self.pointers = Pointers(sim, path, options)
        tables = {
            scheme.name: PageTable(scheme, capabilities, options, self.pointers) for scheme in (SV32, SV39, SV48, SV57)
        }
        self.directory = Directory(sim, path, options, registers, tables)
        self.walker = Walker(sim, path, options, port, capabilities.pas)
        self.invalidations = Invalidations(sim, path, options, self.iotlb, self.pointers, self.directory, self.walker)
        self.resolver = Resolver(sim, path, options, port, self.iotlb, self.directory, self.walker, self.invalidations)
        self.ledger = self.invalidations.ledger
        self.requests = self.restarts = 0
        self._contexts = self.directory.contexts
        self._evict = options.latitude.evict
        self._evicting = self._evict != "off"
        self._stream = sim.chooser.stream(f"{path}.evict")
        self._translated = sim.probe(Translated)
        self._looked_up = sim.probe(CacheLookup)
        self._root = 0
        self._mode = IommuMode.OFF
        self._device_bits = 0
        self._configure(registers.ddtp, registers.ddtp)
        registers.on_write(DDTP, self._configure)

    def _configure(self, old: Ddtp, new: Ddtp) -> None:
        self._root = new.ppn << PAGE_LG2
        self._mode = IommuMode(new.iommu_mode)
        self._device_bits = self.directory.split.width(self._mode.levels)
        if self._mode is IommuMode.OFF:
            self.invalidations.abandon()

    # --- The process, told once --------------------------------------------------------------------------------------

    def translate(self, txn: Transaction, miss: Miss | None = None) -> Miss | None:
        """Go through the process with what the caches hold, and with what walks have found for `miss`. Raises Fault.

        None: the request is translated. Otherwise it misses what the `Miss` lacks, its device context or else its
        leaf; `resolve` has that walked, and comes back here.
        """
        if miss is None:
            self.requests += 1
            context = None
        else:
            context = miss.context
        if context is None:
            # 1 to 4. ddtp.iommu_mode is Off or Bare.
            if not self._device_bits:
                without_directory(self._mode, txn)
                self._done(txn, NO_FIRST_STAGE, txn.iova, "bare")
                return None
            # 5. device_id is wider than the mode allows.
            if txn.device_id >> self._device_bits:
                raise Fault(Cause.TTYP_DISALLOWED)
            # 6. Locate the device context.
            context = self._cached_context(txn) if miss is None else self._contexts.touch(txn.device_id)
            if context is None:
                return miss or Miss(txn)
            if miss is not None:
                miss.context = context
        # 7 to 16. Find the first stage.
        if context.plain and not txn.request and txn.process_id is None:
            space = context.space
        else:
            space = space_of(txn, context)
        if space.bare:
            require_no_second_stage(txn, context)
            self._done(txn, space, txn.iova, "bare")
            return None
        # 17 to 20. Translate by its tables.
        upper = txn.iova >> space.shift
        if upper and upper != space.upper:
            raise page_fault(txn, context)
        leaf, hit = None, "iotlb"
        if miss is not None and miss.leaf is not None:
            leaf, hit = miss.leaf, miss.how
        elif miss is not None and miss.probed:
            leaf = self.iotlb.find(space.gscid, space.pscid, txn.iova, txn.write)
        else:
            leaf = self.iotlb.lookup(space.gscid, space.pscid, txn.iova, txn.write)
            if leaf is not None and self._evicting and self._evict_leaf(leaf):
                leaf = None
        if leaf is None:
            miss = miss or Miss(txn)
            miss.lacks_leaf(context, space)
            return miss
        if not leaf.grants & needed_by(txn, space):
            raise page_fault(txn, context)
        txn.pbmt = leaf.pbmt
        self._done(txn, space, leaf.base | txn.iova & leaf.offset, hit)
        return None

    def resolve(self, miss: Miss) -> Generator[Any, Any, Epoch | None]:
        """Walk what a request misses, until it is translated. Raises Fault.

        Returns what the ledger holds for the request, if an invalidation went past it: to be released when its
        access is committed.
        """
        txn = miss.txn
        self.invalidations.begin(miss)
        try:
            while True:
                if not (yield from self.resolver.find(miss, self._root, self._mode.levels)):
                    self.restarts += 1
                    self.invalidations.again(miss)
                if self.translate(txn, miss) is None:
                    return miss.held
        except Fault:
            self.invalidations.again(miss)
            raise
        finally:
            self.invalidations.end(miss)

    def _cached_context(self, txn: Transaction) -> DeviceContext | None:
        """What a look-up in the context cache finds, unless latitude has it evicted just before."""
        context = self._contexts.get(txn.device_id)
        if context is not None and self._evicting and self._evicts():
            self._contexts.discard(txn.device_id)
            context = None
        if self._looked_up:
            self._looked_up(CacheLookup(self.sim.now, self.directory.path, context is not None))
        return context

    def _evict_leaf(self, leaf: Leaf) -> bool:
        evicted = self._evicts()
        if evicted:
            self.iotlb.evict(leaf)
        return evicted

    def _evicts(self) -> bool:
        if self._evict == "explore":
            return self.sim.exploring and self.sim.actions.pick(f"{self.path}.evict", 2) == 1
        return self._stream.below(_CHANCE) == 0

    def _done(self, txn: Transaction, space: AddressSpace, address: int, hit: str) -> None:
        txn.address = address
        txn.translated = now = self.sim.now
        if self._translated:
            self._translated(
                Translated(now, self.path, txn.device_id, txn.iova, address, hit, space.pscid, max(space.gscid, 0))
            )

    def footprint(self, txn: Transaction) -> tuple[Any, ...]:
        """What the look-up of a request touches, as an action."""
        names = self.invalidations
        touched = names.ddtc_footprint(txn.device_id)
        context = self._contexts.peek(txn.device_id)
        if context is not None and not context.space.bare:
            touched += names.iotlb_footprint(context.space.gscid, context.space.pscid)
        return touched
