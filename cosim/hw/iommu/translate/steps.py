"""The steps of "Process to translate an IOVA" (2.3) that read no memory, by their numbers."""

from __future__ import annotations

from cosim.hw.dma.transaction import Request, Transaction
from cosim.hw.iommu.faults import Fault, NotImplementedCapability
from cosim.hw.iommu.translate.context import DeviceContext
from cosim.hw.iommu.translate.iotlb import HOST, SUPERVISOR, SUPERVISOR_SUM
from cosim.hw.iommu.translate.page_table import AddressSpace
from cosim.spec.faults import PAGE_FAULT, Cause, Permission
from cosim.spec.registers import IommuMode
from cosim.spec.translation import PDT, PdtpMode

NO_FIRST_STAGE = AddressSpace(None, 0, HOST, 0, sade=False)
"""Where iosatp.MODE is taken to be Bare."""


def permission_of(txn: Transaction) -> Permission:
    """What a request asks of a page; a read for execute asks for X only."""
    return Permission.W if txn.write else Permission.X if txn.execute else Permission.R


def without_directory(mode: IommuMode, txn: Transaction) -> None:
    """Steps 1 and 2, where ddtp.iommu_mode is Off or Bare: raises Fault, or leaves the address as it is."""
    if mode is IommuMode.OFF:
        raise Fault(Cause.ALL_INBOUND_DISALLOWED)
    if txn.request is not Request.UNTRANSLATED:
        raise Fault(Cause.TTYP_DISALLOWED)


def space_of(txn: Transaction, context: DeviceContext) -> AddressSpace:
    """Steps 7 to 16: the first stage that translates a request; raises Fault if there is to be no translation."""
    if context.empty:
        raise Fault(Cause.DDT_NOT_VALID)
    # 7. What the context does not allow.
    if txn.request is not Request.UNTRANSLATED and not context.en_ats:
        raise Fault(Cause.TTYP_DISALLOWED, dtf=context.dtf)
    process_id = txn.process_id
    if process_id is not None:
        levels = context.pdtp.levels
        if not context.pdtv or (levels and process_id >> PDT.width(levels)):
            raise Fault(Cause.TTYP_DISALLOWED, dtf=context.dtf)
    # 8 and 9. What an ATS completion gave the device is physical, unless T2GPA says that it is a guest's.
    if txn.request is Request.TRANSLATED:
        return NO_FIRST_STAGE
    if txn.request is Request.ATS:
        raise NotImplementedCapability("ATS")
    # 10 to 16. The context itself has the first stage, or the process directory does, or there is none.
    space = context.space
    if context.pdtv:
        if process_id is None and context.dpe:
            process_id = 0
        if process_id is not None and context.pdtp is not PdtpMode.BARE:
            raise NotImplementedCapability(context.pdtp.name)
        space = NO_FIRST_STAGE
    return space


def require_no_second_stage(txn: Transaction, context: DeviceContext) -> None:
    """Steps 17 to 19, for an address that the first stage has left as it is or found: it is physical then.

    A second stage that is not Bare is not modelled. After step 8 there is none, whatever the context says.
    """
    if context.second.levels and (txn.request is not Request.TRANSLATED or context.t2gpa):
        raise NotImplementedCapability(context.second.name)


def needed_by(txn: Transaction, space: AddressSpace) -> int:
    """The bit of `Leaf.grants` that a request needs; only one with a process can ask for privilege."""
    bit = 2 if txn.write else 4 if txn.execute else 1  # 1 << permission_of(txn), without a call
    if txn.privileged and txn.process_id is not None:
        return bit << 3 * (SUPERVISOR_SUM if space.sum else SUPERVISOR)
    return bit


def page_fault(txn: Transaction, context: DeviceContext) -> Fault:
    """The page fault of a request."""
    return Fault(PAGE_FAULT[permission_of(txn)], dtf=context.dtf)
