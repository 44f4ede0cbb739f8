"""Conformance scenarios: JSON lines that say what software, devices and memory may observe of an IOMMU.

One line is one scenario: capabilities and hardwired values, then steps in strict order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from cosim.hw.iommu.warl import Reset
from cosim.spec.pagetable import PAGE
from cosim.spec.register_map import IOHPMCTR, RegisterMap
from cosim.spec.registers import Capabilities, Fctl, Icvec, Iohpmctr, Iohpmevt, IommuMode, IommuQosid
from cosim.study.conform.json_lines import first, json_value, lines


class ConformanceError(Exception):
    """A file does not hold what it should: the text says which, where and why."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One line of a file. `steps` are checked for their form: known keys, all that are needed, numbers as int."""

    name: str
    group: str
    line: int
    capabilities: Capabilities
    reset: Reset
    steps: tuple[Mapping[str, Any], ...]


def number(value: Any) -> int:
    """An integer, or one written as a string with its base."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(f"{value!r} is not a number")
    try:
        return int(value, 0) if isinstance(value, str) else value
    except ValueError:
        raise ValueError(f"{value!r} is not a number") from None


def _upto(largest: int) -> Callable[[Any], Any]:
    def limited(value: Any) -> int:
        if not 0 <= number(value) <= largest:
            raise ValueError(f"{value!r} is not one of 0..{largest:#x}")
        return number(value)

    return limited


_BIT, _BYTE, _DWORD = _upto(1), _upto(0xFF), _upto((1 << 64) - 1)
_RID, _PROCESS_ID, _DEVICE_ID = _upto(0xFFFF), _upto(0xFFFFF), _upto(0xFFFFFF)


def _list_of(form: Callable[[Any], Any], least: int = 0) -> Callable[[Any], Any]:
    def listed(value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise ValueError(f"{value!r} is not a list")
        if len(value) < least:
            raise ValueError("there is nothing in the list")
        return [form(item) for item in value]

    return listed


def _one_of(*words: str) -> Callable[[Any], Any]:
    def word(value: Any) -> str:
        if value not in words:
            raise ValueError(f"{value!r} is none of {', '.join(words)}")
        return str(value)

    return word


def _object(form: Mapping[str, Callable[[Any], Any]], *needed: str) -> Callable[[Any], Any]:
    """An object whose keys are known, and which has those that are needed."""

    def checked(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise ValueError(f"{value!r} is not an object")
        for key in value:
            if key not in form:
                near = get_close_matches(key, form, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(form)}"
                raise ValueError(f"unknown key {key!r}; {hint}")
        if missing := [key for key in needed if key not in value]:
            raise ValueError(f"{missing[0]!r} is missing")
        found = {}
        for key, item in value.items():
            try:
                found[key] = form[key](item)
            except ValueError as error:
                raise ValueError(f"{key}: {error}") from None
        return found

    return checked


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not a string")
    return value


def _hex(value: Any) -> bytes:
    try:
        return bytes.fromhex(_text(value))
    except ValueError:
        raise ValueError(f"{value!r} is not an even number of hexadecimal digits") from None


def _store(value: Any) -> tuple[int, int, int]:
    if not isinstance(value, list) or len(value) not in (2, 3):
        raise ValueError(f"{value!r} is not [address, value] or [address, value, size]")
    size = number(value[2]) if len(value) == 3 else 8
    if size not in (4, 8, 16):
        raise ValueError(f"a store has 4, 8 or 16 bytes, not {size}")
    return _DWORD(value[0]), _upto((1 << 8 * size) - 1)(value[1]), size


def _size(value: Any) -> int:
    if number(value) not in (4, 8):
        raise ValueError(f"a register access has 4 or 8 bytes, not {value}")
    return number(value)


RESPONSE = _object(
    {
        "status": _one_of("success", "ur", "ca"),
        **dict.fromkeys(("pa", "size_max", "pbmt", "msi", "info_cause", "info_size"), number),
        **dict.fromkeys(("R", "W", "X", "U", "G", "Priv", "N", "AMA", "CXL_IO"), number),
        "mrif": _object(dict.fromkeys(("addr", "nid", "notice_ppn"), number)),
    },
    "status",
)
_DEVICE = {"rid": _RID, "dsv": _BIT, "dseg": _BYTE, "pv": _BIT, "pid": _PROCESS_ID}
_OFFSET = _upto(RegisterMap.SIZE - 4)
_MESSAGE = _object({"code": number, "payload": number, "inval": number, **_DEVICE}, "code", "rid")

STEPS: Mapping[str, Callable[[Any], Any]] = {
    "mem_write": _object({"w": _list_of(_store)}, "w"),
    "mem_read": _object({"addr": _DWORD, "data": _hex, "mask": _hex}, "addr", "data"),
    "mem_fault": _object({"kind": _one_of("access", "corrupt"), "addr": _DWORD, "len": _DWORD}, "kind", "addr", "len"),
    "mem_fault_clear": _object({}),
    "reg_write": _object({"off": _OFFSET, "size": _size, "val": _DWORD}, "off", "size", "val"),
    "reg_read": _object(
        {
            "off": _OFFSET,
            "size": _size,
            "val": number,
            "one_of": _list_of(number, 1),
            "min": number,
            "mask": number,
            "note": _text,
        },
        "off",
        "size",
    ),
    "process": _object({}),
    "translate": _object(
        {
            **dict.fromkeys(("pv", "priv", "exec", "no_write", "cxl"), _BIT),
            "did": _DEVICE_ID,
            "iova": _DWORD,
            "len": _upto(PAGE),
            "pid": _PROCESS_ID,
            "rw": _one_of("r", "w"),
            "at": _one_of("untranslated", "ats", "translated"),
            "rsp": RESPONSE,
            "rsp_any": _list_of(RESPONSE, 1),
        },
        "did",
        "iova",
        "rw",
    ),
    "page_request": _object({"priv": _BIT, "exec": _BIT, "payload": _DWORD, **_DEVICE}, "rid", "payload"),
    "expect_messages": _object({"msgs": _list_of(_MESSAGE)}, "msgs"),
    "ats_inval_completion": _object({"of": _list_of(number), "cc": number, **_DEVICE}, "of", "rid", "cc"),
    "ats_timeout": _object({"of": _list_of(number)}, "of"),
    "expect_sync": _object({"syncs": _list_of(_object({"pr": number, "pw": number}, "pr", "pw"))}, "syncs"),
}
"""The form of each step, by its `op`."""

_ALTERNATIVES = {"reg_read": ("val", "one_of", "min"), "translate": ("rsp", "rsp_any")}
"""Steps that need exactly one of these keys."""

_LARGEST = {
    "fctl": Fctl.MASK,
    "ddtp_iommu_mode": IommuMode.BARE,
    "ddtp_max_iommu_mode": IommuMode.LVL3,
    "hpm_event_counters": len(IOHPMCTR),
    "hpm_counter_bits": Iohpmctr.WIDTH,
    "hpm_max_event_id": Iohpmevt.eventid.ones,
    "icvec_bits": Icvec.civ.width,
    **dict.fromkeys(("gxl_writable", "be_writable"), 1),
    "qosid_mask": IommuQosid.MASK,
}
_RESET = _object({field.name: _upto(_LARGEST[field.name]) for field in fields(Reset)})
_SCENARIO = _object(
    {
        **dict.fromkeys(("name", "group", "note", "source"), _text),
        "caps": _object(dict.fromkeys((field.manual for field in Capabilities.FIELDS.values()), number)),
        "caps_raw": number,
        "reset": _RESET,
        "steps": _list_of(lambda step: step),
    },
    "name",
    "group",
    "caps",
    "steps",
)


def _step(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or "op" not in value:
        raise ValueError("a step is an object with an 'op'")
    op = value["op"]
    if op not in STEPS:
        near = get_close_matches(str(op), STEPS, n=1)
        raise ValueError(
            f"unknown op {op!r}; " + (f"did you mean {near[0]!r}?" if near else f"there are: {list(STEPS)}")
        )
    try:
        step: dict[str, Any] = STEPS[op]({key: item for key, item in value.items() if key != "op"})
        if op in _ALTERNATIVES and sum(key in step for key in _ALTERNATIVES[op]) != 1:
            raise ValueError(f"exactly one of {', '.join(_ALTERNATIVES[op])} is needed")
        if op == "mem_read" and len(step.get("mask", step["data"])) != len(step["data"]):
            raise ValueError("mask and data differ in length")
    except ValueError as error:
        raise ValueError(f"{op}: {error}") from None
    return {"op": op, **step}


def parse(text: str, line: int) -> Scenario:
    """The scenario that one line describes; ValueError says what is wrong with it."""
    checked = _SCENARIO(json_value(text))
    steps = []
    for index, step in enumerate(checked["steps"]):
        try:
            steps.append(_step(step))
        except ValueError as error:
            raise ValueError(f"step {index}: {error}") from None
    capabilities = Capabilities.named(checked["caps"])
    if checked.get("caps_raw", capabilities) != capabilities:
        raise ValueError(f"caps are {int(capabilities):#x}, caps_raw is {checked['caps_raw']:#x}")
    reset = Reset(**checked.get("reset", {}))
    return Scenario(checked["name"], checked["group"], line, capabilities, reset, tuple(steps))


def are_in(path: Path) -> bool:
    """Whether a file looks like one of scenarios: its first line is a JSON object with `steps`."""
    record = first(path)
    return isinstance(record, dict) and "steps" in record


def read(path: Path) -> Iterator[Scenario]:
    """The scenarios of a file; ConformanceError with its line for the first that is malformed."""
    for n, text in lines(path):
        try:
            yield parse(text, n)
        except (ValueError, TypeError) as error:
            raise ConformanceError(f"{path}:{n}: {error}") from None
