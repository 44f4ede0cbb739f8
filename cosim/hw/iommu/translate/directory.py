"""The device directory (2.1 "Device-Directory-Table"): its tree, the device contexts in it, and their checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from cosim.events import CacheFilled, CacheLookup
from cosim.hw.iommu.faults import Fault
from cosim.hw.iommu.options import IommuOptions
from cosim.hw.iommu.pause import pause
from cosim.hw.iommu.translate import touched
from cosim.hw.iommu.translate.address_space import AddressSpace
from cosim.hw.iommu.translate.cache import Cache
from cosim.hw.iommu.translate.context_checks import misconfigured
from cosim.hw.iommu.translate.device_context import DeviceContext
from cosim.hw.iommu.translate.leaf import HOST
from cosim.hw.iommu.translate.page_table import PageTable
from cosim.hw.iommu.translate.tree import TableEntry, Tables, Tree
from cosim.hw.iommu.warl import Reset
from cosim.sim.component import Component
from cosim.sim.footprints import Footprint
from cosim.sim.server import Server
from cosim.sim.transport import Response
from cosim.spec.faults import Cause
from cosim.spec.pagetable import BARE, FIRST_STAGE, PAGE_LG2, SECOND_STAGE
from cosim.spec.registers import Capabilities, Fctl
from cosim.spec.translation import Dc, DcExtended, Ddte, dc_format, ddt_split

if TYPE_CHECKING:
    from cosim.sim.simulation import Sim


DC_BEATS = {Dc.SIZE: 4, DcExtended.SIZE: 7}
"""Doublewords of a context that hold fields, by its size in bytes."""


class Registers(Protocol):
    """What the directory needs of the register file."""

    capabilities: Capabilities
    fctl: Fctl
    reset: Reset


class Directory(Component, Tree):
    """The device directory as the walker sees it, and the caches of its entries: contexts, and pointers to tables."""

    kind = "ddt"
    name = "ddt"
    part = "ddt"

    def __init__(
        self,
        sim: Sim,
        path: str,
        options: IommuOptions,
        registers: Registers,
        tables: Mapping[str, PageTable],
    ) -> None:
        super().__init__(sim, f"{path}.ddtc")
        self.registers = registers
        self.tables = tables
        self.form = dc_format(registers.capabilities)
        self.split = ddt_split(registers.capabilities)
        timing, geometry = options.timing, options.geometry
        self.start = pause(self.part, timing.walk_start)
        self.walks = self.reads = 0
        self.fill_pause = pause(self.part, timing.context_fill)
        self._further = DC_BEATS[self.form.SIZE] - 1
        burst = self._further * timing.beat
        self._step = pause(self.part, timing.walk_step)
        self._last_step = pause(self.part, burst + timing.walk_step)
        self._early_step = pause(self.part, max(burst, timing.walk_step)) if burst else self._last_step
        self.contexts: Cache[int, DeviceContext] = Cache(
            geometry.ddtc_entries,
            geometry.ddtc_ways,
            geometry.ddtc_replacement,
            stream=sim.chooser.stream(self.path),
            index=int,
            free_first=geometry.plru_free_first,
        )
        self.pointers: Cache[tuple[int, int], int] = Cache(
            geometry.ddt_nonleaf_entries, stream=sim.chooser.stream(f"{path}.ddt_nonleaf")
        )
        self._filled = sim.probe(CacheFilled)
        self._looked_up = sim.probe(CacheLookup)

    def rooted(self, root: int, levels: int) -> Tables[Directory]:
        """The directory that `ddtp` points to; its addresses are physical, whatever stages a context has."""
        return Tables(self, root, levels, (HOST, 0), big_endian=self.registers.fctl.be)

    # --- A tree, for the walker ------------------------------------------------------------------------------------

    def prefix(self, target: int, level: int) -> int:
        return target >> self.split.width(level)

    def place(self, table: int, target: int, level: int) -> tuple[int, int]:
        return table + self.split.offset(level, target), 8 if level else self.form.SIZE

    def pointer(self, words: Sequence[int], level: int) -> int | None:
        ddte = Ddte(words[0])
        if not level or not ddte.v or ddte & Ddte.RESERVED:
            return None
        return ddte.ppn << PAGE_LG2

    def step(self, entry: TableEntry) -> Server | None:
        """A context is judged as its words come; what is wrong with one before the last is known by then."""
        if entry.level:
            return self._step
        if self._early_step is self._last_step or not self._is_wrong_early(entry):
            return self._last_step
        return self._early_step

    def _is_wrong_early(self, entry: TableEntry) -> bool:
        if entry.response is not Response.OK or self.is_empty(entry):
            return True
        dc = self.form.from_words([*entry.words[: self._further], *(0 for _ in entry.words[self._further :])])
        registers = self.registers
        return bool(misconfigured(dc, registers.capabilities, registers.fctl, registers.reset))

    def peek(self, tables: Tables[Tree], target: int) -> tuple[int, int, int] | None:
        for level in range(1, tables.levels):
            table = self.pointers.peek((level, self.prefix(target, level)))
            if table is not None:
                return level - 1, table, 0
        return None

    def cached(self, tables: Tables[Tree], target: int) -> tuple[int, int, int] | None:
        for level in range(1, tables.levels):
            table = self.pointers.get((level, self.prefix(target, level)))
            if table is not None:
                return level - 1, table, 0
        return None

    def remember(self, tables: Tables[Tree], target: int, level: int, table: int, flags: int) -> None:
        self.pointers.put((level, self.prefix(target, level)), table)

    def touched(self, iommu: str, tables: Tables[Tree], target: int) -> tuple[Footprint, Footprint]:
        kept = touched.directory_tables(iommu) if self.pointers.entries else ()
        return touched.directory_walk(iommu, target), kept

    # --- What the last entry says ----------------------------------------------------------------------------------

    def context(self, device_id: int, entry: TableEntry) -> DeviceContext:
        """The device context in `entry`, where a walk has ended; Fault if it is none (2.3.1, steps 3 to 10)."""
        if entry.response is Response.ACCESS_FAULT:
            raise Fault(Cause.DDT_LOAD_ACCESS_FAULT)
        if entry.response is Response.CORRUPT:
            raise Fault(Cause.DDT_DATA_CORRUPTION)
        if self.is_empty(entry):
            raise Fault(Cause.DDT_NOT_VALID)
        if entry.level:
            raise Fault(Cause.DDT_MISCONFIGURED)
        dc = self.form.from_words(entry.words)
        registers = self.registers
        if misconfigured(dc, registers.capabilities, registers.fctl, registers.reset):
            raise Fault(Cause.DDT_MISCONFIGURED)
        return DeviceContext(device_id, dc, self._space(dc), SECOND_STAGE[registers.fctl.gxl][dc.iohgatp.mode])

    def is_empty(self, entry: TableEntry) -> bool:
        """Whether V is 0."""
        return entry.response is Response.OK and not Ddte.v.get(entry.words[0])

    # --- The cache of contexts -------------------------------------------------------------------------------------

    def lookup(self, device_id: int) -> DeviceContext | None:
        """The context of a device, if it is cached; counted as a hit or a miss."""
        contexts = self.contexts
        context = contexts.touch(device_id)
        if context is None:
            contexts.misses += 1
        else:
            contexts.hits += 1
        if self._looked_up:
            self._looked_up(CacheLookup(self.sim.now, self.path, context is not None))
        return context

    def fill(self, context: DeviceContext) -> None:
        """Keep a context."""
        if self.contexts.entries:
            given_up = self.contexts.put(context.device_id, context)
            if self._filled:
                self._filled(CacheFilled(self.sim.now, self.path, (context.device_id,), given_up is not None))

    def invalidate(self, device_id: int | None) -> None:
        """Drop the context of one device, or all contexts and pointers."""
        if device_id is not None:
            self.contexts.discard(device_id)
        else:
            self.contexts.drop(lambda key, value: True)
            self.pointers.drop(lambda key, value: True)

    def _space(self, dc: Dc) -> AddressSpace:
        scheme = BARE if dc.tc.pdtv else FIRST_STAGE[dc.tc.sxl][dc.fsc.mode]
        table = self.tables[scheme.name] if scheme.levels else None
        gscid = dc.iohgatp.gscid if dc.iohgatp.mode else HOST
        return AddressSpace(
            table, dc.fsc.ppn << PAGE_LG2, gscid, dc.ta.pscid, sade=bool(dc.tc.sade), big_endian=dc.tc.sbe
        )
