"""From bits to instructions."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cosim.isa.compressed import expand
from cosim.isa.encodings import ENCODINGS, Encoding
from cosim.isa.instruction import Instruction, UnknownInstruction


def decode(word: int) -> Instruction:
    """The instruction that begins with the low bits of `word`, of which 16 or 32 count. UnknownInstruction."""
    if word & 3 != 3:
        return expand(word & 0xFFFF)
    word &= 0xFFFF_FFFF
    for encoding in _BY_OPCODE.get(word & 0x7F, ()):
        if word & encoding.mask == encoding.match:
            return _FORMS[encoding.form](encoding.name, word)
    raise UnknownInstruction(word, 4)


def _signed(value: int, bits: int) -> int:
    top = 1 << bits - 1
    return (value ^ top) - top


def _rd(word: int) -> int:
    return word >> 7 & 31


def _rs1(word: int) -> int:
    return word >> 15 & 31


def _rs2(word: int) -> int:
    return word >> 20 & 31


def _immediate(name: str, word: int) -> Instruction:
    return Instruction(name, _rd(word), _rs1(word), imm=_signed(word >> 20, 12))


def _store(name: str, word: int) -> Instruction:
    return Instruction(name, rs1=_rs1(word), rs2=_rs2(word), imm=_signed(word >> 25 << 5 | _rd(word), 12))


def _branch(name: str, word: int) -> Instruction:
    distance = (word >> 31) << 12 | (word >> 7 & 1) << 11 | (word >> 25 & 0x3F) << 5 | (word >> 8 & 15) << 1
    return Instruction(name, rs1=_rs1(word), rs2=_rs2(word), imm=_signed(distance, 13))


def _jump(name: str, word: int) -> Instruction:
    distance = (word >> 31) << 20 | (word >> 12 & 0xFF) << 12 | (word >> 20 & 1) << 11 | (word >> 21 & 0x3FF) << 1
    return Instruction(name, _rd(word), imm=_signed(distance, 21))


def _amo(name: str, word: int) -> Instruction:
    acquire, release = bool(word >> 26 & 1), bool(word >> 25 & 1)
    return Instruction(name, _rd(word), _rs1(word), _rs2(word), acquire=acquire, release=release)


_FORMS: Mapping[str, Callable[[str, int], Instruction]] = {
    "none": lambda name, word: Instruction(name),
    "fence": lambda name, word: Instruction(name, _rd(word), _rs1(word), imm=word >> 20),
    "unary": lambda name, word: Instruction(name, _rd(word), _rs1(word)),
    "registers": lambda name, word: Instruction(name, _rd(word), _rs1(word), _rs2(word)),
    "shift6": lambda name, word: Instruction(name, _rd(word), _rs1(word), imm=word >> 20 & 63),
    "shift5": lambda name, word: Instruction(name, _rd(word), _rs1(word), imm=word >> 20 & 31),
    "immediate": _immediate,
    "store": _store,
    "branch": _branch,
    "jump": _jump,
    "upper": lambda name, word: Instruction(name, _rd(word), imm=_signed(word & 0xFFFF_F000, 32)),
    "csr": lambda name, word: Instruction(name, _rd(word), _rs1(word), imm=word >> 20),
    "amo": _amo,
}
"""Where the operands of each form are."""

_BY_OPCODE: Mapping[int, list[Encoding]] = {
    opcode: [row for row in ENCODINGS if row.match & 0x7F == opcode]
    for opcode in {row.match & 0x7F for row in ENCODINGS}
}
