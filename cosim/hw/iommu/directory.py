"""The device directory (2.1 "Device-Directory-Table"): its tree, the device contexts in it, and their checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from cosim.events import CacheFilled
from cosim.hw.iommu.cache import Cache
from cosim.hw.iommu.faults import Fault
from cosim.hw.iommu.iotlb import HOST
from cosim.hw.iommu.options import IommuOptions
from cosim.hw.iommu.pages import AddressSpace, PageTable
from cosim.hw.iommu.walk import Entry, Walk, pause
from cosim.hw.iommu.warl import Reset
from cosim.sim.component import Component
from cosim.sim.server import Server
from cosim.sim.transport import Response
from cosim.spec.faults import Cause
from cosim.spec.pagetable import BARE, FIRST_STAGE, PAGE_LG2, SECOND_STAGE, Scheme
from cosim.spec.registers import Capabilities, Fctl
from cosim.spec.translation import Dc, DcExtended, Ddte, MsiptpMode, PdtpMode, dc_format, ddt_split, mgpaw

if TYPE_CHECKING:
    from cosim.sim.kernel import Sim

DC_BEATS = {Dc.SIZE: 4, DcExtended.SIZE: 7}
"""Doublewords of a context that hold fields, by its size in bytes."""
ROOT_X4 = (1 << 14) - 1
"""What a second stage's root table is aligned to, less one."""


class Registers(Protocol):
    """What the directory needs of the register file."""

    capabilities: Capabilities
    fctl: Fctl
    reset: Reset


class Context:
    """A device context that was found valid and well configured; `dc` is as it was read.

    One that is `empty` stands for an entry with V=0, which only defective hardware keeps.
    """

    __slots__ = (
        "dc",
        "device_id",
        "dpe",
        "dtf",
        "empty",
        "en_ats",
        "pdtp",
        "pdtv",
        "plain",
        "second",
        "space",
        "t2gpa",
    )

    def __init__(self, device_id: int, dc: Dc, space: AddressSpace, second: Scheme, *, empty: bool = False) -> None:
        tc = dc.tc
        self.device_id = device_id
        self.dc = dc
        self.empty = empty
        self.en_ats = bool(tc.en_ats)
        self.t2gpa = bool(tc.t2gpa)
        self.dtf = bool(tc.dtf)
        self.pdtv = bool(tc.pdtv)
        self.dpe = bool(tc.dpe)
        self.pdtp = PdtpMode(dc.fsc.mode) if tc.pdtv else PdtpMode.BARE
        self.second = second
        self.space = space
        """The first stage of requests without a process: fsc where PDTV is 0, else Bare."""
        self.plain = not (self.pdtv or empty or second.levels)
        """Whether an untranslated request without a process needs no look at anything but `space`."""


def misconfigured(dc: Dc, capabilities: Capabilities, fctl: Fctl, reset: Reset) -> str:
    """The rule that a valid device context breaks ("Device-context configuration checks", by number); "" if none."""
    tc, iohgatp, fsc, ta = dc.tc, dc.iohgatp, dc.fsc, dc.ta
    second = SECOND_STAGE[fctl.gxl].get(iohgatp.mode)
    if dc.reserved():
        return "1: reserved bits are set"
    if not capabilities.qosid and (ta.rcid or ta.mcid):
        return "1: RCID and MCID are reserved where capabilities.QOSID is 0"
    if not capabilities.ats and (tc.en_ats or tc.en_pri or tc.prpr):
        return "2: EN_ATS, EN_PRI and PRPR need capabilities.ATS"
    if not tc.en_ats and tc.t2gpa:
        return "3: T2GPA needs EN_ATS"
    if not tc.en_ats and tc.en_pri:
        return "4: EN_PRI needs EN_ATS"
    if not tc.en_pri and tc.prpr:
        return "5: PRPR needs EN_PRI"
    if not capabilities.t2gpa and tc.t2gpa:
        return "6: T2GPA needs capabilities.T2GPA"
    if tc.t2gpa and not iohgatp.mode:
        return "7: T2GPA needs a second stage"
    if tc.pdtv:
        if fsc.mode not in PdtpMode.__members__.values() or not PdtpMode(fsc.mode).supported(capabilities):
            return f"8: pdtp.MODE {fsc.mode} is not supported"
    else:
        first = FIRST_STAGE[tc.sxl].get(fsc.mode)
        if first is None or not first.supported(capabilities):
            return f"9 to 11: iosatp.MODE {fsc.mode} is not supported with SXL={tc.sxl}"
        if tc.dpe:
            return "12: DPE needs PDTV"
    if second is None or not second.supported(capabilities):
        return f"13 to 15: iohgatp.MODE {iohgatp.mode} is not supported with GXL={fctl.gxl}"
    if isinstance(dc, DcExtended) and (rule := _msi_misconfigured(dc, capabilities)):
        return rule
    if second.levels and iohgatp.ppn << PAGE_LG2 & ROOT_X4:
        return "17: the root of the second stage is not aligned to 16 KiB"
    if not capabilities.amo_hwad and (tc.sade or tc.gade):
        return "18: SADE and GADE need capabilities.AMO_HWAD"
    if not capabilities.end and tc.sbe != fctl.be:
        return "19: SBE differs from fctl.BE, which needs capabilities.END"
    if tc.sxl != fctl.gxl and (fctl.gxl or not reset.gxl_writable):
        return f"20: SXL={tc.sxl} is not legal with fctl.GXL={fctl.gxl}"
    if tc.sbe != fctl.be and not reset.be_writable:
        return "21: SBE differs from fctl.BE, which is not writable"
    if (ta.rcid | ta.mcid << 16) & ~reset.qosid_mask:
        return "22: RCID or MCID is wider than this IOMMU's"
    return ""


def _msi_misconfigured(dc: DcExtended, capabilities: Capabilities) -> str:
    beyond = -1 << mgpaw(capabilities) - PAGE_LG2
    if dc.msi_addr_mask.mask & beyond or dc.msi_addr_pattern.pattern & beyond:
        return "1: bits of msi_addr_mask or msi_addr_pattern are set that no guest physical address has"
    if dc.msiptp.mode not in MsiptpMode.__members__.values():
        return f"16: msiptp.MODE {dc.msiptp.mode} is neither Off nor Flat"
    if dc.msiptp.mode and not dc.iohgatp.mode:
        return "msiptp.MODE must be Off where iohgatp.MODE is Bare"
    return ""


class Directory(Component):
    """The device directory as the walker sees it, and the caches of its entries: contexts, and pointers to tables."""

    kind = "ddt"
    part = "ddt"
    guest = False

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
        self.contexts: Cache[int, Context] = Cache(
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

    def step(self, entry: Entry) -> Server | None:
        """A context is judged as its words come; what is wrong with one before the last is known by then."""
        if entry.level:
            return self._step
        if self._early_step is self._last_step or not self._is_wrong_early(entry):
            return self._last_step
        return self._early_step

    def _is_wrong_early(self, entry: Entry) -> bool:
        if entry.response is not Response.OK or self.is_empty(entry):
            return True
        dc = self.form.from_words([*entry.words[: self._further], *(0 for _ in entry.words[self._further :])])
        registers = self.registers
        return bool(misconfigured(dc, registers.capabilities, registers.fctl, registers.reset))

    def peek(self, walk: Walk) -> tuple[int, int, int] | None:
        for level in range(1, walk.levels):
            table = self.pointers.peek((level, self.prefix(walk.target, level)))
            if table is not None:
                return level - 1, table, 0
        return None

    def cached(self, walk: Walk) -> tuple[int, int, int] | None:
        for level in range(1, walk.levels):
            table = self.pointers.get((level, self.prefix(walk.target, level)))
            if table is not None:
                return level - 1, table, 0
        return None

    def remember(self, walk: Walk, table: int, flags: int) -> None:
        self.pointers.put((walk.level, self.prefix(walk.target, walk.level)), table)

    # --- What the last entry says ----------------------------------------------------------------------------------

    def context(self, device_id: int, entry: Entry) -> Context:
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
        return Context(device_id, dc, self._space(dc), SECOND_STAGE[registers.fctl.gxl][dc.iohgatp.mode])

    def is_empty(self, entry: Entry) -> bool:
        """Whether V is 0."""
        return entry.response is Response.OK and not Ddte.v.get(entry.words[0])

    def empty(self, device_id: int) -> Context:
        """What defective hardware keeps of an entry with V=0."""
        dc = self.form.from_words([0] * self.form.DWORDS)
        return Context(device_id, dc, self._space(dc), BARE, empty=True)

    def fill(self, context: Context) -> None:
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
            self.contexts.drop(lambda *_: True)
            self.pointers.drop(lambda *_: True)

    def _space(self, dc: Dc) -> AddressSpace:
        scheme = BARE if dc.tc.pdtv else FIRST_STAGE[dc.tc.sxl][dc.fsc.mode]
        table = self.tables[scheme.name] if scheme.levels else None
        gscid = dc.iohgatp.gscid if dc.iohgatp.mode else HOST
        return AddressSpace(
            table, dc.fsc.ppn << PAGE_LG2, gscid, dc.ta.pscid, sade=bool(dc.tc.sade), big_endian=dc.tc.sbe
        )
