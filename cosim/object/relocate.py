"""Relocations, as data: what each kind puts where (riscv-elf-psabi, "Relocations")."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple


class Kind(NamedTuple):
    """A kind of relocation: its name, how many bytes it patches, and what it makes of them.

    ``patch(old, value, place)`` gives the new bytes as a number; `value` is the symbol plus the addend, `place` the
    address that is patched.
    """

    name: str
    size: int
    patch: Callable[[int, int, int], int]


class OutOfReach(ValueError):
    """The distance does not fit into the instruction."""


def _fits(value: int, bits: int) -> int:
    if not -(1 << bits - 1) <= value < 1 << bits - 1:
        raise OutOfReach(f"{value:#x} does not fit into {bits} bits")
    return value


def _branch(old: int, value: int, place: int) -> int:
    d = _fits(value - place, 13)
    bits = (d >> 12 & 1) << 31 | (d >> 5 & 0x3F) << 25 | (d >> 1 & 15) << 8 | (d >> 11 & 1) << 7
    return old & ~0xFE00_0F80 | bits


def _jal(old: int, value: int, place: int) -> int:
    d = _fits(value - place, 21)
    bits = (d >> 20 & 1) << 31 | (d >> 1 & 0x3FF) << 21 | (d >> 11 & 1) << 20 | (d >> 12 & 0xFF) << 12
    return old & 0xFFF | bits


def _high(old: int, distance: int) -> int:
    _fits(distance + 0x800, 32)
    return old & 0xFFF | (distance + 0x800) & 0xFFFF_F000


def _low_i(old: int, value: int) -> int:
    return old & 0xF_FFFF | (value & 0xFFF) << 20


def _low_s(old: int, value: int) -> int:
    return old & ~0xFE00_0F80 | (value >> 5 & 0x7F) << 25 | (value & 31) << 7


def _call(old: int, value: int, place: int) -> int:
    """AUIPC and JALR, one behind the other."""
    distance = value - place
    return _high(old & 0xFFFF_FFFF, distance) | _low_i(old >> 32, distance) << 32


def _rvc_branch(old: int, value: int, place: int) -> int:
    d = _fits(value - place, 9)
    bits = (d >> 8 & 1) << 12 | (d >> 3 & 3) << 10 | (d >> 6 & 3) << 5 | (d >> 1 & 3) << 3 | (d >> 5 & 1) << 2
    return old & ~0x1C7C | bits


def _rvc_jump(old: int, value: int, place: int) -> int:
    d = _fits(value - place, 12)
    order = ((11, 12), (4, 11), (9, 10), (8, 9), (10, 8), (6, 7), (7, 6), (3, 5), (2, 4), (1, 3), (5, 2))
    return old & ~0x1FFC | sum((d >> bit & 1) << to for bit, to in order)


def _unchanged(old: int, value: int, place: int) -> int:
    return old


KINDS: Mapping[int, Kind] = {
    0: Kind("R_RISCV_NONE", 0, _unchanged),
    1: Kind("R_RISCV_32", 4, lambda old, value, place: value),
    2: Kind("R_RISCV_64", 8, lambda old, value, place: value),
    16: Kind("R_RISCV_BRANCH", 4, _branch),
    17: Kind("R_RISCV_JAL", 4, _jal),
    18: Kind("R_RISCV_CALL", 8, _call),
    19: Kind("R_RISCV_CALL_PLT", 8, _call),
    23: Kind("R_RISCV_PCREL_HI20", 4, lambda old, value, place: _high(old, value - place)),
    24: Kind("R_RISCV_PCREL_LO12_I", 4, lambda old, value, place: _low_i(old, value)),
    25: Kind("R_RISCV_PCREL_LO12_S", 4, lambda old, value, place: _low_s(old, value)),
    26: Kind("R_RISCV_HI20", 4, lambda old, value, place: _high(old, _signed(value))),
    27: Kind("R_RISCV_LO12_I", 4, lambda old, value, place: _low_i(old, value)),
    28: Kind("R_RISCV_LO12_S", 4, lambda old, value, place: _low_s(old, value)),
    33: Kind("R_RISCV_ADD8", 1, lambda old, value, place: old + value),
    34: Kind("R_RISCV_ADD16", 2, lambda old, value, place: old + value),
    35: Kind("R_RISCV_ADD32", 4, lambda old, value, place: old + value),
    36: Kind("R_RISCV_ADD64", 8, lambda old, value, place: old + value),
    37: Kind("R_RISCV_SUB8", 1, lambda old, value, place: old - value),
    38: Kind("R_RISCV_SUB16", 2, lambda old, value, place: old - value),
    39: Kind("R_RISCV_SUB32", 4, lambda old, value, place: old - value),
    40: Kind("R_RISCV_SUB64", 8, lambda old, value, place: old - value),
    43: Kind("R_RISCV_ALIGN", 0, _unchanged),
    44: Kind("R_RISCV_RVC_BRANCH", 2, _rvc_branch),
    45: Kind("R_RISCV_RVC_JUMP", 2, _rvc_jump),
    51: Kind("R_RISCV_RELAX", 0, _unchanged),
    52: Kind("R_RISCV_SUB6", 1, lambda old, value, place: old & 0xC0 | (old - value) & 0x3F),
    53: Kind("R_RISCV_SET6", 1, lambda old, value, place: old & 0xC0 | value & 0x3F),
    54: Kind("R_RISCV_SET8", 1, lambda old, value, place: value),
    55: Kind("R_RISCV_SET16", 2, lambda old, value, place: value),
    56: Kind("R_RISCV_SET32", 4, lambda old, value, place: value),
    57: Kind("R_RISCV_32_PCREL", 4, lambda old, value, place: value - place),
}
"""The kinds that compilers and assemblers put into objects of a kernel; nothing is relaxed here, so that RELAX and
ALIGN leave everything as it is."""

PCREL_HI20, PCREL_LO12 = 23, (24, 25)
"""The low part names the instruction that has the high part, and not the symbol."""

SET_ULEB128, SUB_ULEB128 = 60, 61
"""They come in pairs, and patch a number of variable length."""


def _signed(value: int) -> int:
    value &= (1 << 64) - 1
    return value - (value >> 63 << 64)


def put_uleb128(data: bytearray, offset: int, value: int) -> None:
    """Write a number over one that takes as many bytes as it does now."""
    while True:
        more = data[offset] & 0x80
        data[offset] = more | value & 0x7F
        value >>= 7
        offset += 1
        if not more:
            return
