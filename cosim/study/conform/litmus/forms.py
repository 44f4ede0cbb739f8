"""Litmus tests as they stand in their files: JSON Lines, one test a line. Keys that nobody needs are left alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, PlainValidator, ValidationError, model_validator

from cosim.hw.cpu.ordering import MODELS
from cosim.sim.operations import Amo
from cosim.study.conform.json_lines import json_value, lines
from cosim.study.conform.litmus.checks import OPERANDS, check
from cosim.study.conform.litmus.programs import Instruction, Test

_MASK = 0xFFFF_FFFF
_KINDS = [kind.name.lower() for kind in Amo]


class LitmusError(ValueError):
    """A file is not one of litmus tests; the message says where, what and which rule."""


def _word(value: object) -> int:
    """The 32 bits of a word of memory, however their sign was written."""
    if not isinstance(value, int):
        raise ValueError(f"{value!r} is no value of a word")
    return value & _MASK


def _operand(value: object) -> int | str:
    return value if isinstance(value, str) else _word(value)


def _kind(value: object) -> Amo:
    if value not in _KINDS:
        raise ValueError(f"{value} is no kind of atomic; there are: {', '.join(_KINDS)}")
    return Amo[str(value).upper()]


Word = Annotated[int, PlainValidator(_word)]
Operand = Annotated[int | str, PlainValidator(_operand)]
"""A word, or the name of a register of the same thread."""


class Record(BaseModel):
    """An object of a file. Keys that are not its own are commentary."""

    model_config = ConfigDict(frozen=True, strict=True)


class InstructionForm(Record):
    """One operation. `OPERANDS` says what each kind needs; `checks` whether its names are known."""

    op: str
    loc: str = ""
    reg: str = ""
    val: Operand = 0
    expect: Word = 0
    kind: Annotated[Amo, PlainValidator(_kind)] = Amo.SWAP
    aq: bool = False
    rl: bool = False
    pred: str = ""
    succ: str = ""
    addr_dep: list[str] | None = None
    data_dep: list[str] | None = None
    ctrl_dep: list[str] | None = None

    @model_validator(mode="after")
    def _operands(self) -> InstructionForm:
        for key in OPERANDS.get(self.op, ()):
            if key not in self.model_fields_set:
                raise ValueError(f"{self.op} has no {key!r}")
        return self

    def instruction(self) -> Instruction:
        """The same, as it is executed."""
        return Instruction(
            op=self.op,
            location=self.loc,
            register=self.reg,
            value=self.val,
            expect=self.expect,
            kind=Amo.CAS if self.op == "cas" else self.kind,
            acquire=self.aq,
            release=self.rl,
            predecessor=self.pred,
            successor=self.succ,
            address_from=tuple(self.addr_dep or ()),
            data_from=tuple(self.data_dep or ()),
            control_from=tuple(self.ctrl_dep or ()),
        )


class UnreachedForm(Record):
    """How many of the outcomes that RVWMO allows each model of a hart is known to miss."""

    inorder_stale: int
    """That of M2, the hart of `hw.cpu`."""


class TestForm(Record):
    """One line of a file."""

    threads: list[list[InstructionForm]]
    name: str
    init: dict[str, Word]
    observe: list[str]
    allowed: dict[str, list[list[Word]]]
    shape: str | None = None
    features: list[str] = []
    agents: list[Literal["hart", "device"]] | None = None
    filter: dict[str, Word] | None = None
    unreached: UnreachedForm | None = None

    @model_validator(mode="after")
    def _fitting(self) -> TestForm:
        if self.agents and len(self.agents) != len(self.threads):
            raise ValueError(_AGENTS)
        if unknown := self.allowed.keys() - MODELS.keys():
            names = ", ".join(sorted(unknown))
            raise ValueError(f"allowed: {names} is no memory model; there are: {', '.join(MODELS)}")
        return self

    def test(self) -> Test:
        """The same, as it is run; ValueError if its names do not fit together."""
        test = Test(
            name=self.name,
            shape=self.name.partition("+")[0] if self.shape is None else self.shape,
            features=tuple(self.features),
            threads=tuple(tuple(form.instruction() for form in thread) for thread in self.threads),
            devices=frozenset(index for index, agent in enumerate(self.agents or ()) if agent == "device"),
            initial=self.init,
            observe=tuple(self.observe),
            filter=self.filter or {},
            allowed={model: frozenset(map(tuple, outcomes)) for model, outcomes in self.allowed.items()},
            unreached=None if self.unreached is None else self.unreached.inorder_stale,
        )
        check(test)
        return test


_AGENTS = "agents has not hart or device for each of threads"


def are_in(record: object) -> bool:
    """Whether the first line of a file looks like a litmus test: a JSON object with `threads` and `allowed`."""
    return isinstance(record, dict) and {"threads", "allowed"} <= record.keys()


def load(path: Path, numbered: Iterable[tuple[int, str]] | None = None) -> Iterator[Test]:
    """The tests of a file, of which `numbered` are the lines if it is open already. LitmusError, UnreadableError."""
    for number, text in lines(path) if numbered is None else numbered:
        try:
            yield TestForm.model_validate(json_value(text)).test()
        except ValidationError as error:
            told = _told(error.errors(include_url=False)[0])
            raise LitmusError(f"{path}:{number}: not a litmus test: {told}") from None
        except ValueError as error:
            raise LitmusError(f"{path}:{number}: not a litmus test: {error}") from None


_TYPES = {
    "list_type": "list",
    "dict_type": "object",
    "model_type": "object",
    "string_type": "text",
    "int_type": "number",
    "bool_type": "truth value",
}


def _told(detail: Mapping[str, Any]) -> str:
    """What a finding of pydantic says, behind its place."""
    place, kind = detail["loc"], detail["type"]
    if place[:1] == ("agents",):
        return _AGENTS
    names = [key for key in place if isinstance(key, str)]
    if place[:1] == ("threads",) and len(place) > 1:
        names[0] = ", operation ".join(map(str, (f"thread {place[1]}", *place[2:3])))
    if kind == "missing":
        *names, key = names
        text = f"it has no {key!r}"
    elif kind not in _TYPES:
        text = str(detail.get("ctx", {}).get("error", detail["msg"]))
    elif place and isinstance(place[-1], str):
        *names, key = names
        text = f"{key} is no {_TYPES[kind]}"
    else:
        text = f"{repr(detail['input']) if place else 'it'} is no {_TYPES[kind]}"
    return ": ".join([*names, text])
