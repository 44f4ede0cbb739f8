"""The fields of the memory-mapped registers (chapter "Memory-mapped register interface").

Where each register is, and when it is present: `register_map`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Self

from cosim.spec.bits import FieldAccess, Word, bit, bits
from cosim.spec.page import PAGE, PAGE_LG2

RO, RW, RW1C, RW1S, WARL, WPRI = FieldAccess


class Igs(IntEnum):
    """capabilities.IGS: how the IOMMU can raise an interrupt."""

    MSI = 0
    WSI = 1
    BOTH = 2


class IommuMode(IntEnum):
    """ddtp.iommu_mode: what becomes of a request, and how deep the device directory is."""

    OFF = 0
    BARE = 1
    LVL1 = 2
    LVL2 = 3
    LVL3 = 4

    @property
    def levels(self) -> int:
        """Levels of the device directory, 0 when there is none."""
        return max(0, self - 1)


class Interrupt(IntEnum):
    """The causes of interrupts: the number of the bit in `ipsr`, and of the field in `icvec`."""

    CQ = 0
    FQ = 1
    PM = 2
    PQ = 3

    @property
    def pending(self) -> int:
        """The cause's bit in `ipsr`."""
        return 1 << self

    def vector(self, icvec: int) -> int:
        """The vector that `icvec` gives the cause."""
        return icvec >> 4 * self & 0xF


class Event(IntEnum):
    """iohpmevt.eventID (table "Standard Events list")."""

    NONE = 0
    UNTRANSLATED_REQUEST = 1
    TRANSLATED_REQUEST = 2
    ATS_REQUEST = 3
    TLB_MISS = 4
    DDT_WALK = 5
    PDT_WALK = 6
    FIRST_STAGE_WALK = 7
    SECOND_STAGE_WALK = 8

    @property
    def by_context(self) -> bool:
        """Whether the event can be filtered by GSCID and PSCID (IDT=1), not only by device and process."""
        return self in (Event.TLB_MISS, Event.FIRST_STAGE_WALK, Event.SECOND_STAGE_WALK)


class Capabilities(Word):
    """What the IOMMU supports. Attributes are the manual's field names in lower case."""

    version = bits(7, 0, RO)
    sv32 = bit(8, RO, manual="Sv32")
    sv39 = bit(9, RO, manual="Sv39")
    sv48 = bit(10, RO, manual="Sv48")
    sv57 = bit(11, RO, manual="Sv57")
    svrsw60t59b = bit(14, RO, manual="Svrsw60t59b")
    svpbmt = bit(15, RO, manual="Svpbmt")
    sv32x4 = bit(16, RO, manual="Sv32x4")
    sv39x4 = bit(17, RO, manual="Sv39x4")
    sv48x4 = bit(18, RO, manual="Sv48x4")
    sv57x4 = bit(19, RO, manual="Sv57x4")
    amo_mrif = bit(21, RO, manual="AMO_MRIF")
    msi_flat = bit(22, RO, manual="MSI_FLAT")
    msi_mrif = bit(23, RO, manual="MSI_MRIF")
    amo_hwad = bit(24, RO, manual="AMO_HWAD")
    ats = bit(25, RO, manual="ATS")
    t2gpa = bit(26, RO, manual="T2GPA")
    end = bit(27, RO, manual="END")
    igs = bits(29, 28, RO, enum=Igs, manual="IGS")
    hpm = bit(30, RO, manual="HPM")
    dbg = bit(31, RO, manual="DBG")
    pas = bits(37, 32, RO, manual="PAS")
    pd8 = bit(38, RO, manual="PD8")
    pd17 = bit(39, RO, manual="PD17")
    pd20 = bit(40, RO, manual="PD20")
    qosid = bit(41, RO, manual="QOSID")
    nl = bit(42, RO, manual="NL")
    s = bit(43, RO, manual="S")
    custom = bits(63, 56, RO)

    @classmethod
    def named(cls, fields: Mapping[str, int]) -> Self:
        """The capabilities with these fields, called as the manual spells them: `Sv39`, `MSI_FLAT`, `PAS`."""
        known = {field.manual: name for name, field in cls.FIELDS.items()}
        return cls.of(**{known.get(name, name): x for name, x in fields.items()})


class Fctl(Word, width=32):
    """Features control; to be changed only while the IOMMU is Off and its queues are."""

    be = bit(0, WARL, manual="BE")
    wsi = bit(1, WARL, manual="WSI")
    gxl = bit(2, WARL, manual="GXL")
    custom = bits(31, 16, WPRI)


class Custom(Word, width=32):
    """Designated for custom use; reads 0 here."""

    custom = bits(31, 0, WPRI)


class Ddtp(Word):
    """Device-directory-table pointer. `busy` while a write of `iommu_mode` is being carried out."""

    iommu_mode = bits(3, 0, WARL, enum=IommuMode)
    busy = bit(4, RO)
    ppn = bits(53, 10, WARL, manual="PPN")


class QueueBase(Word):
    """What `cqb`, `fqb` and `pqb` hold: where the queue is, and how long.

    A queue larger than a page is aligned to its size.
    """

    log2szm1 = bits(4, 0, WARL, manual="LOG2SZ-1")
    ppn = bits(53, 10, WARL, manual="PPN")

    @classmethod
    def placed(cls, address: int, entries: int, entry_size: int) -> Self:
        """The base of a queue at `address`: so many entries, a power of two from 2, of `entry_size` bytes each."""
        if entries < 2 or entries & entries - 1:
            raise ValueError(f"a queue has 2, 4, 8, ... entries, not {entries}")
        alignment = max(PAGE, entries * entry_size)
        if address % alignment:
            raise ValueError(f"{entries} entries start at a multiple of {alignment:#x}, not at {address:#x}")
        return cls.of(ppn=address >> PAGE_LG2, log2szm1=entries.bit_length() - 2)

    @property
    def entries(self) -> int:
        """The length of the queue."""
        return 2 << self.log2szm1

    @property
    def address(self) -> int:
        """The address of entry 0."""
        return self.ppn << PAGE_LG2


class QueueIndexRo(Word, width=32):
    """`cqh`, `fqt`, `pqt`: the end of a queue that the IOMMU moves."""

    index = bits(31, 0, RO)


class QueueIndex(Word, width=32):
    """`cqt`, `fqh`, `pqh`: the end of a queue that software moves; LOG2SZ bits are writable."""

    index = bits(31, 0, WARL)


class QueueCsr(Word, width=32):
    """The bits that `cqcsr`, `fqcsr` and `pqcsr` have in common, for code that serves any queue."""

    en = bit(0)
    ie = bit(1)
    mf = bit(8, RW1C)
    on = bit(16, RO)
    busy = bit(17, RO)


class Cqcsr(Word, width=32):
    """Command-queue CSR. `cqen` rising clears `cqh` and the RW1C bits; `cqon` has followed once `busy` is 0."""

    cqen = bit(0)
    cie = bit(1)
    cqmf = bit(8, RW1C)
    cmd_to = bit(9, RW1C)
    cmd_ill = bit(10, RW1C)
    fence_w_ip = bit(11, RW1C)
    cqon = bit(16, RO)
    busy = bit(17, RO)
    custom = bits(31, 28, WPRI)


class Fqcsr(Word, width=32):
    """Fault-queue CSR. No record is written while `fqmf` or `fqof` is 1."""

    fqen = bit(0)
    fie = bit(1)
    fqmf = bit(8, RW1C)
    fqof = bit(9, RW1C)
    fqon = bit(16, RO)
    busy = bit(17, RO)
    custom = bits(31, 28, WPRI)


class Pqcsr(Word, width=32):
    """Page-request-queue CSR. No message is queued while `pqmf` or `pqof` is 1."""

    pqen = bit(0)
    pie = bit(1)
    pqmf = bit(8, RW1C)
    pqof = bit(9, RW1C)
    pqon = bit(16, RO)
    busy = bit(17, RO)
    custom = bits(31, 28, WPRI)


class Ipsr(Word, width=32):
    """Interrupt pending status. A bit that is cleared while its condition holds rises again."""

    cip = bit(0, RW1C)
    fip = bit(1, RW1C)
    pmip = bit(2, RW1C)
    pip = bit(3, RW1C)
    custom = bits(15, 8, WPRI)


class Iocountovf(Word, width=32):
    """Shadows of the OF bits: bit X that of `iohpmevtX`, bit 0 that of `iohpmcycles`."""

    cy = bit(0, RO, manual="CY")
    hpm = bits(31, 1, RO, manual="HPM")


class Iocountinh(Word, width=32):
    """Counters that stand still: bit X stops `iohpmctrX`, bit 0 `iohpmcycles`."""

    cy = bit(0, manual="CY")
    hpm = bits(31, 1, WARL, manual="HPM")


class Iohpmcycles(Word):
    """The cycles counter, with its sticky overflow bit."""

    counter = bits(62, 0, WARL)
    of_ = bit(63, manual="OF")


class Iohpmctr(Word):
    """An event counter; its overflow bit is in the selector."""

    counter = bits(63, 0, WARL)


class Iohpmevt(Word):
    """An event selector: which event `iohpmctrX` counts, and for whom."""

    eventid = bits(14, 0, WARL, enum=Event, manual="eventID")
    dmask = bit(15, manual="DMASK")
    pid_pscid = bits(35, 16, manual="PID_PSCID")
    did_gscid = bits(59, 36, manual="DID_GSCID")
    pv_pscv = bit(60, manual="PV_PSCV")
    dv_gscv = bit(61, manual="DV_GSCV")
    idt = bit(62, manual="IDT")
    of_ = bit(63, manual="OF")

    @property
    def did_gscid_mask(self) -> int:
        """The bits of DID_GSCID that must match: with DMASK, those above its lowest 0 bit."""
        if not self.dmask:
            return Iohpmevt.did_gscid.ones
        did = self.did_gscid
        return Iohpmevt.did_gscid.ones & ~(did ^ did + 1)


class TrReqIova(Word):
    """Translation-request IOVA, of the debug interface."""

    vpn = bits(63, 12, WARL)


class TrReqCtl(Word):
    """Translation-request control. Setting `go_busy` starts a translation, its end clears it."""

    go_busy = bit(0, RW1S, manual="Go/Busy")
    priv = bit(1, WARL, manual="Priv")
    exe = bit(2, WARL, manual="Exe")
    nw = bit(3, WARL, manual="NW")
    pid = bits(31, 12, WARL, manual="PID")
    pv = bit(32, WARL, manual="PV")
    custom = bits(39, 36, WPRI)
    did = bits(63, 40, WARL, manual="DID")


class TrResponse(Word):
    """Translation response. With `s` the size is in the PPN: 2^(X+1) pages, X its lowest 0 bit."""

    fault = bit(0, RO)
    pbmt = bits(8, 7, RO, manual="PBMT")
    s = bit(9, RO, manual="S")
    ppn = bits(53, 10, RO, manual="PPN")
    custom = bits(63, 60, RO)


class IommuQosid(Word, width=32):
    """QoS identifiers of what the IOMMU itself requests, and of all requests in Bare mode."""

    rcid = bits(11, 0, WARL, manual="RCID")
    mcid = bits(27, 16, WARL, manual="MCID")


class Icvec(Word):
    """The vector of each interrupt cause."""

    civ = bits(3, 0, WARL)
    fiv = bits(7, 4, WARL)
    pmiv = bits(11, 8, WARL)
    piv = bits(15, 12, WARL)
    custom = bits(63, 32, WPRI)


class MsiAddr(Word):
    """Where the message of a vector is stored: a multiple of 4."""

    addr = bits(55, 2, WARL, manual="ADDR")


class MsiData(Word, width=32):
    """The message of a vector."""

    data = bits(31, 0, WARL)


class MsiVecCtl(Word, width=32):
    """Whether the message of a vector is held back; it is sent once `m` is cleared."""

    m = bit(0, manual="M")
