"""Blocks that are translated together are those that are translated one by one, and can be kept."""

from __future__ import annotations

import pickle

import pytest

from cosim.isa.instruction import UnknownInstruction
from cosim.isa.translate import write
from cosim.isa.translation import Translation, translate_all
from tests.isa.lone_hart import LoneHart

BEGIN = 0x1000
NOP, RET = 0x0000_0013, 0x0000_8067
ADDI_A0 = 0x0015_0513
"""addi a0, a0, 1"""
BEQ_12, CALL = 0x0005_0663, 0x0080_00EF
"""beqz a0, 12 bytes ahead; jal ra, 8 bytes ahead."""


def translated(*code: int) -> Translation:
    def fetch(address: int) -> int:
        at = (address - BEGIN) // 4
        return code[at] if at < len(code) else 0xFFFF_FFFF

    return translate_all([(BEGIN, BEGIN + 4 * len(code))], fetch)


def run(translation: Translation, pc: int, a0: int = 0) -> tuple[int, int]:
    """Run one block; where it leads, and a0 then."""
    hart = LoneHart()
    hart.x[10] = a0
    body = translation.blocks()[pc].run(hart)  # type: ignore[arg-type]
    with pytest.raises(StopIteration) as stopped:
        body.send(None)
    return stopped.value.value, hart.x[10]


def test_a_block_begins_where_a_branch_leads_and_behind_it() -> None:
    found = translated(ADDI_A0, BEQ_12, ADDI_A0, NOP, ADDI_A0, RET)
    assert dict(found.ends) == {0x1000: 0x1008, 0x1008: 0x1018, 0x1010: 0x1018}
    assert run(found, 0x1000, (1 << 64) - 1) == (0x1010, 0)
    assert run(found, 0x1000, 4) == (0x1008, 5)


def test_a_block_begins_where_a_call_leads_and_where_it_returns() -> None:
    assert set(translated(CALL, NOP, RET).ends) == {0x1000, 0x1004, 0x1008}


@pytest.mark.parametrize("acquire", [False, True])
def test_a_swap_that_acquires_by_its_sc_alone_is_none(acquire: bool) -> None:
    """0: lr.d a4, (a0); bne a4, a1, 1f; sc.d a5, a2, (a0); bnez a5, 0b; 1: ret"""
    lr, sc = 0x1005_372F, 0x18C5_37AF | acquire << 26
    code = (lr, 0x00B7_1663, sc, 0xFE07_9AE3, RET)
    written = write(BEGIN, lambda address: code[(address - BEGIN) // 4])
    assert ("h.load_reserved" in written.source) is acquire
    assert ("h.atomic" in written.source) is not acquire


WORD = 1 << 32


@pytest.mark.parametrize("turned", [False, True], ids=["found with expected", "expected with found"])
@pytest.mark.parametrize(
    ("size", "there", "expected", "swaps"),
    [
        (8, 7 + WORD, 7 + WORD, True),
        (8, 7 + WORD, 7, False),
        (4, 7 + 9 * WORD, 7, True),
        (4, 7 + 9 * WORD, 8, False),
        (4, 7 + 9 * WORD, 7 + 9 * WORD, False),
        (4, 0xFFFF_FFFE, (1 << 64) - 2, True),
        (4, 0xFFFF_FFFE, 0xFFFF_FFFE, False),
    ],
)
def test_a_swap_of_lr_and_sc_stores_where_it_finds_what_it_expects(
    size: int, there: int, expected: int, swaps: bool, turned: bool
) -> None:
    """A word is found with its sign, so that it never equals what is no word with its sign.

    0: lr a4, (a0); bne a4, a1, 1f; sc a5, a2, (a0); bnez a5, 0b; ret; 1: ret
    """
    width = 0x3000 if size == 8 else 0x2000
    bne = 0x00E5_9863 if turned else 0x00B7_1863
    code = (0x1005_072F | width, bne, 0x18C5_07AF | width, 0xFE07_9AE3, RET, RET)
    hart = LoneHart()
    hart.write(0x2000, there, 8)
    hart.x[10:16] = [0x2000, expected, 0x5555_5555, 0, 0, 0x66]
    leads_to = hart.run(b"".join(word.to_bytes(4, "little") for word in code), BEGIN)
    assert leads_to == (BEGIN + 16 if swaps else BEGIN + 20)
    assert hart.read(0x2000, size) == (0x5555_5555 if swaps else there % (1 << 8 * size))
    assert hart.read(0x2000 + size, 8) == there >> 8 * size
    found = there % (1 << 8 * size)
    assert hart.x[14] == (found | -WORD & (1 << 64) - 1 if size == 4 and found >> 31 else found)
    assert hart.x[15] == (0 if swaps else 0x66)


def test_what_was_translated_is_the_same_when_it_was_kept() -> None:
    found = pickle.loads(pickle.dumps(translated(ADDI_A0, 0x0310_000F, RET)))
    hart = LoneHart()
    body = found.blocks()[BEGIN].run(hart)
    with pytest.raises(StopIteration):
        body.send(None)
    assert hart.log == [("fence", 0x31)]
    assert hart.x[10] == 1


def test_a_block_that_is_too_long_goes_on_in_another() -> None:
    found = translated(*[NOP] * 100, RET)
    assert dict(found.ends) == {0x1000: 0x1100, 0x1100: 0x1194}


def test_a_call_at_the_end_that_does_not_return_leads_to_no_block() -> None:
    assert set(translated(NOP, CALL).ends) == {0x1000}
    assert set(translated(BEQ_12, NOP, NOP).ends) == {0x1000}


def test_what_is_unknown_is_not_passed_over() -> None:
    with pytest.raises(UnknownInstruction):
        translated(NOP, 0xFFFF_FFFF, RET)


def test_without_code_there_are_no_blocks() -> None:
    assert Translation().blocks() == {}
