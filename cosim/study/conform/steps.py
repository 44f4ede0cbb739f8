"""The steps of a conformance scenario: what software, devices and memory do, and what they expect to see."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PlainValidator, model_validator

from cosim.spec.page import PAGE
from cosim.spec.register_map import RegisterMap
from cosim.study.conform.forms import Bit, Byte, Dword, Form, Hex, Number, number, upto

Rid = Annotated[int, PlainValidator(upto(0xFFFF))]
ProcessId = Annotated[int, PlainValidator(upto(0xFFFFF))]
DeviceId = Annotated[int, PlainValidator(upto(0xFFFFFF))]
Offset = Annotated[int, PlainValidator(upto(RegisterMap.SIZE - 4))]


def _size(value: object) -> int:
    if number(value) not in (4, 8):
        raise ValueError(f"a register access has 4 or 8 bytes, not {value}")
    return number(value)


def _store(value: object) -> tuple[int, int, int]:
    if not isinstance(value, list) or len(value) not in (2, 3):
        raise ValueError(f"{value!r} is not [address, value] or [address, value, size]")
    size = number(value[2]) if len(value) == 3 else 8
    if size not in (4, 8, 16):
        raise ValueError(f"a store has 4, 8 or 16 bytes, not {size}")
    return _DWORD(value[0]), _VALUE[size](value[1]), size


_DWORD = upto((1 << 64) - 1)
_VALUE = {size: upto((1 << 8 * size) - 1) for size in (4, 8, 16)}
RegisterSize = Annotated[int, PlainValidator(_size)]
Stored = Annotated[tuple[int, int, int], PlainValidator(_store)]
"""Address, value and bytes of a store."""


class MemWrite(Form):
    """Software stores to memory."""

    op: Literal["mem_write"]
    w: list[Stored]


class MemRead(Form):
    """Memory holds `data` from `addr` on, in the bits of `mask`."""

    op: Literal["mem_read"]
    addr: Dword
    data: Hex
    mask: Hex = b""

    @model_validator(mode="after")
    def _matching(self) -> MemRead:
        if self.mask and len(self.mask) != len(self.data):
            raise ValueError("mask and data differ in length")
        return self


class MemFault(Form):
    """From here on a range of memory refuses accesses, or answers with corrupt data."""

    op: Literal["mem_fault"]
    kind: Literal["access", "corrupt"]
    addr: Dword
    len: Dword


class MemFaultClear(Form):
    """All of memory is sound again."""

    op: Literal["mem_fault_clear"]


class RegWrite(Form):
    """Software writes a register."""

    op: Literal["reg_write"]
    off: Offset
    size: RegisterSize
    val: Dword


class RegRead(Form):
    """A register reads as `val`, as one of several values, or as `min` at least, in the bits of `mask`."""

    op: Literal["reg_read"]
    off: Offset
    size: RegisterSize
    val: Number | None = None
    one_of: Annotated[list[Number], Field(min_length=1)] | None = None
    min: Number | None = None
    mask: Number = -1
    note: str = ""

    @model_validator(mode="after")
    def _one(self) -> RegRead:
        if sum(value is not None for value in (self.val, self.one_of, self.min)) != 1:
            raise ValueError("exactly one of val, one_of, min is needed")
        return self

    @property
    def allowed(self) -> list[int]:
        """The values that the register may have, if it is not to be `min` at least."""
        return self.one_of or [value for value in (self.val,) if value is not None]


class Process(Form):
    """The command queue is worked off."""

    op: Literal["process"]


class Mrif(Form):
    """A memory-resident interrupt file, as an answer names it."""

    addr: Number = 0
    nid: Number = 0
    notice_ppn: Number = 0


class Response(Form):
    """How a request is answered; what is absent is not looked at."""

    status: Literal["success", "ur", "ca"]
    pa: Number | None = None
    size_max: Number | None = None
    pbmt: Number | None = None
    msi: Number | None = None
    info_cause: Number | None = None
    info_size: Number | None = None
    R: Number | None = None
    W: Number | None = None
    X: Number | None = None
    U: Number | None = None
    G: Number | None = None
    Priv: Number | None = None
    N: Number | None = None
    AMA: Number | None = None
    CXL_IO: Number | None = None
    mrif: Mrif | None = None


class Translate(Form):
    """A device's request, and its answer: `rsp`, or any of several."""

    op: Literal["translate"]
    pv: Bit = 0
    priv: Bit = 0
    exec: Bit = 0
    no_write: Bit = 0
    cxl: Bit = 0
    did: DeviceId
    iova: Dword
    len: Annotated[int, PlainValidator(upto(PAGE))] = 4
    pid: ProcessId = 0
    rw: Literal["r", "w"]
    at: Literal["untranslated", "ats", "translated"] = "untranslated"
    rsp: Response | None = None
    rsp_any: Annotated[list[Response], Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _one(self) -> Translate:
        if (self.rsp is None) == (self.rsp_any is None):
            raise ValueError("exactly one of rsp, rsp_any is needed")
        return self

    @property
    def acceptable(self) -> list[Response]:
        """Any of these answers will do."""
        return self.rsp_any or [response for response in (self.rsp,) if response is not None]


class _OfDevice(Form):
    """What says which device it is of."""

    dsv: Bit = 0
    dseg: Byte = 0
    pv: Bit = 0
    pid: ProcessId = 0


class PageRequest(_OfDevice):
    """A device asks for a page (ATS)."""

    op: Literal["page_request"]
    rid: Rid
    priv: Bit = 0
    exec: Bit = 0
    payload: Dword


class Message(_OfDevice):
    """A message to a device (ATS)."""

    code: Number
    rid: Rid
    payload: Number = 0
    inval: Number = 0


class ExpectMessages(Form):
    """What devices have been sent since the last such step."""

    op: Literal["expect_messages"]
    msgs: list[Message]


class AtsInvalCompletion(_OfDevice):
    """A device says that it has invalidated (ATS)."""

    op: Literal["ats_inval_completion"]
    of: list[Number]
    rid: Rid
    cc: Number


class AtsTimeout(Form):
    """A device has not said so in time (ATS)."""

    op: Literal["ats_timeout"]
    of: list[Number]


class Sync(Form):
    """What an IOFENCE asked to have happened: reads, writes."""

    pr: Number
    pw: Number


class ExpectSync(Form):
    """What IOFENCEs have waited for since the last such step."""

    op: Literal["expect_sync"]
    syncs: list[Sync]


Step = (
    MemWrite
    | MemRead
    | MemFault
    | MemFaultClear
    | RegWrite
    | RegRead
    | Process
    | Translate
    | PageRequest
    | ExpectMessages
    | AtsInvalCompletion
    | AtsTimeout
    | ExpectSync
)
