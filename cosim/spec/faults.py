"""Fault causes and transaction types (3.2 "Fault/Event-Queue", tables of CAUSE and TTYP)."""

from __future__ import annotations

from enum import Enum, IntEnum


class Permission(IntEnum):
    """What a request asks of a page."""

    R = 0
    W = 1
    X = 2


class Ttyp(IntEnum):
    """The type of an inbound transaction."""

    NONE = 0
    UNTRANSLATED_EXECUTE = 1
    UNTRANSLATED_READ = 2
    UNTRANSLATED_WRITE = 3
    TRANSLATED_EXECUTE = 5
    TRANSLATED_READ = 6
    TRANSLATED_WRITE = 7
    ATS_REQUEST = 8
    MESSAGE = 9

    @property
    def translated(self) -> bool:
        """Whether the request carries an address that an ATS completion gave the device."""
        return Ttyp.TRANSLATED_EXECUTE <= self <= Ttyp.TRANSLATED_WRITE

    @property
    def untranslated(self) -> bool:
        """Whether the request carries an IOVA to be translated on its way."""
        return Ttyp.UNTRANSLATED_EXECUTE <= self <= Ttyp.UNTRANSLATED_WRITE

    @property
    def has_iova(self) -> bool:
        """Whether the fault record's iotval is the IOVA; that of a message is its code."""
        return self.translated or self.untranslated or self is Ttyp.ATS_REQUEST

    @classmethod
    def untranslated_for(cls, permission: Permission) -> Ttyp:
        """The untranslated request that asks for `permission`."""
        return _UNTRANSLATED[permission]

    @classmethod
    def translated_for(cls, permission: Permission) -> Ttyp:
        """The translated request that asks for `permission`."""
        return _TRANSLATED[permission]


_UNTRANSLATED = {
    Permission.R: Ttyp.UNTRANSLATED_READ,
    Permission.W: Ttyp.UNTRANSLATED_WRITE,
    Permission.X: Ttyp.UNTRANSLATED_EXECUTE,
}
_TRANSLATED = {
    Permission.R: Ttyp.TRANSLATED_READ,
    Permission.W: Ttyp.TRANSLATED_WRITE,
    Permission.X: Ttyp.TRANSLATED_EXECUTE,
}


class AtsAnswer(Enum):
    """How a PCIe ATS translation request that met a fault is completed (2.6).

    The manual says nothing of corrupt data; the reference model counts it among what earns a Completer Abort.
    """

    SUCCESS = "Success, with R and W 0; nothing is recorded"
    CA = "Completer Abort"
    UR = "Unsupported Request"


class Cause(IntEnum):
    """Why a request faulted."""

    INSTRUCTION_ACCESS_FAULT = 1
    READ_MISALIGNED = 4
    READ_ACCESS_FAULT = 5
    WRITE_MISALIGNED = 6
    WRITE_ACCESS_FAULT = 7
    INSTRUCTION_PAGE_FAULT = 12
    READ_PAGE_FAULT = 13
    WRITE_PAGE_FAULT = 15
    INSTRUCTION_GUEST_PAGE_FAULT = 20
    READ_GUEST_PAGE_FAULT = 21
    WRITE_GUEST_PAGE_FAULT = 23
    ALL_INBOUND_DISALLOWED = 256
    DDT_LOAD_ACCESS_FAULT = 257
    DDT_NOT_VALID = 258
    DDT_MISCONFIGURED = 259
    TTYP_DISALLOWED = 260
    MSI_PTE_LOAD_ACCESS_FAULT = 261
    MSI_PTE_NOT_VALID = 262
    MSI_PTE_MISCONFIGURED = 263
    MRIF_ACCESS_FAULT = 264
    PDT_LOAD_ACCESS_FAULT = 265
    PDT_NOT_VALID = 266
    PDT_MISCONFIGURED = 267
    DDT_DATA_CORRUPTION = 268
    PDT_DATA_CORRUPTION = 269
    MSI_PT_DATA_CORRUPTION = 270
    MRIF_DATA_CORRUPTION = 271
    INTERNAL_DATA_PATH_ERROR = 272
    MSI_WRITE_ACCESS_FAULT = 273
    PT_DATA_CORRUPTION = 274

    @property
    def reported_with_dtf(self) -> bool:
        """Whether DC.tc.DTF=1 leaves the fault reported."""
        return self in _REPORTED_WITH_DTF

    @property
    def guest_page_fault(self) -> bool:
        """Whether iotval2 holds a guest physical address."""
        return self in GUEST_PAGE_FAULT.values()

    @property
    def ats_answer(self) -> AtsAnswer | None:
        """The completion of an ATS translation request; None where it cannot meet the fault."""
        return _ATS_ANSWER.get(self)


ACCESS_FAULT = {
    Permission.R: Cause.READ_ACCESS_FAULT,
    Permission.W: Cause.WRITE_ACCESS_FAULT,
    Permission.X: Cause.INSTRUCTION_ACCESS_FAULT,
}
PAGE_FAULT = {
    Permission.R: Cause.READ_PAGE_FAULT,
    Permission.W: Cause.WRITE_PAGE_FAULT,
    Permission.X: Cause.INSTRUCTION_PAGE_FAULT,
}
GUEST_PAGE_FAULT = {
    Permission.R: Cause.READ_GUEST_PAGE_FAULT,
    Permission.W: Cause.WRITE_GUEST_PAGE_FAULT,
    Permission.X: Cause.INSTRUCTION_GUEST_PAGE_FAULT,
}

_REPORTED_WITH_DTF = frozenset(
    {
        Cause.ALL_INBOUND_DISALLOWED,
        Cause.DDT_LOAD_ACCESS_FAULT,
        Cause.DDT_NOT_VALID,
        Cause.DDT_MISCONFIGURED,
        Cause.DDT_DATA_CORRUPTION,
        Cause.INTERNAL_DATA_PATH_ERROR,
        Cause.MSI_WRITE_ACCESS_FAULT,
    }
)

_ATS_ANSWER = {
    **dict.fromkeys(ACCESS_FAULT.values(), AtsAnswer.CA),
    Cause.MSI_PTE_LOAD_ACCESS_FAULT: AtsAnswer.CA,
    Cause.MSI_PTE_MISCONFIGURED: AtsAnswer.CA,
    Cause.PDT_LOAD_ACCESS_FAULT: AtsAnswer.CA,
    Cause.PDT_MISCONFIGURED: AtsAnswer.CA,
    Cause.DDT_DATA_CORRUPTION: AtsAnswer.CA,
    Cause.PDT_DATA_CORRUPTION: AtsAnswer.CA,
    Cause.MSI_PT_DATA_CORRUPTION: AtsAnswer.CA,
    Cause.MRIF_DATA_CORRUPTION: AtsAnswer.CA,
    Cause.INTERNAL_DATA_PATH_ERROR: AtsAnswer.CA,
    Cause.PT_DATA_CORRUPTION: AtsAnswer.CA,
    Cause.ALL_INBOUND_DISALLOWED: AtsAnswer.UR,
    Cause.DDT_LOAD_ACCESS_FAULT: AtsAnswer.UR,
    Cause.DDT_NOT_VALID: AtsAnswer.UR,
    Cause.DDT_MISCONFIGURED: AtsAnswer.UR,
    Cause.TTYP_DISALLOWED: AtsAnswer.UR,
    **dict.fromkeys((*PAGE_FAULT.values(), *GUEST_PAGE_FAULT.values()), AtsAnswer.SUCCESS),
    Cause.PDT_NOT_VALID: AtsAnswer.SUCCESS,
    Cause.MSI_PTE_NOT_VALID: AtsAnswer.SUCCESS,
}
