"""A hart with memory and no simulation around it: whatever it is asked it answers at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NoReturn

from cosim.isa.decode import decode
from cosim.isa.instruction import Instruction
from cosim.isa.translate import ENDING, translate
from cosim.sim.loaded import Loaded


class Trapped(Exception):
    """The hart has met an instruction that leads elsewhere."""


@dataclass
class LoneHart:
    """A hart of `memory`, a byte for each address; `log` is what it was asked beside loads and stores."""

    x: list[int] = field(default_factory=lambda: [0] * 32)
    at: list[int] = field(default_factory=lambda: [-1] * 32)
    memory: dict[int, int] = field(default_factory=dict)
    low: int = 0
    high: int = 0
    stack: bytearray = field(default_factory=bytearray)
    spilled: dict[int, int] = field(default_factory=dict)
    retired: int = 0
    loaded_at: int = 7
    """The `at` of everything that is loaded."""
    log: list[tuple[object, ...]] = field(default_factory=list)

    def read(self, address: int, size: int) -> int:
        return sum(self.memory.get(address + index, 0) << 8 * index for index in range(size))

    def write(self, address: int, value: int, size: int) -> None:
        for index in range(size):
            self.memory[address + index] = value >> 8 * index & 0xFF

    async def _answer(self, value: int) -> Loaded:
        return Loaded(value, self.loaded_at)

    def load(self, address: int, at: int, size: int, pc: int) -> object:
        self.log.append(("load", address, at, size))
        return self._answer(self.read(address, size))

    def store(self, address: int, at: int, value: int, value_at: int, size: int, pc: int) -> None:
        self.log.append(("store", address, at, value, value_at, size))
        self.write(address, value, size)

    def atomic(
        self, told: Instruction, address: int, at: int, value: int, value_at: int, expect: int, size: int, pc: int
    ) -> object:
        self.log.append((told.name, address, at, value_at, told.acquire, told.release))
        old, bits = self.read(address, size), 8 * size
        signed = lambda number: number - ((number >> bits - 1) << bits)  # noqa: E731
        new = {
            "amoadd": old + value,
            "amoswap": value,
            "amocas": value if old == expect else old,
            "amoxor": old ^ value,
            "amoor": old | value,
            "amoand": old & value,
            "amomin": min(old, value, key=signed),
            "amomax": max(old, value, key=signed),
            "amominu": min(old, value),
            "amomaxu": max(old, value),
        }[told.name.partition(".")[0]]
        self.write(address, new, size)
        return self._answer(old)

    def load_reserved(self, told: Instruction, address: int, at: int, size: int, pc: int) -> object:
        self.log.append((told.name, address, told.acquire, told.release))
        return self._answer(self.read(address, size))

    async def store_conditional(
        self, told: Instruction, address: int, at: int, value: int, value_at: int, size: int, pc: int
    ) -> int:
        self.log.append((told.name, address, told.acquire, told.release))
        self.write(address, value, size)
        return 0

    async def fence(self, told: Instruction, pc: int) -> None:
        self.log.append((told.name, told.imm))

    def csr(self, told: Instruction, value: int, pc: int) -> int:
        self.log.append((told.name, told.imm, value))
        return 0x1234

    def trap(self, told: Instruction, pc: int) -> NoReturn:
        raise Trapped(told.name)

    def run(self, code: bytes, pc: int) -> int:
        """Execute the block that `code` begins with, as if it were at `pc`; where it leads."""
        padded = code + bytes(4)
        block = translate(pc, lambda address: int.from_bytes(padded[address - pc : address - pc + 4], "little"))
        running = block.run(self)
        try:
            running.send(None)
        except StopIteration as stop:
            return int(stop.value)
        raise AssertionError("a lone hart waits for nobody")

    def step(self, word: int, pc: int) -> int:
        """Execute one instruction at `pc`; where it leads."""
        length = 4 if word & 3 == 3 else 2
        code = word.to_bytes(length, "little")
        if decode(word).name in ENDING:
            return self.run(code, pc)
        assert self.run(code + ENDS, pc) == pc + length
        return pc + length


ENDS = (0x6F).to_bytes(4, "little")
"""A jump to itself: it ends the block of an instruction that does not."""
