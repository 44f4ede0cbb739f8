"""The 32-bit instructions, as data: a row for each with its opcode and function fields (Unprivileged, "RV32/64G
Instruction Set Listings", and the listings of the other extensions)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple


class Encoding(NamedTuple):
    """An instruction's fixed bits: those of `mask` are `match`. `form` says where its operands are."""

    name: str
    form: str
    mask: int
    match: int


LOAD, MISC_MEM, OP_IMM, AUIPC, OP_IMM_32, STORE, AMO = 0x03, 0x0F, 0x13, 0x17, 0x1B, 0x23, 0x2F
OP, LUI, OP_32, BRANCH, JALR, JAL, SYSTEM = 0x33, 0x37, 0x3B, 0x63, 0x67, 0x6F, 0x73

REGISTERS = {  # name: opcode, funct7, funct3
    **{
        name: (OP, 0x00, funct3) for funct3, name in enumerate(("add", "sll", "slt", "sltu", "xor", "srl", "or", "and"))
    },
    "sub": (OP, 0x20, 0),
    "sra": (OP, 0x20, 5),
    "addw": (OP_32, 0x00, 0),
    "subw": (OP_32, 0x20, 0),
    "sllw": (OP_32, 0x00, 1),
    "srlw": (OP_32, 0x00, 5),
    "sraw": (OP_32, 0x20, 5),
    # M
    **{
        name: (OP, 0x01, funct3)
        for funct3, name in enumerate(("mul", "mulh", "mulhsu", "mulhu", "div", "divu", "rem", "remu"))
    },
    "mulw": (OP_32, 0x01, 0),
    "divw": (OP_32, 0x01, 4),
    "divuw": (OP_32, 0x01, 5),
    "remw": (OP_32, 0x01, 6),
    "remuw": (OP_32, 0x01, 7),
    # Zba
    "add.uw": (OP_32, 0x04, 0),
    "sh1add": (OP, 0x10, 2),
    "sh2add": (OP, 0x10, 4),
    "sh3add": (OP, 0x10, 6),
    "sh1add.uw": (OP_32, 0x10, 2),
    "sh2add.uw": (OP_32, 0x10, 4),
    "sh3add.uw": (OP_32, 0x10, 6),
    # Zbb
    "andn": (OP, 0x20, 7),
    "orn": (OP, 0x20, 6),
    "xnor": (OP, 0x20, 4),
    "min": (OP, 0x05, 4),
    "minu": (OP, 0x05, 5),
    "max": (OP, 0x05, 6),
    "maxu": (OP, 0x05, 7),
    "rol": (OP, 0x30, 1),
    "ror": (OP, 0x30, 5),
    "rolw": (OP_32, 0x30, 1),
    "rorw": (OP_32, 0x30, 5),
    # Zbs
    "bclr": (OP, 0x24, 1),
    "bext": (OP, 0x24, 5),
    "binv": (OP, 0x34, 1),
    "bset": (OP, 0x14, 1),
}
"""Two registers to one."""

IMMEDIATES = {  # name: opcode, funct3
    "addi": (OP_IMM, 0),
    "slti": (OP_IMM, 2),
    "sltiu": (OP_IMM, 3),
    "xori": (OP_IMM, 4),
    "ori": (OP_IMM, 6),
    "andi": (OP_IMM, 7),
    "addiw": (OP_IMM_32, 0),
    "jalr": (JALR, 0),
    **{name: (LOAD, funct3) for funct3, name in enumerate(("lb", "lh", "lw", "ld", "lbu", "lhu", "lwu"))},
}
"""A register and a signed immediate of 12 bits."""

SHIFTS = {  # name: opcode, funct7 with the bits of the amount 0, funct3, bits of the amount
    "slli": (OP_IMM, 0x00, 1, 6),
    "srli": (OP_IMM, 0x00, 5, 6),
    "srai": (OP_IMM, 0x20, 5, 6),
    "slliw": (OP_IMM_32, 0x00, 1, 5),
    "srliw": (OP_IMM_32, 0x00, 5, 5),
    "sraiw": (OP_IMM_32, 0x20, 5, 5),
    "slli.uw": (OP_IMM_32, 0x04, 1, 6),
    "rori": (OP_IMM, 0x30, 5, 6),
    "roriw": (OP_IMM_32, 0x30, 5, 5),
    "bclri": (OP_IMM, 0x24, 1, 6),
    "bexti": (OP_IMM, 0x24, 5, 6),
    "binvi": (OP_IMM, 0x34, 1, 6),
    "bseti": (OP_IMM, 0x14, 1, 6),
}
"""A register and an amount."""

UNARY = {  # name: opcode, bits 31:20, funct3
    "clz": (OP_IMM, 0x600, 1),
    "ctz": (OP_IMM, 0x601, 1),
    "cpop": (OP_IMM, 0x602, 1),
    "sext.b": (OP_IMM, 0x604, 1),
    "sext.h": (OP_IMM, 0x605, 1),
    "clzw": (OP_IMM_32, 0x600, 1),
    "ctzw": (OP_IMM_32, 0x601, 1),
    "cpopw": (OP_IMM_32, 0x602, 1),
    "zext.h": (OP_32, 0x080, 4),
    "orc.b": (OP_IMM, 0x287, 5),
    "rev8": (OP_IMM, 0x6B8, 5),
}
"""One register to one."""

STORES = {"sb": 0, "sh": 1, "sw": 2, "sd": 3}
BRANCHES = {"beq": 0, "bne": 1, "blt": 4, "bge": 5, "bltu": 6, "bgeu": 7}
CSRS = {"csrrw": 1, "csrrs": 2, "csrrc": 3, "csrrwi": 5, "csrrsi": 6, "csrrci": 7}
AMOS = {
    "amoadd": 0x00,
    "amoswap": 0x01,
    "amocas": 0x05,
    "amoxor": 0x04,
    "amoor": 0x08,
    "amoand": 0x0C,
    "amomin": 0x10,
    "amomax": 0x14,
    "amominu": 0x18,
    "amomaxu": 0x1C,
}
"""By their funct5; each with the widths of `WIDTHS`."""
WIDTHS = {"b": 0, "h": 1, "w": 2, "d": 3}
"""Suffixes by funct3; those of bytes and halfwords are of Zabha."""
FIXED = {"ecall": 0x00000073, "ebreak": 0x00100073, "wfi": 0x10500073, "fence.i": 0x0000100F, "pause": 0x0100000F}
"""Instructions without an operand; `pause` is a hint within FENCE (Zihintpause)."""


def encodings() -> Iterator[Encoding]:
    """Every row, the more special ones first where two match."""
    for name, word in FIXED.items():
        yield Encoding(name, "none", 0xFFFF_FFFF, word)
    yield Encoding("fence", "fence", 0x707F, MISC_MEM)
    for name, (opcode, funct12, funct3) in UNARY.items():
        yield Encoding(name, "unary", 0xFFF0_707F, funct12 << 20 | funct3 << 12 | opcode)
    for name, (opcode, funct7, funct3) in REGISTERS.items():
        yield Encoding(name, "registers", 0xFE00_707F, funct7 << 25 | funct3 << 12 | opcode)
    for name, (opcode, funct7, funct3, bits) in SHIFTS.items():
        mask = 0xFC00_707F if bits == 6 else 0xFE00_707F
        yield Encoding(name, f"shift{bits}", mask, funct7 << 25 | funct3 << 12 | opcode)
    for name, (opcode, funct3) in IMMEDIATES.items():
        yield Encoding(name, "immediate", 0x707F, funct3 << 12 | opcode)
    for name, funct3 in STORES.items():
        yield Encoding(name, "store", 0x707F, funct3 << 12 | STORE)
    for name, funct3 in BRANCHES.items():
        yield Encoding(name, "branch", 0x707F, funct3 << 12 | BRANCH)
    for name, funct3 in CSRS.items():
        yield Encoding(name, "csr", 0x707F, funct3 << 12 | SYSTEM)
    yield Encoding("lui", "upper", 0x7F, LUI)
    yield Encoding("auipc", "upper", 0x7F, AUIPC)
    yield Encoding("jal", "jump", 0x7F, JAL)
    for suffix, funct3 in WIDTHS.items():
        for name, funct5 in AMOS.items():
            yield Encoding(f"{name}.{suffix}", "amo", 0xF800_707F, funct5 << 27 | funct3 << 12 | AMO)
        if funct3 >= WIDTHS["w"]:
            yield Encoding(f"lr.{suffix}", "amo", 0xF9F0_707F, 0x02 << 27 | funct3 << 12 | AMO)
            yield Encoding(f"sc.{suffix}", "amo", 0xF800_707F, 0x03 << 27 | funct3 << 12 | AMO)


ENCODINGS = tuple(encodings())
"""All 32-bit instructions."""
