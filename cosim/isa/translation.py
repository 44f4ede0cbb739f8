"""All blocks of a driver translated at once, in a form that can be kept: the code of Python is compiled once."""

from __future__ import annotations

import marshal
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from cosim.isa.decode import decode
from cosim.isa.instruction import Instruction, UnknownInstruction
from cosim.isa.semantics import BRANCHES
from cosim.isa.translate import Block, names, write


@dataclass(frozen=True, slots=True)
class Translation:
    """Blocks, as one piece of compiled code; `ends` has where each ends, by where it begins."""

    code: bytes = field(default_factory=lambda: marshal.dumps(compile("", "blocks", "exec")))
    constants: Mapping[str, Instruction] = field(default_factory=dict)
    ends: Mapping[int, int] = field(default_factory=dict)

    def blocks(self) -> dict[int, Block]:
        """The blocks, by where they begin."""
        scope = names(self.constants)
        exec(marshal.loads(self.code), scope)
        return {start: Block(start, end, scope[_name(start)]) for start, end in self.ends.items()}


def _name(start: int) -> str:
    return f"block_{start:x}"


def translate_all(text: Iterable[tuple[int, int]], fetch: Callable[[int], int]) -> Translation:
    """The blocks to which jumps, returns of calls and beginnings of `text` lead, in which all is known.

    UnknownInstruction if there is any in `text`.
    """
    sources: list[str] = []
    constants: dict[str, Instruction] = {}
    ends: dict[int, int] = {}
    for begin, end in text:
        wanted = sorted(_led_to(begin, end, fetch), reverse=True)
        while wanted:
            start = wanted.pop()
            if begin <= start < end and start not in ends:
                try:
                    written = write(start, fetch, _name(start))
                except UnknownInstruction:
                    continue  # behind a call that does not return, at the end of the text
                sources.append(written.source)
                constants |= written.constants
                ends[start] = written.end
                wanted.append(written.end)  # a call returns there, and a block that is too long goes on
    return Translation(marshal.dumps(compile("\n".join(sources), "blocks", "exec")), constants, ends)


def _led_to(begin: int, end: int, fetch: Callable[[int], int]) -> set[int]:
    """Where jumps lead, and the beginning."""
    found, at = {begin}, begin
    while at < end:
        instruction = decode(fetch(at))
        if instruction.name == "jal" or instruction.name in BRANCHES:
            found.add(at + instruction.imm)
        at += instruction.length
    return found
