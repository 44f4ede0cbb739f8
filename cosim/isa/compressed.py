"""The compressed instructions, as data: the pattern of each, and what it stands for (Unprivileged, "C" extension)."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from cosim.isa.instruction import Instruction, UnknownInstruction


class Form(NamedTuple):
    """A compressed form: its bits from 15 down to 0, the bits of its immediate in their order, and its meaning.

    In `bits`, `d`, `s` and `t` are registers, of 3 bits (8 to 15) or of 5, and `i` the immediate. `immediate` names
    the bits that these are, and begins with a sign if it is extended. `meaning` is a name and its operands: of rd,
    rs1, rs2 and imm those that it has, a register by its letter or its number. `not_zero` are what may not be 0.
    """

    name: str
    bits: str
    immediate: str
    meaning: str
    operands: str
    not_zero: str = ""


FORMS = (
    Form("c.addi4spn", "000 iiiiiiii ddd 00", "5:4|9:6|2|3", "addi", "rd=d rs1=2 imm", "i"),
    Form("c.lw", "010 iii sss ii ddd 00", "5:3|2|6", "lw", "rd=d rs1=s imm"),
    Form("c.ld", "011 iii sss ii ddd 00", "5:3|7:6", "ld", "rd=d rs1=s imm"),
    Form("c.sw", "110 iii sss ii ttt 00", "5:3|2|6", "sw", "rs1=s rs2=t imm"),
    Form("c.sd", "111 iii sss ii ttt 00", "5:3|7:6", "sd", "rs1=s rs2=t imm"),
    Form("c.addi", "000 i ddddd iiiii 01", "-5|4:0", "addi", "rd=d rs1=d imm"),
    Form("c.addiw", "001 i ddddd iiiii 01", "-5|4:0", "addiw", "rd=d rs1=d imm", "d"),
    Form("c.li", "010 i ddddd iiiii 01", "-5|4:0", "addi", "rd=d rs1=0 imm"),
    Form("c.addi16sp", "011 i 00010 iiiii 01", "-9|4|6|8:7|5", "addi", "rd=2 rs1=2 imm", "i"),
    Form("c.lui", "011 i ddddd iiiii 01", "-17|16:12", "lui", "rd=d imm", "i"),
    Form("c.srli", "100 i 00 ddd iiiii 01", "5|4:0", "srli", "rd=d rs1=d imm"),
    Form("c.srai", "100 i 01 ddd iiiii 01", "5|4:0", "srai", "rd=d rs1=d imm"),
    Form("c.andi", "100 i 10 ddd iiiii 01", "-5|4:0", "andi", "rd=d rs1=d imm"),
    Form("c.sub", "100 0 11 ddd 00 ttt 01", "", "sub", "rd=d rs1=d rs2=t"),
    Form("c.xor", "100 0 11 ddd 01 ttt 01", "", "xor", "rd=d rs1=d rs2=t"),
    Form("c.or", "100 0 11 ddd 10 ttt 01", "", "or", "rd=d rs1=d rs2=t"),
    Form("c.and", "100 0 11 ddd 11 ttt 01", "", "and", "rd=d rs1=d rs2=t"),
    Form("c.subw", "100 1 11 ddd 00 ttt 01", "", "subw", "rd=d rs1=d rs2=t"),
    Form("c.addw", "100 1 11 ddd 01 ttt 01", "", "addw", "rd=d rs1=d rs2=t"),
    Form("c.j", "101 iiiiiiiiiii 01", "-11|4|9:8|10|6|7|3:1|5", "jal", "rd=0 imm"),
    Form("c.beqz", "110 iii sss iiiii 01", "-8|4:3|7:6|2:1|5", "beq", "rs1=s rs2=0 imm"),
    Form("c.bnez", "111 iii sss iiiii 01", "-8|4:3|7:6|2:1|5", "bne", "rs1=s rs2=0 imm"),
    Form("c.slli", "000 i ddddd iiiii 10", "5|4:0", "slli", "rd=d rs1=d imm"),
    Form("c.lwsp", "010 i ddddd iiiii 10", "5|4:2|7:6", "lw", "rd=d rs1=2 imm", "d"),
    Form("c.ldsp", "011 i ddddd iiiii 10", "5|4:3|8:6", "ld", "rd=d rs1=2 imm", "d"),
    Form("c.jr", "100 0 sssss 00000 10", "", "jalr", "rd=0 rs1=s", "s"),
    Form("c.mv", "100 0 ddddd ttttt 10", "", "add", "rd=d rs1=0 rs2=t", "t"),
    Form("c.ebreak", "100 1 00000 00000 10", "", "ebreak", ""),
    Form("c.jalr", "100 1 sssss 00000 10", "", "jalr", "rd=1 rs1=s", "s"),
    Form("c.add", "100 1 ddddd ttttt 10", "", "add", "rd=d rs1=d rs2=t", "t"),
    Form("c.swsp", "110 iiiiii ttttt 10", "5:2|7:6", "sw", "rs1=2 rs2=t imm"),
    Form("c.sdsp", "111 iiiiii ttttt 10", "5:3|8:6", "sd", "rs1=2 rs2=t imm"),
)
"""All forms of RV64 without F and D; of two that match, the first is meant."""


class _Places(NamedTuple):
    """A form's fixed bits and, for each letter, its bits as (place, weight)."""

    form: Form
    mask: int
    match: int
    letters: dict[str, list[tuple[int, int]]]


def _places(form: Form) -> _Places:
    letters: dict[str, list[tuple[int, int]]] = {}
    mask = match = 0
    text = form.bits.replace(" ", "")
    assert len(text) == 16, form
    at: dict[str, list[int]] = {}
    for index, letter in enumerate(text):
        place = 15 - index
        if letter in "01":
            mask |= 1 << place
            match |= int(letter) << place
        else:
            at.setdefault(letter, []).append(place)
    for letter, places in at.items():
        weights = list(_weights(form.immediate)) if letter == "i" else list(reversed(range(len(places))))
        assert len(weights) == len(places), form
        letters[letter] = list(zip(places, weights, strict=True))
    return _Places(form, mask, match, letters)


def _weights(immediate: str) -> list[int]:
    found: list[int] = []
    for part in immediate.removeprefix("-").split("|"):
        first, _, last = part.partition(":")
        found += range(int(first), int(last or first) - 1, -1)
    return found


@cache
def _table() -> tuple[_Places, ...]:
    return tuple(map(_places, FORMS))


def form_of(bits: int) -> Form:
    """The form that 16 bits have. UnknownInstruction."""
    return _found(bits)[0].form


def expand(bits: int) -> Instruction:
    """The instruction that 16 bits stand for. UnknownInstruction."""
    places, values = _found(bits)
    operands = dict.fromkeys(("rd", "rs1", "rs2", "imm"), 0)
    for operand in places.form.operands.split():
        field, _, source = operand.partition("=")
        operands[field] = values["i"] if field == "imm" else values[source] if source.isalpha() else int(source)
    return Instruction(places.form.meaning, operands["rd"], operands["rs1"], operands["rs2"], operands["imm"], 2)


def _found(bits: int) -> tuple[_Places, dict[str, int]]:
    for places in _table():
        if bits & places.mask == places.match:
            values = {letter: _value(bits, places, letter) for letter in places.letters}
            if all(_raw(bits, places, letter) for letter in places.form.not_zero):
                return places, values
    raise UnknownInstruction(bits, 2)


def _raw(bits: int, places: _Places, letter: str) -> int:
    return sum((bits >> place & 1) << weight for place, weight in places.letters[letter])


def _value(bits: int, places: _Places, letter: str) -> int:
    value = _raw(bits, places, letter)
    if letter != "i":
        return value + 8 if len(places.letters[letter]) == 3 else value
    if places.form.immediate.startswith("-"):
        top = 1 << max(weight for _, weight in places.letters[letter])
        value = (value ^ top) - top
    return value
