"""The steps of "Process to translate an IOVA" (2.3) that read no memory, by their numbers."""

from __future__ import annotations

from cosim.hw.dma.transaction import Request, Transaction
from cosim.hw.iommu.faults import Fault, NotImplementedCapability
from cosim.hw.iommu.translate.address_space import AddressSpace
from cosim.hw.iommu.translate.device_context import DeviceContext
from cosim.hw.iommu.translate.leaf import SUPERVISOR, SUPERVISOR_SUM
from cosim.spec.faults import PAGE_FAULT, Cause, Permission
from cosim.spec.registers import IommuMode


def permission_of(txn: Transaction) -> Permission:
    """What a request asks of a page; a read for execute asks for X only."""
    return Permission.W if txn.write else Permission.X if txn.execute else Permission.R


def without_directory(mode: IommuMode, txn: Transaction) -> None:
    """Steps 1 and 2, where ddtp.iommu_mode is Off or Bare: raises Fault, or leaves the address as it is."""
    if mode is IommuMode.OFF:
        raise Fault(Cause.ALL_INBOUND_DISALLOWED)
    if txn.request is not Request.UNTRANSLATED:
        raise Fault(Cause.TTYP_DISALLOWED)


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
