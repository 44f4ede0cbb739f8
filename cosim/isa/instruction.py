"""A decoded instruction, and what is raised for one that is none."""

from __future__ import annotations

from dataclasses import dataclass


class UnknownInstruction(ValueError):
    """Bits that are none of the instructions known here; `bits` are 16 or 32, `length` is 2 or 4 bytes."""

    def __init__(self, bits: int, length: int) -> None:
        super().__init__(f"{bits:0{2 * length}x} is no instruction of {EXTENSIONS}")
        self.bits = bits
        self.length = length


EXTENSIONS = "RV64IMAC, Zicsr, Zba, Zbb, Zbs, Zacas or Zabha"
"""What is known here (Unprivileged, RV64GC without F and D, and the named extensions)."""


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction, under the name of its 32-bit form; registers are 0 to 31, absent ones 0.

    `imm` is sign-extended where the manual says so; for LUI and AUIPC it is in place. It is the number of a CSR, or
    the sets of a FENCE (predecessor in bits 7:4, successor in 3:0, mode in 11:8).
    """

    name: str
    rd: int = 0
    rs1: int = 0
    rs2: int = 0
    imm: int = 0
    length: int = 4
    acquire: bool = False
    release: bool = False
