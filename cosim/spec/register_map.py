"""Where the memory-mapped registers are, and when they are present (table of their layout)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from cosim.spec.bits import Word
from cosim.spec.registers import (
    Capabilities,
    Cqcsr,
    Custom,
    Ddtp,
    Fctl,
    Fqcsr,
    Icvec,
    Igs,
    Iocountinh,
    Iocountovf,
    Iohpmctr,
    Iohpmcycles,
    Iohpmevt,
    IommuQosid,
    Ipsr,
    MsiAddr,
    MsiData,
    MsiVecCtl,
    Pqcsr,
    QueueBase,
    QueueCsr,
    QueueIndex,
    QueueIndexRo,
    TrReqCtl,
    TrReqIova,
    TrResponse,
)

W_co = TypeVar("W_co", bound=Word, covariant=True)


@dataclass(frozen=True, slots=True)
class Register(Generic[W_co]):
    """A place in the map: `CQCSR.offset`, `CQCSR.layout(value).cqon`."""

    name: str
    offset: int
    """In bytes from the base of the IOMMU's page."""
    layout: type[W_co]
    needs: str = ""
    """The field of `capabilities` without which the register is absent, "" if it never is."""
    cleared: int = 0
    """The bits that reset clears. What the others then hold is up to the IOMMU, or UNSPECIFIED."""

    @property
    def size(self) -> int:
        """In bytes: 4 or 8."""
        return self.layout.WIDTH // 8

    def present(self, capabilities: Capabilities) -> bool:
        """Whether the register exists; an absent one reads 0 and ignores writes."""
        if self.needs == "igs":
            return capabilities.igs != Igs.WSI
        return not self.needs or bool(getattr(capabilities, self.needs))


_CSR_CLEARED = sum(field.mask for field in (QueueCsr.en, QueueCsr.ie, QueueCsr.on, QueueCsr.busy))

CAPABILITIES = Register("capabilities", 0, Capabilities)
FCTL = Register("fctl", 8, Fctl)
CUSTOM = Register("custom", 12, Custom)
DDTP = Register("ddtp", 16, Ddtp, cleared=Ddtp.busy.mask)
CQB = Register("cqb", 24, QueueBase)
CQH = Register("cqh", 32, QueueIndexRo)
CQT = Register("cqt", 36, QueueIndex)
FQB = Register("fqb", 40, QueueBase)
FQH = Register("fqh", 48, QueueIndex)
FQT = Register("fqt", 52, QueueIndexRo)
PQB = Register("pqb", 56, QueueBase, needs="ats")
PQH = Register("pqh", 64, QueueIndex, needs="ats")
PQT = Register("pqt", 68, QueueIndexRo, needs="ats")
CQCSR = Register("cqcsr", 72, Cqcsr, cleared=_CSR_CLEARED)
FQCSR = Register("fqcsr", 76, Fqcsr, cleared=_CSR_CLEARED)
PQCSR = Register("pqcsr", 80, Pqcsr, needs="ats", cleared=_CSR_CLEARED)
IPSR = Register("ipsr", 84, Ipsr, cleared=0xFFFFFFFF)
IOCOUNTOVF = Register("iocountovf", 88, Iocountovf, needs="hpm")
IOCOUNTINH = Register("iocountinh", 92, Iocountinh, needs="hpm")
IOHPMCYCLES = Register("iohpmcycles", 96, Iohpmcycles, needs="hpm")
IOHPMCTR = {n: Register(f"iohpmctr{n}", 96 + 8 * n, Iohpmctr, needs="hpm") for n in range(1, 32)}
"""By number, from 1."""
IOHPMEVT = {n: Register(f"iohpmevt{n}", 344 + 8 * n, Iohpmevt, needs="hpm") for n in range(1, 32)}
"""By number, from 1."""
TR_REQ_IOVA = Register("tr_req_iova", 600, TrReqIova, needs="dbg")
TR_REQ_CTL = Register("tr_req_ctl", 608, TrReqCtl, needs="dbg", cleared=TrReqCtl.go_busy.mask)
TR_RESPONSE = Register("tr_response", 616, TrResponse, needs="dbg")
IOMMU_QOSID = Register("iommu_qosid", 624, IommuQosid, needs="qosid")
ICVEC = Register("icvec", 760, Icvec)
MSI_ADDR = {n: Register(f"msi_addr_{n}", 768 + 16 * n, MsiAddr, needs="igs") for n in range(16)}
MSI_DATA = {n: Register(f"msi_data_{n}", 776 + 16 * n, MsiData, needs="igs") for n in range(16)}
MSI_VEC_CTL = {n: Register(f"msi_vec_ctl_{n}", 780 + 16 * n, MsiVecCtl, needs="igs") for n in range(16)}


class RegisterMap(Mapping[str, Register[Word]]):
    """The registers by name, in order of offset, and by offset."""

    SIZE = 4096
    """Of the memory-mapped region, in bytes."""

    def __init__(self, *registers: Register[Word]) -> None:
        self._named = {r.name: r for r in sorted(registers, key=lambda r: r.offset)}
        self._bytes = {at: r for r in registers for at in range(r.offset, r.offset + r.size)}

    def __getitem__(self, name: str) -> Register[Word]:
        return self._named[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._named)

    def __len__(self) -> int:
        return len(self._named)

    def at(self, offset: int) -> Register[Word] | None:
        """The register that covers the byte at `offset`; None where the map is reserved, and reads 0."""
        return self._bytes.get(offset)


REGISTERS = RegisterMap(
    *(CAPABILITIES, FCTL, CUSTOM, DDTP, CQB, CQH, CQT, FQB, FQH, FQT, PQB, PQH, PQT),
    *(CQCSR, FQCSR, PQCSR, IPSR, IOCOUNTOVF, IOCOUNTINH, IOHPMCYCLES),
    *(*IOHPMCTR.values(), *IOHPMEVT.values(), TR_REQ_IOVA, TR_REQ_CTL, TR_RESPONSE, IOMMU_QOSID, ICVEC),
    *(*MSI_ADDR.values(), *MSI_DATA.values(), *MSI_VEC_CTL.values()),
)
