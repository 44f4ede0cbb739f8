"""What the registers' WARL fields take: any value may be written, these rules say which one is then held."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from cosim.hw.iommu.options import IommuOptions
from cosim.spec.bits import FieldAccess, Word
from cosim.spec.pagetable import PAGE_LG2
from cosim.spec.register_map import IOHPMCTR, IOHPMEVT, MSI_ADDR, MSI_DATA, MSI_VEC_CTL, Register
from cosim.spec.registers import (
    Capabilities,
    Cqcsr,
    Ddtp,
    Fctl,
    Fqcsr,
    Icvec,
    Igs,
    Iocountinh,
    Iohpmctr,
    Iohpmevt,
    IommuMode,
    IommuQosid,
    Pqcsr,
    QueueBase,
    QueueCsr,
)


@dataclass(frozen=True, slots=True)
class Reset:
    """What one IOMMU makes of the choices that the specification leaves to the hardware.

    What is not named here is 0 after reset.
    """

    fctl: int = Fctl.wsi.mask
    """The value of `fctl` after reset."""
    ddtp_iommu_mode: int = IommuMode.OFF
    """Off or Bare."""
    ddtp_max_iommu_mode: int = IommuMode.LVL3
    """The deepest device directory that `ddtp` takes."""
    hpm_event_counters: int = 7
    """Pairs of `iohpmctr` and `iohpmevt`, where capabilities.HPM is 1."""
    hpm_counter_bits: int = 40
    """Width of an `iohpmctr`."""
    hpm_max_event_id: int = 255
    """The largest eventID that an `iohpmevt` takes."""
    icvec_bits: int = 3
    """Writable bits of each field of `icvec`; there are as many vectors as they can name."""
    gxl_writable: int = 0
    """Whether `fctl.GXL` can be changed."""
    be_writable: int = 0
    """Whether `fctl.BE` can be changed."""
    qosid_mask: int = 0
    """Writable bits of `iommu_qosid`, and the widest RCID and MCID of a device context."""
    ddtp_ppn: int = 0
    """The PPN of `ddtp`, if it cannot be changed; 0 if it can."""
    cqb_ppn: int = 0
    """The PPN of `cqb`, if it cannot be changed; 0 if it can."""
    fqb_ppn: int = 0
    """The PPN of `fqb`, if it cannot be changed; 0 if it can."""
    pqb_ppn: int = 0
    """The PPN of `pqb`, if it cannot be changed; 0 if it can."""

    def fixes(self, register: Register[Word]) -> bool:
        """Whether the PPN of `ddtp` or of a queue's base cannot be changed."""
        return bool(getattr(self, f"{register.name}_ppn"))

    @classmethod
    def of(cls, options: IommuOptions) -> Self:
        """As the options of a topology say."""
        return cls(
            fctl=Fctl.of(wsi=options.capabilities.igs != "msi"),
            ddtp_max_iommu_mode=IommuMode.BARE + options.geometry.ddt_levels,
            icvec_bits=options.geometry.icvec_bits,
            gxl_writable=int(options.capabilities.sv32),
            be_writable=int(options.capabilities.end),
            ddtp_ppn=(options.hardwired.ddtp or 0) >> PAGE_LG2,
            cqb_ppn=(options.hardwired.cqb or 0) >> PAGE_LG2,
            fqb_ppn=(options.hardwired.fqb or 0) >> PAGE_LG2,
        )


Rule = Callable[[int, int], int]
"""From what a register holds, and what the access kinds of its fields make of a write, to what it then holds."""


def _kept(mask: int) -> Rule:
    """Bits outside `mask` are hardwired: they keep the value they have."""
    return lambda old, new: new & mask | old & ~mask


def _cleared(mask: int) -> Rule:
    """Bits outside `mask` are hardwired to 0."""
    return lambda old, new: new & mask


def _ddtp(reset: Reset, pages: int) -> Rule:
    """A mode that is reserved, or deeper than this IOMMU's, leaves the mode as it is."""

    def rule(old: int, new: int) -> int:
        if Ddtp.iommu_mode.get(new) > reset.ddtp_max_iommu_mode:
            new = Ddtp.iommu_mode.put(new, Ddtp.iommu_mode.get(old))
        return Ddtp.ppn.put(new, reset.ddtp_ppn or Ddtp.ppn.get(new) & pages)

    return rule


def _base(entries_log2: int, pages: int, ppn: int) -> Rule:
    """A queue longer than the longest becomes the longest: so software learns it, by writing all ones. `ppn` is the
    hardwired PPN or 0."""

    def rule(old: int, new: int) -> int:
        new = QueueBase.log2szm1.put(new, min(QueueBase.log2szm1.get(new), entries_log2 - 1))
        return QueueBase.ppn.put(new, ppn or QueueBase.ppn.get(new) & pages)

    return rule


def _csr(layout: type[Word]) -> Rule:
    """Turning a queue on clears what stopped it, in one: no interrupt follows that the same write enables."""
    errors = layout.ACCESS[FieldAccess.RW1C]
    rising = QueueCsr.en.mask
    return lambda old, new: new & ~errors if new & ~old & rising else new


def _iohpmevt(reset: Reset) -> Rule:
    """An eventID that cannot be counted leaves the selection as it is."""

    def rule(old: int, new: int) -> int:
        if Iohpmevt.eventid.get(new) > reset.hpm_max_event_id:
            return Iohpmevt.eventid.put(new, Iohpmevt.eventid.get(old))
        return new

    return rule


def rules(options: IommuOptions, capabilities: Capabilities, reset: Reset) -> dict[str, Rule]:
    """The rules of one IOMMU, by the register's name; a register that has none takes every value."""
    counters = reset.hpm_event_counters if capabilities.hpm else 0
    vector = (1 << reset.icvec_bits) - 1
    pages = (1 << max(0, capabilities.pas - PAGE_LG2)) - 1  # a PPN has as many bits as capabilities.PAS gives it
    fctl = Fctl.of(be=reset.be_writable, wsi=capabilities.igs == Igs.BOTH, gxl=reset.gxl_writable)
    found: dict[str, Rule] = {
        "fctl": _kept(fctl),
        "ddtp": _ddtp(reset, pages),
        "cqb": _base(options.geometry.cq_log2, pages, reset.cqb_ppn),
        "fqb": _base(options.geometry.fq_log2, pages, reset.fqb_ppn),
        "pqb": _base(options.geometry.cq_log2, pages, reset.pqb_ppn),
        **{name: _csr(layout) for name, layout in (("cqcsr", Cqcsr), ("fqcsr", Fqcsr), ("pqcsr", Pqcsr))},
        "iocountinh": _cleared(Iocountinh.cy.mask | (1 << counters) - 1 << Iocountinh.hpm.lo),
        "iommu_qosid": _cleared(IommuQosid.MASK & reset.qosid_mask),
        "icvec": _cleared(Icvec.of(civ=vector, fiv=vector, pmiv=vector, piv=vector)),
    }
    width = (1 << reset.hpm_counter_bits) - 1
    for n in IOHPMCTR:
        present = n <= counters
        found[IOHPMCTR[n].name] = _cleared(Iohpmctr.MASK & width if present else 0)
        found[IOHPMEVT[n].name] = _iohpmevt(reset) if present else _cleared(0)
    table: list[dict[int, Register[Word]]] = [{**MSI_ADDR}, {**MSI_DATA}, {**MSI_VEC_CTL}]
    for column in table:
        found |= {register.name: _cleared(0) for n, register in column.items() if n > vector}
    return found
