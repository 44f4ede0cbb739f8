"""What no other implementation is at hand for, against the manual's own words; and what translated blocks tell."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from cosim.isa.decode import decode
from cosim.isa.encodings import AMO, AMOS, ENCODINGS, WIDTHS
from cosim.isa.instruction import UnknownInstruction
from cosim.isa.semantics import M
from cosim.isa.translate import write
from tests.isa.lone_hart import LoneHart, Trapped

BITS = range(64)


def bit(value: int, place: int) -> int:
    return value >> place & 1


def of_bits(value: Callable[[int], int], count: int = 64) -> int:
    return sum(value(place) << place for place in range(count))


def signed(value: int, bits: int = 64) -> int:
    return int.from_bytes((value & (1 << bits) - 1).to_bytes(bits // 8, "little"), "little", signed=True)


def zeros(places: list[int], value: int) -> int:
    """How many of the places in turn are 0 before the first that is 1."""
    return next((count for count, place in enumerate(places) if bit(value, place)), len(places))


BY_THE_MANUAL: dict[str, Callable[[int, int], int]] = {
    "add.uw": lambda a, b: b + a % 2**32,
    **{f"sh{n}add": lambda a, b, n=n: b + a * 2**n for n in (1, 2, 3)},  # type: ignore[misc]
    **{f"sh{n}add.uw": lambda a, b, n=n: b + a % 2**32 * 2**n for n in (1, 2, 3)},  # type: ignore[misc]
    "slli.uw": lambda a, b: a % 2**32 * 2**b,
    "andn": lambda a, b: of_bits(lambda i: bit(a, i) & (1 - bit(b, i))),
    "orn": lambda a, b: of_bits(lambda i: bit(a, i) | (1 - bit(b, i))),
    "xnor": lambda a, b: of_bits(lambda i: int(bit(a, i) == bit(b, i))),
    "min": lambda a, b: min(signed(a), signed(b)),
    "max": lambda a, b: max(signed(a), signed(b)),
    "minu": min,
    "maxu": max,
    "rol": lambda a, b: of_bits(lambda i: bit(a, (i - b) % 64)),
    "ror": lambda a, b: of_bits(lambda i: bit(a, (i + b) % 64)),
    "rori": lambda a, b: of_bits(lambda i: bit(a, (i + b) % 64)),
    "rolw": lambda a, b: signed(of_bits(lambda i: bit(a, (i - b) % 32), 32), 32),
    "rorw": lambda a, b: signed(of_bits(lambda i: bit(a, (i + b) % 32), 32), 32),
    "roriw": lambda a, b: signed(of_bits(lambda i: bit(a, (i + b) % 32), 32), 32),
    **{f"bclr{of}": lambda a, b: of_bits(lambda i: 0 if i == b % 64 else bit(a, i)) for of in ("", "i")},
    **{f"bset{of}": lambda a, b: of_bits(lambda i: 1 if i == b % 64 else bit(a, i)) for of in ("", "i")},
    **{f"binv{of}": lambda a, b: of_bits(lambda i: bit(a, i) ^ int(i == b % 64)) for of in ("", "i")},
    **{f"bext{of}": lambda a, b: bit(a, b % 64) for of in ("", "i")},
    "clz": lambda a, _: zeros(list(reversed(BITS)), a),
    "ctz": lambda a, _: zeros(list(BITS), a),
    "clzw": lambda a, _: zeros(list(reversed(range(32))), a),
    "ctzw": lambda a, _: zeros(list(range(32)), a),
    "cpop": lambda a, _: sum(bit(a, i) for i in BITS),
    "cpopw": lambda a, _: sum(bit(a, i) for i in range(32)),
    "sext.b": lambda a, _: signed(a, 8),
    "sext.h": lambda a, _: signed(a, 16),
    "zext.h": lambda a, _: a % 2**16,
    "orc.b": lambda a, _: of_bits(lambda i: int(any(bit(a, i // 8 * 8 + j) for j in range(8)))),
    "rev8": lambda a, _: int.from_bytes(a.to_bytes(8, "big"), "little"),
}
EDGES = (0, 1, M, 1 << 63, (1 << 63) - 1, 1 << 31, 0xFFFF_FFFF, 0x80, 0x8000, 0x00FF_0000_0100_0080)
ROWS = {row.name: row for row in ENCODINGS}


@pytest.mark.parametrize("name", BY_THE_MANUAL)
def test_a_bit_manipulation_does_what_the_manual_says(name: str) -> None:
    row, rng = ROWS[name], random.Random(name)
    for edge in EDGES:
        a, b, amount = edge, rng.choice((*EDGES, rng.getrandbits(64))), rng.randrange(32)
        word = row.match | 5 << 7 | 6 << 15
        if row.form == "registers":
            word |= 7 << 20
        elif row.form.startswith("shift"):
            word, b = word | amount << 20, amount
        hart = LoneHart()
        hart.x[6], hart.x[7] = a, b
        hart.step(word, 0x1000)
        assert hart.x[5] == BY_THE_MANUAL[name](a, b) & M, f"{name} of {a:#x} and {b:#x}"


def amo(name: str, *, acquire: bool = False, release: bool = False) -> int:
    """AMO x5, x7, (x6)."""
    base, _, width = name.partition(".")
    ordering = acquire << 26 | release << 25
    return AMOS[base] << 27 | ordering | 7 << 20 | 6 << 15 | WIDTHS[width] << 12 | 5 << 7 | AMO


@pytest.mark.parametrize("width", WIDTHS)
def test_a_compare_and_swap_stores_if_what_it_expects_is_there(width: str) -> None:
    size = 1 << WIDTHS[width]
    for there, stored in ((0x91, True), (0x11, False)):
        hart = LoneHart(memory={0x100: there})
        hart.x[5], hart.x[6], hart.x[7] = 0x91, 0x100, M
        hart.step(amo(f"amocas.{width}"), 0x1000)
        assert hart.x[5] == signed(there, 8 * size) & M
        assert hart.read(0x100, size) == ((1 << 8 * size) - 1 if stored else there)


def test_an_atomic_tells_its_ordering_and_where_its_operands_come_from() -> None:
    hart = LoneHart()
    hart.x[6], hart.at[6], hart.at[7] = 0x100, 3, 4
    hart.step(amo("amoadd.d", acquire=True), 0x1000)
    hart.step(amo("amoor.w", release=True), 0x1000)
    assert hart.log == [("amoadd.d", 0x100, 3, 4, True, False), ("amoor.w", 0x100, 3, 4, False, True)]
    assert hart.at[5] == hart.loaded_at


LR, BNE_OUT, SC, BNE_BACK = 0x1003_32AF, 0x00E2_9663, 0x1AC3_3E2F, 0xFE0E_1AE3
"""lr.d x5, (x6); bne x5, x14, +12; sc.d.rl x28, x12, (x6); bne x28, x0, -12."""


def cas(hart: LoneHart, there: int) -> int:
    hart.x[6], hart.x[14], hart.x[12] = 0x100, 9, 77
    hart.write(0x100, there, 8)
    return hart.run(b"".join(word.to_bytes(4, "little") for word in (LR, BNE_OUT, SC, BNE_BACK)), 0x1000)


def test_a_pair_of_lr_and_sc_that_compares_is_one_atomic() -> None:
    hart = LoneHart()
    assert cas(hart, 9) == 0x1010
    assert (hart.x[5], hart.x[28], hart.read(0x100, 8)) == (9, 0, 77)
    assert cas(hart, 8) == 0x1010
    assert (hart.x[5], hart.read(0x100, 8)) == (8, 8)
    assert hart.log == [("amocas.d", 0x100, -1, -1, False, True)] * 2


def test_what_a_value_was_computed_from_is_known_also_behind_the_stack() -> None:
    """ld a0, 0(a1); addi a0, a0, 1; sd a0, 8(sp); ld a2, 8(sp); xor a3, a3, a2; sd zero, 8(sp); ld a4, 8(sp)"""
    hart = LoneHart(low=0x7000, high=0x7FF8, stack=bytearray(0x1000))
    hart.x[2], hart.x[11] = 0x7800, 0x100
    code = (0x0005_B503, 0x0015_0513, 0x00A1_3423, 0x0081_3603, 0x00C6_C6B3, 0x0001_3423, 0x0081_3703, 0x0000_006F)
    hart.run(b"".join(word.to_bytes(4, "little") for word in code), 0x1000)
    assert hart.x[13] == hart.x[12] == 1
    assert [hart.at[number] for number in (10, 11, 12, 13)] == [7, -1, 7, 7]
    assert (hart.x[14], hart.at[14]) == (0, -1), "a constant was stored over it"
    assert hart.log == [("load", 0x100, -1, 8)]
    assert hart.retired == 8


@pytest.mark.parametrize(("funct3", "taken"), [(0, False), (1, True), (4, True), (5, False), (6, False), (7, True)])
def test_a_branch_compares_signed_numbers_or_unsigned_ones(funct3: int, taken: bool) -> None:
    """beq, bne, blt, bge, bltu, bgeu of -1 and 1, over 8 bytes."""
    hart = LoneHart()
    hart.x[10], hart.x[11] = (1 << 64) - 1, 1
    assert hart.step(11 << 20 | 10 << 15 | funct3 << 12 | 8 << 7 | 0x63, 0x1000) == (0x1008 if taken else 0x1004)


def test_what_leads_elsewhere_is_a_trap() -> None:
    with pytest.raises(Trapped, match="ebreak"):
        LoneHart().step(0x0010_0073, 0x1000)


def test_a_csr_is_asked_for_by_number_and_name() -> None:
    hart = LoneHart()
    hart.step(0x1001_7073, 0x1000)  # csrrci x0, sstatus, 2
    assert hart.log == [("csrrci", 0x100, 2)]


def test_a_fence_tells_its_sets() -> None:
    hart = LoneHart()
    hart.step(0x0310_000F, 0x1000)  # fence rw, w
    assert hart.log == [("fence", 0x31)]


@pytest.mark.parametrize("word", [0x0000_0000, 0xFFFF_FFFF, 0x0205_3507 | 3, 0x0000_2000])
def test_unknown_bits_are_said_to_be_so(word: int) -> None:
    with pytest.raises(UnknownInstruction, match="no instruction of RV64IMAC"):
        decode(word)


RESERVED = {
    "c.addi4spn": 0x0004,
    "c.addiw": 0x2005,
    "c.addi16sp": 0x6101,
    "c.lui": 0x6501,
    "c.lwsp": 0x4012,
    "c.ldsp": 0x6022,
    "c.jr or c.mv": 0x8002,
}
"""Without the operand, or with the zero, that each must not have: c.addiw of x0, c.lui of 0, c.jr to x0."""


@pytest.mark.parametrize("form", RESERVED)
def test_a_compressed_form_whose_operand_must_not_be_zero_is_none_with_a_zero(form: str) -> None:
    with pytest.raises(UnknownInstruction, match="no instruction of RV64IMAC"):
        decode(RESERVED[form])


def test_a_block_is_cut_where_it_is_too_long() -> None:
    nop = 0x0001_0001
    block = write(0x1000, lambda address: nop)
    assert len(block.instructions) == 64
    assert block.source.splitlines()[-1] == f" return {0x1000 + 128:#x}"


NEGATIVE = {
    0x757D: ("lui", -4096),
    0x557D: ("addi", -1),
    0x1141: ("addi", -16),
    0xBFFD: ("jal", -2),
    0xDD7D: ("beq", -2),
}
"""c.lui a0, -1; c.li a0, -1; c.addi sp, -16; c.j -2; c.beqz a0, -2."""


@pytest.mark.parametrize("word", NEGATIVE)
def test_immediates_of_compressed_forms_are_extended(word: int) -> None:
    found = decode(word)
    assert (found.name, found.imm) == NEGATIVE[word]
