"""A device context, and the first stage that it gives a request (2.3, from step 7 on)."""

from __future__ import annotations

from cosim.hw.dma.transaction import Request, Transaction
from cosim.hw.iommu.faults import Fault, NotImplementedCapability
from cosim.hw.iommu.translate.address_space import NO_FIRST_STAGE, AddressSpace
from cosim.spec.faults import Cause
from cosim.spec.pagetable import BARE, Scheme
from cosim.spec.translation import PDT, Dc, PdtpMode


class DeviceContext:
    """A device context that was found valid and well configured; `dc` is as it was read."""

    __slots__ = (
        "dc",
        "device_id",
        "dpe",
        "dtf",
        "en_ats",
        "pdtp",
        "pdtv",
        "plain",
        "second",
        "space",
        "t2gpa",
    )

    def __init__(self, device_id: int, dc: Dc, space: AddressSpace, second: Scheme) -> None:
        tc = dc.tc
        self.device_id = device_id
        self.dc = dc
        self.en_ats = bool(tc.en_ats)
        self.t2gpa = bool(tc.t2gpa)
        self.dtf = bool(tc.dtf)
        self.pdtv = bool(tc.pdtv)
        self.dpe = bool(tc.dpe)
        self.pdtp = PdtpMode(dc.fsc.mode) if tc.pdtv else PdtpMode.BARE
        self.second = second
        self.space = space
        """The first stage of requests without a process: fsc where PDTV is 0, else Bare."""
        self.plain = not (self.pdtv or second.levels)
        """Whether an untranslated request without a process needs no look at anything but `space`."""

    def first_stage(self, txn: Transaction) -> AddressSpace:
        """Steps 7 to 16: the first stage that translates a request; raises Fault if there is to be no translation."""
        # 7. What the context does not allow.
        if txn.request is not Request.UNTRANSLATED and not self.en_ats:
            raise Fault(Cause.TTYP_DISALLOWED, dtf=self.dtf)
        process_id = txn.process_id
        if process_id is not None:
            levels = self.pdtp.levels
            if not self.pdtv or (levels and process_id >> PDT.width(levels)):
                raise Fault(Cause.TTYP_DISALLOWED, dtf=self.dtf)
        # 8 and 9. What an ATS completion gave the device is physical, unless T2GPA says that it is a guest's.
        if txn.request is Request.TRANSLATED:
            return NO_FIRST_STAGE
        if txn.request is Request.ATS:
            raise NotImplementedCapability("ATS")
        # 10 to 16. The context itself has the first stage, or the process directory does, or there is none.
        space = self.space
        if self.pdtv:
            if (process_id is not None or self.dpe) and self.pdtp is not PdtpMode.BARE:
                raise NotImplementedCapability(self.pdtp.name)
            space = NO_FIRST_STAGE
        return space


class EmptyContext(DeviceContext):
    """What hardware with the defect `cache_invalid` keeps of an entry with V=0: no request gets past it."""

    __slots__ = ()

    def __init__(self, device_id: int, dc: Dc) -> None:
        super().__init__(device_id, dc, NO_FIRST_STAGE, BARE)
        self.plain = False

    def first_stage(self, txn: Transaction) -> AddressSpace:
        raise Fault(Cause.DDT_NOT_VALID)
