"""Litmus tests as they stand in their files: JSON Lines, one test a line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from cosim.hw.cpu.ordering import MODELS
from cosim.sim.operations import Amo
from cosim.spec.pagetable import PAGE
from cosim.study.conform.json_lines import first, json_value, lines
from cosim.study.conform.litmus.checks import OPERANDS, check

MEMORY_BASE, DEVICE_BASE = 0x8000_0000, 0x0300_0000
_LINE, _WORD = 64, 4
_MASK = 0xFFFF_FFFF

Outcome = tuple[int, ...]
"""The observed values, unsigned, in the order of `Test.observe`."""


class LitmusError(ValueError):
    """A file is not one of litmus tests; the message says where, what and which rule."""


@dataclass(frozen=True)
class Instruction:
    """One operation of a thread; `value` is a number or the name of a register of the same thread.

    The registers that its address, its data and the branches before it depend on are those of the same thread.
    """

    op: str
    location: str = ""
    register: str = ""
    value: int | str = 0
    expect: int = 0
    kind: Amo = Amo.SWAP
    acquire: bool = False
    release: bool = False
    predecessor: str = ""
    successor: str = ""
    address_from: tuple[str, ...] = ()
    data_from: tuple[str, ...] = ()
    control_from: tuple[str, ...] = ()

    @property
    def needs(self) -> tuple[str, ...]:
        """The registers that must be known before it executes."""
        value = (self.value,) if isinstance(self.value, str) else ()
        return (*value, *self.address_from, *self.data_from, *self.control_from)

    def stored(self, registers: Mapping[str, int]) -> int:
        """What it stores, with the registers of its thread as they are then."""
        return registers[self.value] if isinstance(self.value, str) else self.value


@dataclass(frozen=True)
class Test:
    """A program, what is observed when it is over, and what each model allows to be observed.

    `unreached` is how many of the outcomes that RVWMO allows the model of in-order issue (M2) is known to miss; None
    where nobody counted. A state that does not meet `filter` is not looked at.
    """

    __test__ = False

    name: str
    shape: str
    features: tuple[str, ...]
    threads: tuple[tuple[Instruction, ...], ...]
    devices: frozenset[int]
    initial: Mapping[str, int]
    observe: tuple[str, ...]
    filter: Mapping[str, int]
    allowed: Mapping[str, frozenset[Outcome]]
    unreached: int | None

    @cached_property
    def addresses(self) -> dict[str, int]:
        """Where each location lies: memory in lines of their own, the registers of a device in a page of their own."""
        pages: dict[str, int] = {}
        found: dict[str, int] = {}
        for index, location in enumerate(sorted(self.initial)):
            device, _, register = location.partition(".")
            if register:
                page = pages.setdefault(device, DEVICE_BASE + PAGE * len(pages))
                found[location] = page + _WORD * index
            else:
                found[location] = MEMORY_BASE + _LINE * index
        return found

    @cached_property
    def lasting(self) -> tuple[tuple[frozenset[str], ...], ...]:
        """For each thread and position: the registers that a dependency from there on refers to."""
        result = []
        for thread in self.threads:
            needed: frozenset[str] = frozenset()
            backwards = [needed]
            for instruction in reversed(thread):
                needed |= {*instruction.address_from, *instruction.data_from}
                backwards.append(needed)
            result.append(tuple(reversed(backwards)))
        return tuple(result)

    def outcome(self, registers: list[dict[str, int]], words: Mapping[str, int]) -> Outcome | None:
        """The observed values of a final state; None if the filter excludes it."""

        def value(name: str) -> int:
            thread, colon, register = name.partition(":")
            return int(registers[int(thread)][register] if colon else words[name])

        if any(value(name) != wanted for name, wanted in self.filter.items()):
            return None
        return tuple(value(name) for name in self.observe)

    def show(self, outcome: Outcome) -> str:
        """``0:r0=1 y=-2``: words are shown as signed numbers."""
        signed = [value - (value >> 31 << 32) for value in outcome]
        return " ".join(f"{name}={value}" for name, value in zip(self.observe, signed, strict=True))


def are_in(path: Path) -> bool:
    """Whether a file looks like one of litmus tests: its first line is a JSON object with `threads` and `allowed`."""
    record = first(path)
    return isinstance(record, dict) and {"threads", "allowed"} <= record.keys()


def load(path: Path) -> Iterator[Test]:
    """The tests of a file. Raises LitmusError, UnreadableError."""
    for number, text in lines(path):
        try:
            yield _test(json_value(text))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise LitmusError(f"{path}:{number}: not a litmus test: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    return f"it has no {error.args[0]!r}" if isinstance(error, KeyError) else str(error)


_KINDS = {str: "text", dict: "object", list: "list"}
_FIELDS = {"threads": list, "name": str, "init": dict, "observe": list, "allowed": dict}


def _test(record: dict[str, Any]) -> Test:
    if not isinstance(record, dict):
        raise ValueError("it is no object")
    for field, kind in _FIELDS.items():
        if not isinstance(record[field], kind):
            raise ValueError(f"{field} is no {_KINDS[kind]}")
    agents = record.get("agents") or ["hart"] * len(record["threads"])
    if len(agents) != len(record["threads"]) or not {"hart", "device"}.issuperset(agents):
        raise ValueError("agents has not hart or device for each of threads")
    unreached = record.get("unreached")
    unknown = record["allowed"].keys() - MODELS.keys()
    if unknown:
        raise ValueError(f"allowed: {', '.join(sorted(unknown))} is no memory model; there are: {', '.join(MODELS)}")
    test = Test(
        name=record["name"],
        shape=record.get("shape", record["name"].partition("+")[0]),
        features=tuple(record.get("features", ())),
        threads=tuple(
            tuple(_instruction(f"thread {number}, operation {place}", op) for place, op in enumerate(thread))
            for number, thread in enumerate(record["threads"])
        ),
        devices=frozenset(index for index, agent in enumerate(agents) if agent == "device"),
        initial=_words(record["init"]),
        observe=tuple(record["observe"]),
        filter=_words(record.get("filter") or {}),
        allowed={
            model: frozenset(tuple(map(_word, outcome)) for outcome in outcomes)
            for model, outcomes in record["allowed"].items()
        },
        unreached=None if unreached is None else unreached["inorder_stale"],
    )
    check(test)
    return test


def _instruction(where: str, record: dict[str, Any]) -> Instruction:
    if not isinstance(record, dict):
        raise ValueError(f"{where}: {record!r} is no object")
    op = record["op"]
    for field in OPERANDS.get(op, ()):
        if field not in record:
            raise ValueError(f"{where}: {op} has no {field!r}")
    value = record.get("val", 0)
    kind = "CAS" if op == "cas" else str(record.get("kind", "swap")).upper()
    if kind not in Amo.__members__:
        raise ValueError(
            f"{where}: {record['kind']} is no kind of atomic; there are: {', '.join(Amo.__members__).lower()}"
        )
    return Instruction(
        op=op,
        location=record.get("loc", ""),
        register=record.get("reg", ""),
        value=value if isinstance(value, str) else _word(value),
        expect=_word(record.get("expect", 0)),
        kind=Amo[kind],
        acquire=bool(record.get("aq")),
        release=bool(record.get("rl")),
        predecessor=record.get("pred", ""),
        successor=record.get("succ", ""),
        address_from=tuple(record.get("addr_dep") or ()),
        data_from=tuple(record.get("data_dep") or ()),
        control_from=tuple(record.get("ctrl_dep") or ()),
    )


def _word(value: object) -> int:
    """The 32 bits of a word of memory, however their sign was written."""
    if not isinstance(value, int):
        raise ValueError(f"{value!r} is no value of a word")
    return value & _MASK


def _words(values: Mapping[str, object]) -> dict[str, int]:
    return {name: _word(value) for name, value in values.items()}
