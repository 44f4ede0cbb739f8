"""A driver as it is compiled: its objects linked, with their debugging information, and their code translated."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from cosim.isa.decode import decode
from cosim.isa.instruction import UnknownInstruction
from cosim.isa.translate import Block, translate
from cosim.isa.translation import Translation, translate_all
from cosim.object.dwarf import DebugInfo, debug_info
from cosim.object.elf import COMPRESSED, DEBUG_INFO, Relocatable, elftools, read
from cosim.object.errors import ObjectError
from cosim.object.inlined import sends
from cosim.object.kept import kept
from cosim.object.link import Linked, Region, link


class Nowhere(LookupError):
    """There is no code at an address."""


NOP = 0x13
FENCE = 0x0F
"""The major opcode of fences."""
ORDERING = 3 << 25
"""The bits aq and rl of an atomic."""
AUIPC, JALR = 0x17, 0x67
"""The opcodes of the two instructions of a call."""
FAILS, RETURN = 0xFFF0_0513, 0x8067
"""What stands for them if a call is taken out: li a0, -1; and ret, if the call is the last that its function does."""


class Image:
    """Linked objects. Blocks are shared by all that run the image; those not in `blocks` are translated when first run.

    At the addresses in `unordered` fences are nops, atomics neither acquire nor release, and calls fail at once.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        linked: Linked,
        info: DebugInfo,
        blocks: Mapping[int, Block],
        unordered: frozenset[int] = frozenset(),
    ) -> None:
        self.paths = tuple(paths)
        self._unordered = unordered
        self._mutants: dict[frozenset[int], Image] = {}
        self.linked = linked
        self.info = info
        self.blocks = dict(blocks)
        self.senders = frozenset(start for start, _, name in linked.functions if sends(name))
        """Where the driver's functions begin by which it sends commands, as their names say (`sends`)."""
        self._places: dict[int, str] = {}
        self._spots: dict[int, str] = {}

    @property
    def code(self) -> Region:
        """Instructions and constants."""
        return self.linked.code

    def block(self, address: int) -> Block:
        """The block at an address. Nowhere."""
        found = self.blocks.get(address)
        if found is None:
            if address & 1 or not any(start <= address < end for start, end in self.linked.text):
                raise Nowhere(f"{address:#x} is no instruction of the driver")
            found = self.blocks[address] = translate(address, self.fetch)
        return found

    def fetch(self, address: int) -> int:
        """32 bits of code."""
        word = self.code.read(address, 4)
        if address not in self._unordered:
            return word
        opcode = word & 0x7F
        if opcode == AUIPC:
            return FAILS
        if opcode == JALR:
            return NOP if word >> 7 & 31 else RETURN
        return NOP if opcode == FENCE else word & ~ORDERING

    def orders(self) -> dict[str, list[int]]:
        """Where fences stand, atomics that acquire or release, calls that send commands: by line, their addresses."""
        found: dict[str, list[int]] = {}
        for start, end in self.linked.text:
            at = start
            while at < end:
                instruction = decode(self.code.read(at, 4))
                if instruction.name == "fence" or instruction.acquire or instruction.release:
                    found.setdefault(self.place(at), []).append(at)
                elif instruction.name == "auipc":
                    then = decode(self.code.read(at + instruction.length, 4))
                    target = at + instruction.imm + then.imm & (1 << 64) - 1
                    if then.name == "jalr" and then.rs1 == instruction.rd and target in self.senders:
                        found.setdefault(self.info.sender(at), []).extend((at, at + instruction.length))
                at += instruction.length
        return found

    def without(self, addresses: Collection[int]) -> Image:
        """The same code without the order that the instructions at these addresses make."""
        key = frozenset(addresses)
        if key not in self._mutants:
            whole = {at: one for at, one in self.blocks.items() if not any(one.start <= a < one.end for a in key)}
            self._mutants[key] = Image(self.paths, self.linked, self.info, whole, key)
        return self._mutants[key]

    def place(self, address: int) -> str:
        """Where an instruction comes from: ``queue.c:40``; its function and the distance if no line is known."""
        found = self._places.get(address)
        if found is None:
            found = self._places[address] = self.info.place(address) or self.function(address)
        return found

    def spot(self, address: int) -> str:
        """The same with its function, without what a compiler adds to names: ``queue.c:40, in own_send``."""
        found = self._spots.get(address)
        if found is None:
            found = self._spots[address] = self._in_function(self.place(address), address)
        return found

    def sent_from(self, address: int) -> str:
        """The same of where a command is asked for by an instruction that calls a sender, or has one inlined."""
        return self._in_function(self.info.sender(address) or self.place(address), address)

    def _in_function(self, line: str, address: int) -> str:
        return f"{line}, in {self.function(address).partition('.')[0]}"

    def function(self, address: int) -> str:
        """The function that an instruction is in; its address if none is known."""
        return self.linked.function_at(address) or f"{address:#x}"

    def string(self, address: int) -> str:
        """A constant string."""
        start = address - self.code.base
        return self.code.data[start : self.code.data.index(b"\0", start)].decode(errors="replace")


def load(
    paths: Sequence[Path],
    functions: Collection[str],
    data: Mapping[str, int],
    structures: Mapping[str, Collection[str]],
) -> Image:
    """The image of objects for a kernel that has `functions` and `data`, and needs the members of `structures`.

    A member that may have one of several names is given with them, as ``a|b``. ObjectError with all that is wrong.
    """
    wholes = tuple(_bytes(path) for path in paths)
    wanted = tuple(sorted((name, tuple(sorted(members))) for name, members in structures.items()))
    return _load(tuple(paths), wholes, tuple(sorted(functions)), tuple(sorted(data.items())), wanted)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ObjectError([f"{path}: {error.strerror or error}"]) from None


@dataclass(frozen=True, slots=True)
class _Read:
    """All that is made of objects."""

    linked: Linked
    info: DebugInfo
    translation: Translation


@lru_cache(maxsize=8)
def _load(
    paths: tuple[Path, ...],
    wholes: tuple[bytes, ...],
    functions: tuple[str, ...],
    data: tuple[tuple[str, int], ...],
    structures: tuple[tuple[str, tuple[str, ...]], ...],
) -> Image:
    problems: list[str] = []
    needs = repr((functions, data, structures)).encode()
    found = kept([*wholes, needs], lambda: _read(paths, wholes, functions, data, structures, problems), unless=problems)
    if problems:
        raise ObjectError(problems)
    return Image(paths, found.linked, found.info, found.translation.blocks())


def _read(
    paths: tuple[Path, ...],
    wholes: tuple[bytes, ...],
    functions: tuple[str, ...],
    data: tuple[tuple[str, int], ...],
    structures: tuple[tuple[str, tuple[str, ...]], ...],
    problems: list[str],
) -> _Read:
    """What is wrong is added to `problems`; what is wrong with an object alone is an ObjectError."""
    elftools("elf.elffile")
    objects: list[Relocatable] = []
    for path, whole in zip(paths, wholes, strict=True):
        try:
            objects.append(read(path, whole))
        except ObjectError as error:
            problems += error.problems
    if problems:
        raise ObjectError(problems)
    linked = link(objects, functions, dict(data), problems)
    info = DebugInfo()
    if all((found := one.section(DEBUG_INFO)) and not found.flags & COMPRESSED for one in objects):
        info = debug_info(linked.debug, problems)
        problems += _missing(info, structures, paths)
    image = Image(paths, linked, info, {})
    problems += _unknown(image)
    translation = Translation() if problems else translate_all(linked.text, image.fetch)
    return _Read(replace(linked, debug=()), info, translation)


def _missing(
    info: DebugInfo, structures: tuple[tuple[str, tuple[str, ...]], ...], paths: Sequence[Path]
) -> Iterator[str]:
    """What the kernel needs to know of structures, and is not told."""
    lacking = [name for name, _ in structures if name not in info.structures]
    if lacking:
        yield (
            f"{', '.join(map(str, paths))}: nothing is said of struct {', struct '.join(lacking)}: these are not all "
            "objects of an IOMMU driver, or the kernel is none that is known here; name every object of the driver"
        )
    for name, members in structures:
        if name in info.structures:
            has = info.structures[name].members
            without = [member for member in members if not any(one in has for one in member.split("|"))]
            if without:
                yield f"struct {name} has no member {', '.join(without)}: it is of a kernel that is not known here"


MOST = 20
"""Unknown instructions that are named; more are counted."""


def _unknown(image: Image) -> Iterator[str]:
    """Instructions that are none of ours."""
    found: list[str] = []
    for start, end in image.linked.text:
        at = start
        while at < end:
            word = image.code.read(at, 4)
            try:
                at += decode(word).length
            except UnknownInstruction as error:
                found.append(f"{error.bits:0{2 * error.length}x} ({image.place(at)}, in {image.function(at)})")
                at += error.length
    if found:
        more = f", and {len(found) - MOST} more" if len(found) > MOST else ""
        yield (
            f"{', '.join(map(str, image.paths))}: unknown instructions: {', '.join(found[:MOST])}{more}; known are "
            "RV64IMAC, Zicsr, Zba, Zbb, Zbs, Zacas and Zabha: build without floating point, vectors and the like"
        )
