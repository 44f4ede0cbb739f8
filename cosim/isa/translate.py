"""Basic blocks as functions of Python: the source of a block is written once, compiled, and kept.

A block reads the registers that it needs into local variables, and writes those back that it has changed. It runs
until the first instruction that may lead elsewhere, and returns the address of the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from cosim.isa.decode import decode
from cosim.isa.hart import Hart
from cosim.isa.instruction import Instruction
from cosim.isa.semantics import BINARY, BRANCHES, FUNCTIONS, LOADS, SIZES, STORES, UNARY, WITH_IMMEDIATE, M, extended

Run = Callable[[Hart], Coroutine[Any, Any, int]]

LONGEST = 64
"""Instructions of a block at most; a longer one goes on in the next."""

TRAPS = frozenset({"ecall", "ebreak", "wfi", "fence.i"})


@dataclass(frozen=True, slots=True)
class Block:
    """A translated block: `run` executes it on a hart and gives the address of what follows."""

    start: int
    end: int
    """Behind its last instruction."""
    run: Run


@dataclass(frozen=True, slots=True)
class Written:
    """The source of a block, which needs `constants` beside what all blocks need (`names`)."""

    instructions: tuple[tuple[int, Instruction], ...]
    """Each with its address."""
    source: str
    constants: Mapping[str, Instruction]

    @property
    def end(self) -> int:
        """Behind its last instruction."""
        at, last = self.instructions[-1]
        return at + last.length


def names(constants: Mapping[str, Instruction]) -> dict[str, Any]:
    """What the source of blocks takes from around it."""
    return {**FUNCTIONS, **constants, "from_bytes": int.from_bytes}


def translate(start: int, fetch: Callable[[int], int]) -> Block:
    """The block that begins at `start`; ``fetch(address)`` gives 32 bits of code. UnknownInstruction."""
    written = write(start, fetch)
    scope = names(written.constants)
    exec(compile(written.source, f"<block {start:#x}>", "exec"), scope)
    return Block(start, written.end, scope["block"])


def write(start: int, fetch: Callable[[int], int], name: str = "block") -> Written:
    """The same as a function of that name, to be compiled."""
    found: list[tuple[int, Instruction]] = []
    pc = start
    while len(found) < LONGEST:
        instruction = decode(fetch(pc))
        found.append((pc, instruction))
        pc += instruction.length
        if instruction.name.startswith("lr.") and (rest := _compare_and_swap(pc, instruction, fetch)):
            found += rest
            break
        if instruction.name in ENDING:
            break
    writer = _Writer(tuple(found))
    return Written(writer.instructions, writer.source(name), writer.constants)


def _compare_and_swap(pc: int, lr: Instruction, fetch: Callable[[int], int]) -> list[tuple[int, Instruction]]:
    """The three instructions that make an LR a compare-and-swap: BNE out of it, SC, and BNE back to the LR.

    An SC that acquires where its LR does not is left alone: an atomic that stores nothing would acquire as well.
    """
    start, found = pc - lr.length, list[tuple[int, Instruction]]()
    for name in ("bne", "sc." + lr.name[-1], "bne"):
        instruction = decode(fetch(pc))
        if instruction.name != name:
            return []
        found.append((pc, instruction))
        pc += instruction.length
    (_, out), (_, sc), (again_at, again) = found
    compares = lr.rd in (out.rs1, out.rs2) and lr.rd not in (0, lr.rs1, sc.rs2) and out.rs1 != out.rs2
    stores = sc.rs1 == lr.rs1 and sc.rd not in (0, lr.rs1, lr.rd) and (lr.acquire or not sc.acquire)
    loops = {again.rs1, again.rs2} == {sc.rd, 0} and again_at + again.imm == start
    return found if compares and stores and loops else []


class _Writer:
    """Writes the source of a block, an instruction at a time."""

    def __init__(self, instructions: tuple[tuple[int, Instruction], ...]) -> None:
        self.instructions = instructions
        self.constants: dict[str, Instruction] = {}
        self._lines: list[str] = []
        self._read: dict[int, None] = {}
        self._written: dict[int, None] = {}
        self._local = False

    def source(self, name: str) -> str:
        """The function."""
        ended = False
        index = 0
        while index < len(self.instructions):
            pc, instruction = self.instructions[index]
            if instruction.name.startswith("lr.") and index + 4 == len(self.instructions):
                self._swap(index)
                ended = True
                break
            ended = self._one(index, pc, instruction)
            index += 1
        if not ended:
            pc, instruction = self.instructions[-1]
            self._leave(f"{pc + instruction.length:#x}")
        head = [f"async def {name}(h):", " x = h.x; t = h.at; r = h.retired"]
        if self._local:
            head.append(" lo = h.low; hi = h.high; m = h.stack; spilled = h.spilled")
        head += [f" x{number} = x[{number}]; t{number} = t[{number}]" for number in self._read]
        return "\n".join([*head, *self._lines, ""])

    # --- Operands ----------------------------------------------------------------------------------------------------

    def _reg(self, number: int) -> str:
        if not number:
            return "(0)"
        if number not in self._written:
            self._read[number] = None
        return f"x{number}"

    def _at(self, number: int) -> str:
        return f"t{number}" if number else "-1"

    def _set(self, number: int, value: str, at: str) -> None:
        if number:
            self._emit(f"x{number} = {value}; t{number} = {at}" if at != f"t{number}" else f"x{number} = {value}")
            self._written[number] = None

    def _newest(self, first: int, second: int) -> str:
        if first and second and first != second:
            return f"t{first} if t{first} > t{second} else t{second}"
        return self._at(first or second)

    def _emit(self, line: str) -> None:
        self._lines.append(" " + line)

    def _leave(self, target: str, indent: str = "") -> None:
        """Write back what was changed, and return."""
        self._emit(f"{indent}h.retired = r + {len(self.instructions)}")
        for number in self._written:
            self._emit(f"{indent}x[{number}] = x{number}; t[{number}] = t{number}")
        self._emit(f"{indent}return {target}")

    def _constant(self, pc: int, instruction: Instruction) -> str:
        name = f"i{pc:x}"
        self.constants[name] = instruction
        return name

    def _address(self, instruction: Instruction) -> None:
        base, offset = self._reg(instruction.rs1), instruction.imm
        self._emit(f"a = {base} + {offset} & M" if offset else f"a = {base}")

    # --- Instructions ------------------------------------------------------------------------------------------------

    def _one(self, index: int, pc: int, instruction: Instruction) -> bool:
        """Write one instruction; whether it ends the block."""
        name = instruction.name
        if name in BINARY:
            self._binary(name, instruction, self._reg(instruction.rs1), self._reg(instruction.rs2))
        elif name in WITH_IMMEDIATE:
            operation, imm = WITH_IMMEDIATE[name], instruction.imm
            literal = f"({imm})" if operation in ("add", "addw") else f"({imm & M:#x})"
            self._binary(operation, instruction, self._reg(instruction.rs1), literal)
        elif name in UNARY:
            self._set(instruction.rd, UNARY[name].format(a=self._reg(instruction.rs1)), self._at(instruction.rs1))
        elif name in ("lui", "auipc"):
            self._set(instruction.rd, f"{instruction.imm + (pc if name == 'auipc' else 0) & M:#x}", "-1")
        elif name in LOADS:
            self._load(index, pc, instruction)
        elif name in STORES:
            self._store(index, pc, instruction)
        elif name in BRANCHES:
            taken = BRANCHES[name].format(a=self._reg(instruction.rs1), b=self._reg(instruction.rs2))
            self._leave(f"{pc + instruction.imm & M:#x} if {taken} else {pc + instruction.length:#x}")
            return True
        elif name in ("jal", "jalr"):
            self._jump(pc, instruction)
            return True
        elif name == "pause":
            pass  # a hint: it costs its instruction
        else:
            self._emit(f"h.retired = r + {index + 1}")
            self._special(pc, instruction)
            return name in TRAPS
        return False

    def _binary(self, name: str, instruction: Instruction, a: str, b: str) -> None:
        if not instruction.rd:
            return
        at = self._newest(instruction.rs1, instruction.rs2)
        if name == "add" and b in ("(0)", "(0x0)"):
            self._set(instruction.rd, a, at)
        elif name == "add" and a == "(0)":
            self._set(instruction.rd, f"{int(b[1:-1]) & M:#x}" if b.startswith("(") else b, at)
        else:
            self._set(instruction.rd, BINARY[name].format(a=a, b=b), at)

    def _load(self, index: int, pc: int, instruction: Instruction) -> None:
        size, signed = LOADS[instruction.name]
        rd = instruction.rd
        self._address(instruction)
        self._local = True
        self._emit("if lo <= a < hi:")
        self._emit(f" v = from_bytes(m[a - lo:a - lo + {size}], 'little'); s = spilled.get(a, -1)")
        self._emit("else:")
        self._emit(f" h.retired = r + {index + 1}")
        self._emit(f" v = h.load(a, {self._at(instruction.rs1)}, {size}, {pc:#x}); s = -1")
        self._emit(" if type(v) is not int:")
        self._emit("  v = await v")
        self._emit("  if type(v) is not int: s = v.at; v = int(v)")
        self._set(rd, extended("v", size) if signed else "v", "s")

    def _store(self, index: int, pc: int, instruction: Instruction) -> None:
        size = STORES[instruction.name]
        value, at = self._reg(instruction.rs2), self._at(instruction.rs2)
        self._address(instruction)
        self._local = True
        self._emit("if lo <= a < hi:")
        mask = "" if size == 8 else f" & {(1 << 8 * size) - 1:#x}"
        self._emit(f" m[a - lo:a - lo + {size}] = ({value}{mask}).to_bytes({size}, 'little')")
        self._emit(f" if {at} >= 0 or a in spilled: spilled[a] = {at}")
        self._emit("else:")
        self._emit(f" h.retired = r + {index + 1}")
        self._emit(f" v = h.store(a, {self._at(instruction.rs1)}, {value}{mask}, {at}, {size}, {pc:#x})")
        self._emit(" if v is not None: await v")

    def _jump(self, pc: int, instruction: Instruction) -> None:
        link = f"{pc + instruction.length:#x}"
        if instruction.name == "jal":
            target = f"{pc + instruction.imm & M:#x}"
        else:
            self._emit(f"a = {self._reg(instruction.rs1)} + {instruction.imm} & {M & ~1:#x}")
            target = "a"
        self._set(instruction.rd, link, "-1")
        self._leave(target)

    def _special(self, pc: int, instruction: Instruction) -> None:
        name, constant = instruction.name, self._constant(pc, instruction)
        base, _, suffix = name.partition(".")
        if name in TRAPS:
            self._leave(f"h.trap({constant}, {pc:#x})")
        elif name == "fence":
            self._emit(f"await h.fence({constant}, {pc:#x})")
        elif name.startswith("csr"):
            value = f"{instruction.rs1}" if name.endswith("i") else self._reg(instruction.rs1)
            self._emit(f"v = h.csr({constant}, {value}, {pc:#x})")
            self._emit("if type(v) is not int: v = await v")
            self._set(instruction.rd, "v", "-1")
        else:
            size = SIZES[suffix]
            address, at = self._reg(instruction.rs1), self._at(instruction.rs1)
            value, value_at = self._reg(instruction.rs2), self._at(instruction.rs2)
            if size < 8:
                value = f"{value} & {(1 << 8 * size) - 1:#x}"
            if base == "lr":
                self._emit(f"v = await h.load_reserved({constant}, {address}, {at}, {size}, {pc:#x})")
                self._set(instruction.rd, extended("int(v)", size), "v.at")
            elif base == "sc":
                arguments = f"{constant}, {address}, {at}, {value}, {value_at}, {size}, {pc:#x}"
                self._emit(f"v = await h.store_conditional({arguments})")
                self._set(instruction.rd, "v", "-1")
            else:
                expect = self._reg(instruction.rd) if base == "amocas" else "0"
                if size < 8 and base == "amocas":
                    expect = f"{expect} & {(1 << 8 * size) - 1:#x}"
                arguments = f"{constant}, {address}, {at}, {value}, {value_at}, {expect}, {size}, {pc:#x}"
                self._emit(f"v = await h.atomic({arguments})")
                self._set(instruction.rd, extended("int(v)", size), "v.at")

    def _swap(self, index: int) -> None:
        """A compare-and-swap made of LR and SC, as the one atomic that it stands for."""
        (pc, lr), (out_at, out), (_, sc), (again_at, again) = self.instructions[index:]
        size = SIZES[lr.name[-1]]
        address, at = self._reg(lr.rs1), self._at(lr.rs1)
        value, value_at = self._reg(sc.rs2), self._at(sc.rs2)
        expect = self._reg(out.rs2 if out.rs1 == lr.rd else out.rs1)
        self._reg(sc.rd)
        name = f"amocas.{lr.name[-1]}"
        stands_for = Instruction(name, lr.rd, lr.rs1, sc.rs2, acquire=lr.acquire, release=sc.release)
        constant, mask = self._constant(pc, stands_for), (1 << 8 * size) - 1
        self._emit(f"h.retired = r + {index + 4}; e = {expect}")
        if size == 4:
            self._emit(f"if e != ({extended(f'(e & {mask:#x})', 4)}):")
            reserved = self._constant(out_at, lr)
            self._emit(f" v = await h.load_reserved({reserved}, {address}, {at}, 4, {pc:#x}); done = False")
            self._emit("else:")
        else:
            self._emit("if True:")
        arguments = f"{constant}, {address}, {at}, {value} & {mask:#x}, {value_at}, e & {mask:#x}, {size}, {pc:#x}"
        self._emit(f" v = await h.atomic({arguments}); done = int(v) == e & {mask:#x}")
        self._set(lr.rd, extended("int(v)", size), "v.at")
        self._emit("if not done:")
        self._leave(f"{out_at + out.imm & M:#x}", " ")
        self._set(sc.rd, "0", "-1")
        self._leave(f"{again_at + again.length:#x}")


ENDING = frozenset({*BRANCHES, "jal", "jalr", *TRAPS})
"""What ends a block."""
