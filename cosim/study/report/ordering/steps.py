"""What is worth a line in the picture of a run, and in which words: those of who reviews a driver."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from itertools import groupby
from typing import NamedTuple

from cosim.sim.actions import Taken
from cosim.sim.footprints import Every
from cosim.spec.pagetable import PAGE, PAGE_LG2
from cosim.spec.queues import COMMANDS, Command, Iodir, Iofence, Iotinval
from cosim.spec.translation import DcTa, Fsc, Tc
from cosim.study.report.ordering.memory import Memory, Subject

IN_C = re.compile(r"([\w.-]+\.[chS]):(\d+), in (\w+)")
"""A place in the source of a compiled driver, such as ``iommu.c:930, in riscv_iommu_bond_unlink``."""

PAGE_HERE = "{page}"
"""Stands in a step's text for the letter of its subject."""

FENCE, SEND = "fence", "send "
"""The text of a fence, and how that of a command begins that a thread puts into the queue."""


ROUTINES = {"Batch.add": "give a callback to RCU", "Batch.work": "look for callbacks of RCU"}
"""Routines of the kernel whose words have no name of their own: what their effects are there for."""


class Weight(IntEnum):
    """How much a step tells: what weighs least goes first where there is no room."""

    DETAIL = 0
    ORDER = 1
    EFFECT = 2
    CAUSE = 3


class Part(IntEnum):
    """Which part a step has in a call, or in what is judged."""

    AMID = 0
    OPENS = 1
    CLOSES = 2


class Source(NamedTuple):
    """A line of C, and the function that it was compiled in."""

    file: str
    line: int
    function: str


def sources_told(sources: Sequence[Source], *, functions: bool = True) -> str:
    """Lines of C with their functions: ``domain.c:236, 237 in switch_contexts``."""
    told = []
    for (file, function), group in groupby(sources, lambda one: (one.file, one.function)):
        lines = ", ".join(str(one.line) for one in group)
        told.append(f"{file}:{lines}{f' in {function}' if functions else ''}")
    return "; ".join(told)


@lru_cache
def source_of(place: str) -> Source | None:
    """The line of C that a place names; None for one of Python."""
    found = IN_C.fullmatch(place)
    return Source(found[1], int(found[2]), found[3]) if found else None


@dataclass(slots=True, eq=False)
class Step:
    """One line: when, in whose column, and what; `of` is the range of IOVAs or the page that it is about.

    Steps in a row with the same `head` become one line: ``DC: fsc, ta pscid 2, V=1``. `taken` is the effect that it
    is. A step that was held has its beginning in `asked`.
    """

    time: int
    who: str
    text: str
    weight: Weight
    subject: Subject | None = None
    covers: tuple[str | None, int, int] | None = None
    """A domain, or None for any, with the first IOVA and the size of a range in it."""
    head: str = ""
    part: Part = Part.AMID
    taken: Taken | None = None
    once: bool = False
    """Said once, however often it happens."""
    queue: str | None = None
    """Of a step that matters where the command queue does: what is added to its text there."""
    source: Source | None = None
    """Where a compiled driver does it."""

    @property
    def line(self) -> str:
        """All of its text."""
        return f"{self.head}: {self.text}" if self.head else self.text

    def says(self, other: Step) -> bool:
        """Whether it says the same as another step, in the same place."""
        return (self.line, self.source) == (other.line, other.source)


def command(words: tuple[int, int], device: str) -> tuple[str, tuple[None, int, int] | None]:
    """A command in words, and the range of IOVAs that it is for, if it is for one; `device` is whose context it names.

    Raises nothing: what is no command is told by its words.
    """
    form = COMMANDS.get(Command.from_words(words).opcode)
    told = form.from_words(words) if form else None
    if isinstance(told, Iotinval):
        kind = "IOTINVAL" if told.func3 == 0 else "IOTINVAL.GVMA"
        whose = [f"pscid {told.pscid}"] if told.pscv else []
        whose += [f"gscid {told.gscid}"] if told.gv else []
        if not told.av:
            return " ".join([kind, *(whose or ["everything"])]), None
        page, pages_lg2 = told.pages
        return " ".join([kind, PAGE_HERE, *whose]), (None, page << PAGE_LG2, PAGE << pages_lg2)
    if isinstance(told, Iodir):
        return f"IODIR {device}" if told.dv else "IODIR everything", None
    if isinstance(told, Iofence):
        return "IOFENCE", None
    return (told.mnemonic if told else f"no command: {words[0]:#x} {words[1]:#x}"), None


def device_of(words: tuple[int, int]) -> int | None:
    """The device id that a command names; None if it names none."""
    told = Command.from_words(words)
    if COMMANDS.get(told.opcode) is Iodir:
        iodir = Iodir.from_words(words)
        return int(iodir.did) if iodir.dv else None
    return None


def context_word(name: str, value: int) -> str:
    """What a word of a device context says now, as far as the driver sets it."""
    if name == "tc":
        return f"V={int(Tc.v.get(value))}"
    if name == "ta":
        return f"ta pscid {int(DcTa.pscid.get(value))}"
    if name == "fsc" and not Fsc.mode.get(value):
        return "fsc bare"
    return name


def effect(taken: Taken, memory: Memory) -> str:
    """Any effect in words, for one that nothing else tells of."""
    kind = taken.agent.rpartition(".")[2]
    key = taken.footprint[0] if taken.footprint else ""
    named = _key(key, memory)
    if named.startswith("0x") and source_of(taken.place):
        named = "a word"
    elif named.startswith("0x") and taken.place:
        routine = ".".join(taken.place.partition("+")[0].split(".")[-2:])
        if routine in ROUTINES:
            return ROUTINES[routine]
        named = f"a word in {routine}"
    verb = {
        "ld": "reads",
        "st": "writes",
        "amo": "changes",
        "mr": "reads",
        "mw": "writes",
        "walk": "walk reads",
        "dma": "writes" if taken.changes else "reads",
        "lookup": "looks up in",
        "fill": "fills",
        "nonleaf": "keeps a pointer in",
        "fetch": "fetches from",
        "exec": "carries out a command on",
    }.get(kind, f"{kind} on")
    return f"{verb} {named}" if named else kind


def _key(key: object, memory: Memory) -> str:
    if isinstance(key, int):
        return memory.word(key)
    if isinstance(key, range):
        return memory.word(key.start)
    if isinstance(key, Every):
        key = key.names
    if isinstance(key, tuple):
        return " ".join(str(part) for part in key[:2])
    return str(key)
