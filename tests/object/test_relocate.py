"""A distance goes into the instruction that takes it, as far as that reaches, and no further."""

from __future__ import annotations

import pytest

from cosim.isa.decode import decode
from cosim.object.relocate import KINDS, OutOfReach

PLACE = 0xFFFF_FFFF_8000_0000
AT = {kind.name.removeprefix("R_RISCV_"): kind for kind in KINDS.values()}
INSTRUCTIONS = {
    "BRANCH": 0x00B5_0063,  # beq a0, a1
    "JAL": 0x0000_00EF,  # jal ra
    "RVC_BRANCH": 0xC101,  # c.beqz a0
    "RVC_JUMP": 0xA001,  # c.j
    "CALL": 0x0000_80E7_0000_0097,  # auipc ra; jalr ra, ra
    "CALL_PLT": 0x0000_80E7_0000_0097,
    "PCREL_HI20": 0x0000_0517,  # auipc a0
}


def reach(name: str) -> tuple[int, int]:
    """The least and the greatest distance: even, but for that of AUIPC, whose low part is that of another."""
    bits = {"BRANCH": 13, "JAL": 21, "RVC_BRANCH": 9, "RVC_JUMP": 12}.get(name)
    if bits:
        return -(1 << bits - 1), (1 << bits - 1) - 2
    return -(1 << 31) - 0x800, (1 << 31) - 0x801


def patched(name: str, distance: int) -> int:
    """The instruction when what it names is so far away."""
    return AT[name].patch(INSTRUCTIONS[name], PLACE + distance, PLACE)


@pytest.mark.parametrize("name", INSTRUCTIONS)
def test_an_instruction_leads_as_far_as_it_is_told_in_both_directions(name: str) -> None:
    least, greatest = reach(name)
    before = decode(INSTRUCTIONS[name])
    for distance in (least, -0x556, -2, 0, 2, 0xAAA, greatest):
        if not least <= distance <= greatest:
            continue
        word = patched(name, distance)
        found = decode(word)
        assert (found.name, found.rd, found.rs1, found.rs2) == (before.name, before.rd, before.rs1, before.rs2)
        if name.startswith("CALL"):
            then = decode(word >> 32)
            assert (found.imm + then.imm, then.name, then.rs1) == (distance, "jalr", 1)
        elif name == "PCREL_HI20":
            assert -0x800 <= distance - found.imm < 0x800, "what is left is for the low part"
        else:
            assert found.imm == distance


@pytest.mark.parametrize("name", INSTRUCTIONS)
def test_what_is_out_of_its_reach_is_refused_in_both_directions(name: str) -> None:
    least, greatest = reach(name)
    step = 1 if greatest % 2 else 2
    for distance in (least - step, greatest + step):
        with pytest.raises(OutOfReach, match="does not fit into"):
            patched(name, distance)
