"""Another implementation of the same instructions, to hold ours against: unicorn, which is QEMU's."""

from __future__ import annotations

import random
from dataclasses import dataclass

import unicorn
from unicorn import riscv_const

from cosim.isa.decode import decode
from cosim.isa.instruction import Instruction
from cosim.isa.semantics import LOADS, STORES, M
from tests.isa.lone_hart import LoneHart

CODE, CODE_SIZE = 0x4000_0000, 0x80_0000
PC = CODE + CODE_SIZE // 2
DATA = 0x1000_0000
REGISTERS = [getattr(riscv_const, f"UC_RISCV_REG_X{number}") for number in range(32)]
INTERESTING = (0, 1, 2, M, M - 1, 1 << 63, (1 << 63) - 1, 1 << 31, (1 << 31) - 1, 0xFFFF_FFFF, 1 << 32, 63, 64, 32)


@dataclass(frozen=True)
class Outcome:
    """Registers, the next pc and the bytes of the data page after an instruction."""

    registers: tuple[int, ...]
    pc: int
    data: bytes


class Twin:
    """Executes single instructions on both."""

    def __init__(self) -> None:
        self.machine = unicorn.Uc(unicorn.UC_ARCH_RISCV, unicorn.UC_MODE_RISCV64)
        self.machine.mem_map(CODE, CODE_SIZE)
        self.machine.mem_map(DATA, 0x1000)

    def theirs(self, word: int, registers: list[int], data: bytes) -> Outcome:
        machine, size = self.machine, 4 if word & 3 == 3 else 2
        machine.mem_write(PC, word.to_bytes(size, "little"))
        machine.mem_write(DATA, data)
        for number in range(1, 32):
            machine.reg_write(REGISTERS[number], registers[number])
        machine.ctl_remove_cache(PC, PC + 4)
        machine.emu_start(PC, 0, count=1)
        found = [0] + [machine.reg_read(REGISTERS[number]) & M for number in range(1, 32)]
        return Outcome(
            tuple(found), machine.reg_read(riscv_const.UC_RISCV_REG_PC), bytes(machine.mem_read(DATA, 0x1000))
        )

    def ours(self, word: int, registers: list[int], data: bytes) -> Outcome:
        hart = LoneHart(x=list(registers), memory={DATA + index: byte for index, byte in enumerate(data) if byte})
        after = hart.step(word, PC)
        return Outcome(tuple(hart.x), after, bytes(hart.memory.get(DATA + index, 0) for index in range(0x1000)))

    def differ(self, word: int, rng: random.Random) -> str:
        """What the two do differently with an instruction of random operands; empty if nothing."""
        instruction = decode(word)
        registers = [0] + [rng.choice((rng.choice(INTERESTING), rng.getrandbits(64))) for _ in range(31)]
        if not led_to_memory(instruction, registers, rng):
            return ""
        data = bytes(0x7E0) + rng.randbytes(0x40) + bytes(0x7E0)
        theirs, ours = self.theirs(word, registers, data), self.ours(word, registers, data)
        if theirs == ours:
            return ""
        changed = [
            f"x{number}: {ours.registers[number]:#x}, theirs {theirs.registers[number]:#x}"
            for number in range(32)
            if ours.registers[number] != theirs.registers[number]
        ]
        return f"{word:#x} {instruction} of {registers}: {changed}, pc {ours.pc:#x}, theirs {theirs.pc:#x}"


def led_to_memory(instruction: Instruction, registers: list[int], rng: random.Random) -> bool:
    """Set the base register so that an access or a jump goes where there is memory; false if it cannot be."""
    name, base = instruction.name, instruction.rs1
    if name == "jalr":
        target = PC + 2 * rng.randrange(-1000, 1000) - instruction.imm
    elif name in LOADS or name in STORES:
        target = DATA + 0x7E0 + rng.randrange(0x30) - instruction.imm
    elif name.split(".")[0] in ("lr", "sc") or name.startswith("amo"):
        target = DATA + 0x7E0 + 8 * rng.randrange(4)
    else:
        return True
    registers[base] = target & M
    return base != 0
