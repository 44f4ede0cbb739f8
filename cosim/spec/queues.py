"""Entries of the in-memory queues (chapter "In-memory queue interface"): commands, fault records, page requests."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import Any, ClassVar, Self

from cosim.spec.bits import Record, Word, bit, bits, word
from cosim.spec.faults import Cause, Ttyp
from cosim.spec.pagetable import PAGE_LG2, decode_range, encode_range
from cosim.spec.registers import Capabilities


class Opcode(IntEnum):
    """The groups of commands; 5 to 63 are reserved, 64 to 127 are for custom use."""

    IOTINVAL = 1
    IOFENCE = 2
    IODIR = 3
    ATS = 4


class IotinvalFunc(IntEnum):
    """func3 of IOTINVAL."""

    VMA = 0
    GVMA = 1


class IofenceFunc(IntEnum):
    """func3 of IOFENCE."""

    C = 0


class IodirFunc(IntEnum):
    """func3 of IODIR."""

    INVAL_DDT = 0
    INVAL_PDT = 1


class AtsFunc(IntEnum):
    """func3 of ATS."""

    INVAL = 0
    PRGR = 1


class ResponseCode(IntEnum):
    """The answer to a page request group, as PCIe encodes it."""

    SUCCESS = 0
    INVALID_REQUEST = 1
    RESPONSE_FAILURE = 15


class IllegalCommandError(ValueError):
    """The command is one that sets cqcsr.cmd_ill; the text says which rule it breaks."""


class Command(Record, dwords=2):
    """Any command: its group and function."""

    OPCODE: ClassVar[Opcode]
    FUNC: ClassVar[type[IntEnum]]

    opcode = bits(6, 0, enum=Opcode)
    func3 = bits(9, 7)

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        cls.PRESET = (cls.OPCODE, 0)

    @property
    def mnemonic(self) -> str:
        """As the manual writes it: `IOTINVAL.VMA`."""
        return f"{self.OPCODE.name}.{self.FUNC(self.func3).name}"


class Iotinval(Command):
    """Drops cached page-table entries: of the first stage with VMA, of the second with GVMA."""

    OPCODE = Opcode.IOTINVAL
    FUNC = IotinvalFunc

    av = bit(10, manual="AV")
    pscid = bits(31, 12, manual="PSCID")
    pscv = bit(32, manual="PSCV")
    gv = bit(33, manual="GV")
    nl = bit(34, manual="NL")
    gscid = bits(59, 44, manual="GSCID")
    s = bit(73, manual="S")
    addr = bits(125, 74, manual="ADDR[63:12]")

    @classmethod
    def vma(
        cls,
        *,
        pscid: int | None = None,
        gscid: int | None = None,
        addr: int | None = None,
        pages_lg2: int = 0,
        nl: int = 0,
    ) -> Self:
        """IOTINVAL.VMA: of one PSCID or all, of one VM or the host, at `addr` (an IOVA, in bytes) or everywhere.

        With `pages_lg2` above 0 (capabilities.S), of 2^`pages_lg2` pages from `addr`; with `nl` (capabilities.NL)
        non-leaf entries too.
        """
        fields = {} if pscid is None else {"pscv": 1, "pscid": pscid}
        return cls._of(IotinvalFunc.VMA, fields, gscid, addr, pages_lg2, nl)

    @classmethod
    def gvma(cls, *, gscid: int | None = None, addr: int | None = None, pages_lg2: int = 0, nl: int = 0) -> Self:
        """IOTINVAL.GVMA: of one VM or all, at `addr` (a guest physical address, in bytes) or everywhere."""
        return cls._of(IotinvalFunc.GVMA, {}, gscid, addr, pages_lg2, nl)

    @classmethod
    def _of(
        cls, func3: int, fields: dict[str, int], gscid: int | None, addr: int | None, pages_lg2: int, nl: int
    ) -> Self:
        if gscid is not None:
            fields |= {"gv": 1, "gscid": gscid}
        if addr is not None:
            page = addr >> PAGE_LG2
            fields |= (
                {"av": 1, "addr": page} if pages_lg2 == 0 else {"av": 1, "s": 1, "addr": encode_range(page, pages_lg2)}
            )
        return cls.of(func3=func3, nl=nl, **fields)

    @property
    def pages(self) -> tuple[int, int]:
        """The first page that ADDR means and log2 of their number; only if `av`."""
        return decode_range(self.addr) if self.s else (self.addr, 0)

    def unlawful(self, capabilities: Capabilities, wsi: int, did_bits: int) -> str:
        """The rule, beyond reserved bits and encodings, that the command breaks on such an IOMMU; "" if none."""
        if self.nl and not capabilities.nl:
            return "NL is reserved where capabilities.NL is 0"
        if self.s and not capabilities.s:
            return "S is reserved where capabilities.S is 0"
        if self.pscv and self.func3 == IotinvalFunc.GVMA:
            return "PSCV=1 is for IOTINVAL.VMA only"
        if self.func3 == IotinvalFunc.GVMA and not any(
            (capabilities.sv32x4, capabilities.sv39x4, capabilities.sv48x4, capabilities.sv57x4)
        ):
            return "unsupported where capabilities has no second stage"
        return ""


class Iofence(Command):
    """Completes when all commands before it have."""

    OPCODE = Opcode.IOFENCE
    FUNC = IofenceFunc

    av = bit(10, manual="AV")
    wsi = bit(11, manual="WSI")
    pr = bit(12, manual="PR")
    pw = bit(13, manual="PW")
    data = bits(63, 32, manual="DATA")
    addr = bits(125, 64, manual="ADDR[63:2]")

    @classmethod
    def c(cls, *, pr: int = 0, pw: int = 0, wsi: int = 0, addr: int | None = None, data: int = 0) -> Self:
        """IOFENCE.C: with `addr` (in bytes, a multiple of 4) it stores the 4 bytes `data` there when it completes."""
        fence = cls.of(pr=pr, pw=pw, wsi=wsi)
        if addr is None:
            return fence
        if addr & 3:
            raise ValueError(f"IOFENCE.C stores at a multiple of 4, not at {addr:#x}")
        return fence.replace(av=1, addr=addr >> 2, data=data)

    @property
    def address(self) -> int:
        """Where DATA is stored, in bytes; only if `av`."""
        return self.addr << 2

    def unlawful(self, capabilities: Capabilities, wsi: int, did_bits: int) -> str:
        return "WSI is reserved where fctl.WSI is 0" if self.wsi and not wsi else ""


class Iodir(Command):
    """Drops cached directory entries."""

    OPCODE = Opcode.IODIR
    FUNC = IodirFunc

    pid = bits(31, 12, manual="PID")
    dv = bit(33, manual="DV")
    did = bits(63, 40, manual="DID")

    @classmethod
    def inval_ddt(cls, did: int | None = None) -> Self:
        """IODIR.INVAL_DDT: of one device, or of all."""
        return cls.of() if did is None else cls.of(dv=1, did=did)

    @classmethod
    def inval_pdt(cls, did: int, pid: int) -> Self:
        """IODIR.INVAL_PDT: of one process of one device."""
        return cls.of(func3=IodirFunc.INVAL_PDT, dv=1, did=did, pid=pid)

    def unlawful(self, capabilities: Capabilities, wsi: int, did_bits: int) -> str:
        if self.func3 == IodirFunc.INVAL_DDT and self.pid:
            return "PID is reserved in IODIR.INVAL_DDT"
        if self.func3 == IodirFunc.INVAL_PDT and not self.dv:
            return "DV must be 1 in IODIR.INVAL_PDT"
        if self.func3 == IodirFunc.INVAL_PDT and not process_id_bits(capabilities):
            return "unsupported where capabilities has no process directory"
        if self.dv and self.did >> did_bits:
            return f"DID {self.did:#x} is wider than the {did_bits} bits of ddtp.iommu_mode"
        if self.pid >> (width := process_id_bits(capabilities)):
            return f"PID {self.pid:#x} is wider than the {width} bits of capabilities"
        return ""


class Ats(Command):
    """Has the IOMMU send a PCIe message to the function `rid`."""

    OPCODE = Opcode.ATS
    FUNC = AtsFunc

    pid = bits(31, 12, manual="PID")
    pv = bit(32, manual="PV")
    dsv = bit(33, manual="DSV")
    rid = bits(55, 40, manual="RID")
    dseg = bits(63, 56, manual="DSEG")
    payload = bits(127, 64, manual="PAYLOAD")

    @classmethod
    def inval(
        cls,
        rid: int,
        *,
        addr: int | None = None,
        pages_lg2: int = 0,
        g: int = 0,
        pid: int | None = None,
        dseg: int | None = None,
    ) -> Self:
        """ATS.INVAL: an Invalidation Request for 2^`pages_lg2` pages from `addr` (bytes), or for all of them."""
        if addr is None:
            payload = InvalPayload.of(g=g, s=1, address=encode_range(0, 52))
        elif pages_lg2:
            payload = InvalPayload.of(g=g, s=1, address=encode_range(addr >> PAGE_LG2, pages_lg2))
        else:
            payload = InvalPayload.of(g=g, address=addr >> PAGE_LG2)
        return cls._to(AtsFunc.INVAL, rid, pid, dseg, payload)

    @classmethod
    def prgr(cls, rid: int, prgi: int, response_code: int, *, pid: int | None = None, dseg: int | None = None) -> Self:
        """ATS.PRGR: a Page Request Group Response to the group `prgi`."""
        payload = PrgrPayload.of(prgi=prgi, response_code=response_code)
        return cls._to(AtsFunc.PRGR, rid, pid, dseg, payload)

    @classmethod
    def _to(cls, func3: int, rid: int, pid: int | None, dseg: int | None, payload: int) -> Self:
        return cls.of(
            func3=func3,
            rid=rid,
            payload=payload,
            **({} if pid is None else {"pv": 1, "pid": pid}),
            **({} if dseg is None else {"dsv": 1, "dseg": dseg}),
        )

    def unlawful(self, capabilities: Capabilities, wsi: int, did_bits: int) -> str:
        return "" if capabilities.ats else "unsupported where capabilities.ATS is 0"


class InvalPayload(Word):
    """PAYLOAD of ATS.INVAL. With `s` the address says how many pages are meant, as `encode_range` does."""

    g = bit(0, manual="G")
    s = bit(11, manual="S")
    address = bits(63, 12, manual="Untranslated Address[63:12]")


class PrgrPayload(Word):
    """PAYLOAD of ATS.PRGR."""

    prgi = bits(40, 32, manual="Page Request Group Index")
    response_code = bits(47, 44, enum=ResponseCode, manual="Response Code")


class FaultRecord(Record, dwords=4):
    """An entry of the fault queue."""

    cause = bits(11, 0, enum=Cause, manual="CAUSE")
    pid = bits(31, 12, manual="PID")
    pv = bit(32, manual="PV")
    priv = bit(33, manual="PRIV")
    ttyp = bits(39, 34, enum=Ttyp, manual="TTYP")
    did = bits(63, 40, manual="DID")
    custom = bits(95, 64)
    iotval = bits(191, 128)
    iotval2 = bits(255, 192)


class PageRequestPayload(Word):
    """PAYLOAD of a Page Request message."""

    r = bit(0, manual="R")
    w = bit(1, manual="W")
    l = bit(2, manual="L")  # noqa: E741 the manual's name
    prgi = bits(11, 3, manual="Page Request Group Index")
    address = bits(63, 12, manual="Page Address[63:12]")

    @property
    def stop_marker(self) -> bool:
        """Whether the message asks for no page, but ends the requests of its process."""
        return (self.l, self.w, self.r) == (1, 0, 0)


class PageRequest(Record, dwords=2):
    """An entry of the page-request queue."""

    pid = bits(31, 12, manual="PID")
    pv = bit(32, manual="PV")
    priv = bit(33, manual="PRIV")
    exec = bit(34, manual="EXEC")
    did = bits(63, 40, manual="DID")
    payload = word(1, PageRequestPayload)


AnyCommand = Iotinval | Iofence | Iodir | Ats

COMMANDS: dict[int, type[AnyCommand]] = {form.OPCODE: form for form in (Iotinval, Iofence, Iodir, Ats)}
"""By opcode."""


def process_id_bits(capabilities: Capabilities) -> int:
    """The widest process_id that the capabilities allow, in bits."""
    if capabilities.pd20:
        return 20
    if capabilities.pd17:
        return 17
    return 8 if capabilities.pd8 else 0


def decode(words: Iterable[int], capabilities: Capabilities, *, wsi: int = 0, did_bits: int = 24) -> AnyCommand:
    """The command in these two doublewords; IllegalCommandError if it is illegal or unsupported.

    That depends on capabilities (ATS, NL, S, the width of PID), on fctl.WSI and on the width of device_id that
    ddtp.iommu_mode allows.
    """
    undecoded = Command.from_words(words)
    form = COMMANDS.get(undecoded.opcode)
    if form is None:
        raise IllegalCommandError(f"opcode {undecoded.opcode} is that of no command; {_listed(Opcode)}")
    command = form(undecoded)
    if command.func3 >= len(form.FUNC):
        raise IllegalCommandError(f"{form.OPCODE.name} has no func3 {command.func3}; {_listed(form.FUNC)}")
    if reserved := command.reserved():
        raise IllegalCommandError(f"{command.mnemonic}: reserved bits {reserved:#x} are set")
    if broken := command.unlawful(capabilities, wsi, did_bits):
        raise IllegalCommandError(f"{command.mnemonic}: {broken}")
    return command


def _listed(encodings: type[IntEnum]) -> str:
    return f"there are {', '.join(f'{value.value} ({value.name})' for value in encodings)}"
