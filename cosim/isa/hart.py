"""What translated blocks ask of the hart that runs them."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol

from cosim.isa.instruction import Instruction


class Found(Protocol):
    """A number that came from memory; `at` grows with the age of what it came from: the newest is the largest."""

    @property
    def at(self) -> int: ...
    def __int__(self) -> int: ...


class Hart(Protocol):
    """Registers, a private piece of memory, and whoever answers for the rest of memory.

    Beside each register stands the `at` of the newest load that its value was computed from, -1 for none; an operand
    is given with its own, so that dependencies by address and by data can be told. What touches no other memory than
    the hart's own may answer at once, with a plain number; anything else gives what is to be awaited.
    """

    x: list[int]
    """The registers, unsigned numbers of 64 bits."""
    at: list[int]
    low: int
    """Where the private memory begins: the stack."""
    high: int
    """Where it ends, less the 8 bytes of the widest access."""
    stack: bytearray
    """What it holds, from `low` on."""
    spilled: dict[int, int]
    """The `at` of what was stored there, by address, where it is not -1."""
    retired: int
    """How many instructions have been executed."""

    def load(self, address: int, at: int, size: int, pc: int) -> int | Awaitable[Found]:
        """What is in memory, unsigned; not asked for what is in the private memory."""

    def store(self, address: int, at: int, value: int, value_at: int, size: int, pc: int) -> Awaitable[None] | None:
        """Store the low bytes of `value`; not asked for the private memory."""

    def atomic(
        self,
        instruction: Instruction,
        address: int,
        at: int,
        value: int,
        value_at: int,
        expect: int,
        size: int,
        pc: int,
    ) -> Awaitable[Found]:
        """An atomic of the A extension, Zacas or Zabha, under the name of the instruction; the old value, unsigned.

        A pair of LR and SC that compares and swaps is told as the AMOCAS that it stands for.
        """

    def load_reserved(self, instruction: Instruction, address: int, at: int, size: int, pc: int) -> Awaitable[Found]:
        """An LR that is part of something else."""

    def store_conditional(
        self, instruction: Instruction, address: int, at: int, value: int, value_at: int, size: int, pc: int
    ) -> Awaitable[int]:
        """An SC; 0 if it has stored."""

    def fence(self, instruction: Instruction, pc: int) -> Awaitable[None]:
        """A FENCE; its sets are in the immediate."""

    def csr(self, instruction: Instruction, value: int, pc: int) -> int | Awaitable[int]:
        """Read and change a control and status register, as the instruction's name says; the old value."""

    def trap(self, instruction: Instruction, pc: int) -> int:
        """An instruction that leads elsewhere: EBREAK, ECALL, WFI, FENCE.I; where to go on, if anywhere."""
