"""The process to translate an IOVA (2.3 "Process to translate an IOVA"): by the caches, or else by walks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cosim.events import Translated
from cosim.hw.dma.transaction import Transaction
from cosim.hw.iommu.faults import Fault
from cosim.hw.iommu.options import IommuOptions
from cosim.hw.iommu.registers import RegisterFile
from cosim.hw.iommu.translate import touched
from cosim.hw.iommu.translate.address_space import NO_FIRST_STAGE, AddressSpace
from cosim.hw.iommu.translate.device_context import DeviceContext
from cosim.hw.iommu.translate.invalidations import Invalidations
from cosim.hw.iommu.translate.ledger import Epoch
from cosim.hw.iommu.translate.miss import Miss, StartAgain
from cosim.hw.iommu.translate.page_table import PageTable
from cosim.hw.iommu.translate.steps import needed_by, page_fault, require_no_second_stage, without_directory
from cosim.hw.iommu.translate.walker import Walker
from cosim.sim.component import Component
from cosim.sim.footprints import Footprint
from cosim.sim.task import Routine, Subroutine
from cosim.sim.transport import Port
from cosim.spec.faults import Cause
from cosim.spec.pagetable import PAGE_LG2, SV32, SV39, SV48, SV57
from cosim.spec.register_map import DDTP
from cosim.spec.registers import Ddtp, IommuMode

if TYPE_CHECKING:
    from cosim.hw.iommu.parts import Parts
    from cosim.sim.simulation import Sim


class Translation(Component):
    """Translates requests: a plain call where the caches suffice, else a routine that walks.

    Counters: `requests`; `restarts` of a request, after an invalidation or because an entry had changed before its A
    and D were set.
    """

    def __init__(
        self, sim: Sim, path: str, options: IommuOptions, port: Port, registers: RegisterFile, parts: Parts
    ) -> None:
        super().__init__(sim, path)
        capabilities = registers.capabilities
        self.registers = registers
        self.pointers = parts.pointers(sim, path, options)
        tables = {
            scheme.name: PageTable(scheme, capabilities, options, self.pointers) for scheme in (SV32, SV39, SV48, SV57)
        }
        self.iotlb, self.directory = parts.caches(sim, path, options, registers, tables)
        self.walker = Walker(sim, path, options, port, capabilities.pas)
        overtaking, widening = parts.overtaking(sim, path), parts.widening(sim, path)
        self.invalidations = Invalidations(sim, path, self.iotlb, self.pointers, self.directory, overtaking, widening)
        self.resolver = parts.resolver(sim, path, options, self.iotlb, self.directory, self.walker, self.invalidations)
        self.ledger = self.invalidations.ledger
        self.requests = self.restarts = 0
        self._contexts = self.directory.contexts
        self._reservations = self.iotlb.reservations
        self._translated = sim.probe(Translated)
        self._root = 0
        self._mode = IommuMode.OFF
        self._levels = 0
        self._device_bits = 0
        self._configure(registers.ddtp, registers.ddtp)
        registers.on_write(DDTP, self._configure)

    def _configure(self, old: Ddtp, new: Ddtp) -> None:
        self._root = new.ppn << PAGE_LG2
        self._mode = IommuMode(new.iommu_mode)
        self._levels = self._mode.levels
        self._device_bits = self.directory.split.width(self._levels)
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
            context = self.directory.lookup(txn.device_id) if miss is None else self._contexts.touch(txn.device_id)
            if context is None:
                return miss or Miss(txn)
            if miss is not None:
                miss.located(context)
        # 7 to 16. Find the first stage.
        if context.plain and not txn.request and txn.process_id is None:
            space = context.space
        else:
            space = context.first_stage(txn)
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
        if leaf is None:
            miss = miss or Miss(txn)
            miss.lacks_leaf(context, space)
            if self._reservations is not None:
                miss.reserves(self._reservations.reserve(space.gscid, space.pscid, txn.iova))
            return miss
        if not leaf.grants & needed_by(txn, space):
            raise page_fault(txn, context)
        txn.pbmt = leaf.pbmt
        self._done(txn, space, leaf.base | txn.iova & leaf.offset, hit)
        return None

    def resolve(self, miss: Miss) -> Subroutine[Epoch | None]:
        """Walk what a request misses, until it is translated. Raises Fault.

        Returns what the ledger holds for the request, if an invalidation went past it: to be released when its
        access is committed.
        """
        txn = miss.txn
        self.invalidations.begin(miss)
        try:
            while True:
                try:
                    yield from self.resolver.find(miss, self._root, self._levels)
                    if self.sim.exploring and miss.leaf is None:
                        yield from self._look_up(miss)
                except StartAgain:
                    self.restarts += 1
                    self.invalidations.again(miss)
                if self.translate(txn, miss) is None:
                    return miss.held
        except Fault:
            self.invalidations.again(miss)
            raise
        finally:
            miss.over()
            self.invalidations.end(miss)

    def _done(self, txn: Transaction, space: AddressSpace, address: int, hit: str) -> None:
        txn.address = address
        txn.translated = now = self.sim.now
        if self._translated:
            pscid, gscid, by = space.pscid, max(space.gscid, 0), txn.master
            self._translated(
                Translated(now, self.path, txn.device_id, txn.iova, address, hit, pscid, gscid, by, txn.sequence)
            )

    def footprint(self, txn: Transaction) -> Footprint:
        """What the look-up of a request touches, as an action, with what is in the context cache at present."""
        context = touched.contexts(self.path, txn.device_id)
        ddtp = touched.register(self.path, DDTP.name)
        return (*context, ddtp, *self._translations(self._contexts.peek(txn.device_id)))

    def _translations(self, context: DeviceContext | None) -> Footprint:
        """What the look-up of a request touches whose context is known."""
        if context is None or context.space.bare:
            return ()
        return touched.translations(self.path, context.space.gscid, context.space.pscid)

    def _look_up(self, miss: Miss) -> Routine:
        """Wait until the schedule lets the caches of translations be looked up by a context that has been walked.

        Raises StartAgain.
        """
        if looked_up := self._translations(miss.context):
            master = miss.txn.master or self.path
            yield from self.sim.actions.ask(f"{master}.lookup", master, looked_up, False, "walk")
            if miss.must_restart:
                raise StartAgain
