"""Every instruction does what another implementation does, on random operands, in its every compressed form."""

import random

import pytest

pytest.importorskip("unicorn", reason="another implementation to compare with: pip install unicorn")

import unicorn

from cosim.isa.compressed import FORMS, form_of
from cosim.isa.decode import decode
from cosim.isa.encodings import ENCODINGS, FIXED, SHIFTS, UNARY, Encoding
from cosim.isa.instruction import UnknownInstruction
from tests.isa.unicorn_twin import Twin

ZBA = {"add.uw", "slli.uw", *(f"sh{amount}add{of}" for amount in (1, 2, 3) for of in ("", ".uw"))}
ZBB = {"andn", "orn", "xnor", "min", "minu", "max", "maxu", "rol", "ror", "rolw", "rorw", "rori", "roriw", *UNARY}
ZBS = {f"b{what}{of}" for what in ("clr", "ext", "inv", "set") for of in ("", "i")}
NOT_ALONE = {"sc.w", "sc.d"}
"""What depends on an LR before it."""


def known_to_both(encoding: Encoding) -> bool:
    """RV64IMAC without what leads into an environment."""
    name = encoding.name
    later = name in ZBA | ZBB | ZBS or name.startswith("amocas") or name.endswith((".b", ".h"))
    return not (later or name in FIXED or encoding.form == "csr" or name in NOT_ALONE)


COMMON = [encoding for encoding in ENCODINGS if known_to_both(encoding)]


def words(encoding: Encoding, rng: random.Random, count: int) -> list[int]:
    """The instruction with random operands; those of a shift by too much are none."""
    free = ~encoding.mask & 0xFFFF_FFFF
    return [encoding.match | rng.getrandbits(32) & free for _ in range(count)]


@pytest.fixture(scope="module")
def twin() -> Twin:
    return Twin()


@pytest.mark.parametrize("encoding", COMMON, ids=lambda encoding: encoding.name)
def test_an_instruction_does_what_another_implementation_does(twin: Twin, encoding: Encoding) -> None:
    rng = random.Random(encoding.name)
    for word in words(encoding, rng, 2):
        assert not twin.differ(word, rng)


@pytest.mark.slow
@pytest.mark.parametrize("encoding", COMMON, ids=lambda encoding: encoding.name)
def test_an_instruction_does_so_with_many_operands(twin: Twin, encoding: Encoding) -> None:
    rng = random.Random(encoding.name)
    for word in words(encoding, rng, 40):
        assert not twin.differ(word, rng)


HALFWORDS = [word for word in range(1 << 16) if word & 3 != 3]


def expands(word: int) -> bool:
    try:
        decode(word)
    except UnknownInstruction:
        return False
    return True


def test_a_compressed_instruction_does_what_another_implementation_does(twin: Twin) -> None:
    """One of each form."""
    rng = random.Random(1)
    left = {form.name for form in FORMS} - {"c.ebreak"}
    for word in rng.sample(HALFWORDS, len(HALFWORDS)):
        if expands(word) and form_of(word).name in left:
            left.remove(form_of(word).name)
            assert not twin.differ(word, rng)
        if not left:
            break
    assert not left


def passed_over(word: int) -> bool:
    """Reserved in RV64C, where the other does nothing (some have become Zcb), or of F and D."""
    reserved = word & 0xE003 == 0x8000 or word & 0xFC43 == 0x9C41
    return reserved or word >> 13 in (1, 5)


@pytest.mark.slow
def test_all_compressed_instructions_do_so(twin: Twin) -> None:
    """All words of 16 bits: what is none of ours is none of theirs either."""
    rng = random.Random(2)
    for word in HALFWORDS:
        if expands(word):
            if decode(word).name != "ebreak":
                assert not twin.differ(word, rng)
        elif word and not passed_over(word):
            with pytest.raises(unicorn.UcError):
                twin.theirs(word, [0x1000_07F0] * 32, bytes(0x1000))


def test_the_comparison_sees_a_wrong_instruction(twin: Twin) -> None:
    """SUB told as ADD."""
    rng = random.Random(3)
    registers = [0, *(rng.getrandbits(64) for _ in range(31))]
    sub = 0x40B50533
    add = sub & ~(0x20 << 25)
    assert twin.ours(add, registers, bytes(0x1000)) != twin.theirs(sub, registers, bytes(0x1000))


def test_a_shift_by_more_than_31_of_a_word_is_no_instruction() -> None:
    for name in ("slliw", "srliw", "sraiw"):
        opcode, funct7, funct3, _ = SHIFTS[name]
        with pytest.raises(UnknownInstruction):
            decode(opcode | funct7 << 25 | funct3 << 12 | 32 << 20)
