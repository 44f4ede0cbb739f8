"""What each instruction does to its operands, as data: an expression of Python for each.

Operands are unsigned numbers of 64 bits, and so is what an expression gives. In an expression, `M` is a mask of 64 bits
and `W` one of 32, `{a}` and `{b}` are the operands; functions are those of `FUNCTIONS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

M = (1 << 64) - 1
W = (1 << 32) - 1


def _word(expression: str) -> str:
    """The low 32 bits of an expression, sign-extended."""
    return f"(((({expression}) & W) ^ 0x80000000) - 0x80000000 & M)"


def _signed(operand: str) -> str:
    return f"(({operand} ^ 0x8000000000000000) - 0x8000000000000000)"


def _signed_word(operand: str) -> str:
    return f"((({operand} & W) ^ 0x80000000) - 0x80000000)"


A, B = "{a}", "{b}"

BINARY: Mapping[str, str] = {
    "add": "{a} + {b} & M",
    "sub": "{a} - {b} & M",
    "and": "{a} & {b}",
    "or": "{a} | {b}",
    "xor": "{a} ^ {b}",
    "sll": "{a} << ({b} & 63) & M",
    "srl": "{a} >> ({b} & 63)",
    "sra": f"{_signed(A)} >> ({{b}} & 63) & M",
    "slt": f"({_signed(A)} < {_signed(B)}) + 0",
    "sltu": "({a} < {b}) + 0",
    "addw": _word("{a} + {b}"),
    "subw": _word("{a} - {b}"),
    "sllw": _word("{a} << ({b} & 31)"),
    "srlw": _word("({a} & W) >> ({b} & 31)"),
    "sraw": f"{_signed_word(A)} >> ({{b}} & 31) & M",
    # M
    "mul": "{a} * {b} & M",
    "mulh": f"{_signed(A)} * {_signed(B)} >> 64 & M",
    "mulhsu": f"{_signed(A)} * {{b}} >> 64 & M",
    "mulhu": "{a} * {b} >> 64",
    "div": f"quotient({_signed(A)}, {_signed(B)}) & M",
    "divu": "quotient({a}, {b}) & M",
    "rem": f"remainder({_signed(A)}, {_signed(B)}) & M",
    "remu": "remainder({a}, {b})",
    "mulw": _word("{a} * {b}"),
    "divw": _word(f"quotient({_signed_word(A)}, {_signed_word(B)})"),
    "divuw": _word("quotient({a} & W, {b} & W)"),
    "remw": _word(f"remainder({_signed_word(A)}, {_signed_word(B)})"),
    "remuw": _word("remainder({a} & W, {b} & W)"),
    # Zba
    "add.uw": "({a} & W) + {b} & M",
    **{f"sh{amount}add": f"({{a}} << {amount}) + {{b}} & M" for amount in (1, 2, 3)},
    **{f"sh{amount}add.uw": f"(({{a}} & W) << {amount}) + {{b}} & M" for amount in (1, 2, 3)},
    "sll.uw": "({a} & W) << {b} & M",
    # Zbb
    "andn": "{a} & ~{b} & M",
    "orn": "({a} | ~{b}) & M",
    "xnor": "~({a} ^ {b}) & M",
    "min": f"{{a}} if {_signed(A)} < {_signed(B)} else {{b}}",
    "max": f"{{b}} if {_signed(A)} < {_signed(B)} else {{a}}",
    "minu": "{a} if {a} < {b} else {b}",
    "maxu": "{b} if {a} < {b} else {a}",
    "rol": "({a} << ({b} & 63) | {a} >> (-{b} & 63)) & M",
    "ror": "({a} >> ({b} & 63) | {a} << (-{b} & 63)) & M",
    "rolw": _word("({a} & W) << ({b} & 31) | ({a} & W) >> (-{b} & 31)"),
    "rorw": _word("({a} & W) >> ({b} & 31) | ({a} & W) << (-{b} & 31)"),
    # Zbs
    "bclr": "{a} & ~(1 << ({b} & 63))",
    "bext": "{a} >> ({b} & 63) & 1",
    "binv": "{a} ^ 1 << ({b} & 63)",
    "bset": "{a} | 1 << ({b} & 63)",
}
"""Of two operands; the second is a register, or the immediate of the forms of `WITH_IMMEDIATE`."""

WITH_IMMEDIATE: Mapping[str, str] = {
    **{f"{name}i": name for name in ("add", "slt", "xor", "or", "and", "sll", "srl", "sra")},
    **{f"{name}i": name for name in ("ror", "bclr", "bext", "binv", "bset")},
    "sltiu": "sltu",
    "addiw": "addw",
    "slliw": "sllw",
    "srliw": "srlw",
    "sraiw": "sraw",
    "roriw": "rorw",
    "slli.uw": "sll.uw",
}
"""Which operation of `BINARY` each form with an immediate is."""

UNARY: Mapping[str, str] = {
    "clz": "64 - {a}.bit_length()",
    "ctz": "({a} & -{a}).bit_length() - 1 if {a} else 64",
    "cpop": "{a}.bit_count()",
    "clzw": "32 - ({a} & W).bit_length()",
    "ctzw": "({a} & -{a} & W).bit_length() - 1 if {a} & W else 32",
    "cpopw": "({a} & W).bit_count()",
    "sext.b": "(({a} & 0xff) ^ 0x80) - 0x80 & M",
    "sext.h": "(({a} & 0xffff) ^ 0x8000) - 0x8000 & M",
    "zext.h": "{a} & 0xffff",
    "orc.b": "or_combined({a})",
    "rev8": "reversed_bytes({a})",
}
"""Of one operand."""

BRANCHES: Mapping[str, str] = {
    "beq": "{a} == {b}",
    "bne": "{a} != {b}",
    "bltu": "{a} < {b}",
    "bgeu": "{a} >= {b}",
    # flipping the sign bits leaves the order of signed numbers to a comparison of unsigned ones
    "blt": "{a} ^ 0x8000000000000000 < {b} ^ 0x8000000000000000",
    "bge": "{a} ^ 0x8000000000000000 >= {b} ^ 0x8000000000000000",
}
"""Whether a branch is taken."""

LOADS: Mapping[str, tuple[int, bool]] = {
    "lb": (1, True),
    "lh": (2, True),
    "lw": (4, True),
    "ld": (8, False),
    "lbu": (1, False),
    "lhu": (2, False),
    "lwu": (4, False),
}
"""Bytes, and whether what is loaded is sign-extended."""

STORES: Mapping[str, int] = {"sb": 1, "sh": 2, "sw": 4, "sd": 8}

SIZES: Mapping[str, int] = {"b": 1, "h": 2, "w": 4, "d": 8}
"""Bytes of an atomic, by its suffix."""


def extended(expression: str, size: int) -> str:
    """An unsigned number of `size` bytes, sign-extended."""
    top = 1 << 8 * size - 1
    return expression if size == 8 else f"({expression} ^ {top:#x}) - {top:#x} & M"


def quotient(a: int, b: int) -> int:
    """Division as RISC-V rounds it, towards zero; by zero it gives all ones."""
    if not b:
        return -1
    magnitude = abs(a) // abs(b)
    return magnitude if (a < 0) == (b < 0) else -magnitude


def remainder(a: int, b: int) -> int:
    """What `quotient` leaves, with the sign of `a`; all of `a` where `b` is zero."""
    return a - b * quotient(a, b) if b else a


def or_combined(value: int) -> int:
    """Each byte all ones, unless it is zero (Zbb, ORC.B)."""
    return sum(0xFF << place for place in range(0, 64, 8) if value >> place & 0xFF)


def reversed_bytes(value: int) -> int:
    """The bytes in the opposite order (Zbb, REV8)."""
    return int.from_bytes(value.to_bytes(8, "little"), "big")


FUNCTIONS: Mapping[str, int | Callable[..., int]] = {
    "M": M,
    "W": W,
    "quotient": quotient,
    "remainder": remainder,
    "or_combined": or_combined,
    "reversed_bytes": reversed_bytes,
}
"""What expressions refer to by name."""
