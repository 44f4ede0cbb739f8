"""Where two records of one scene part: the first thing that one side does, and the other does not."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from cosim.study.conform.drivers.deed import CALL, PAGES, Deed

BEFORE, BEHIND = 3, 4
"""How many deeds are shown before those that differ, and from those on."""
HANDLER = re.compile(r"\.irq\d+")
"""In the name of a thread: what interrupts call, as often as time would have it."""
THREADED = re.compile(r"(irq\d+)-.*")
"""The thread of an interrupt, which drivers name as they like."""
TIMED = re.compile(r"(?<= )\S+\.(\w+)|( = .*)| (of|to) .*")
"""Of what handlers do, whose register it is and which value: that depends on what has come in until then."""


Records = Mapping[str, Sequence[Deed]]


@dataclass(frozen=True, slots=True)
class Difference:
    """Where a thread does something else: during which call, what both have done before, and what each does then."""

    thread: str
    call: str
    number: int
    before: tuple[Deed, ...]
    left: tuple[Deed, ...]
    right: tuple[Deed, ...]
    why: str = ""


def compared(left: Records, right: Records, handlers: Handlers) -> Iterator[Difference]:
    """The first difference of each thread; nothing if both sides do the same.

    Handlers that differ are not told: `handlers` compares them over all scenes.
    """
    ours, theirs = _by_thread(left), _by_thread(right)
    stands_for: dict[str, str] = {}
    for thread in [*ours, *(thread for thread in theirs if thread not in ours)]:
        mine, other = ours.get(thread, ()), theirs.get(thread, ())
        if HANDLER.search(thread):
            handlers.add(mine, other)
        elif (found := _first(thread, mine, other, stands_for)) is not None:
            yield found


class Handlers:
    """What the handlers of both sides do behind what, over all scenes.

    How often they come, and what they find then, is decided by when things happen, which is not the same on both
    sides. So it is asked of each step whether the other side takes it at all.
    """

    def __init__(self) -> None:
        self._left: dict[tuple[str, str], tuple[Deed, Deed]] = {}
        self._right: dict[tuple[str, str], tuple[Deed, Deed]] = {}

    def add(self, left: Sequence[Deed], right: Sequence[Deed]) -> None:
        """The deeds of one handler in one scene."""
        for steps, deeds in ((self._left, left), (self._right, right)):
            for before, deed in pairwise(deeds):
                steps.setdefault((_untimed(before), _untimed(deed)), (before, deed))

    def __len__(self) -> int:
        return len({*self._left, *self._right})

    def differences(self) -> Iterator[Difference]:
        """The steps that one side takes alone."""
        for step in {**self._left, **self._right}:
            if step in self._left and step in self._right:
                continue
            left, right = self._left.get(step), self._right.get(step)
            told = left or right
            before = told[:1] if told else ()
            yield Difference("handlers", "", 0, before, left[1:] if left else (), right[1:] if right else ())


def _untimed(deed: Deed) -> str:
    return TIMED.sub(lambda found: found[1] or "", deed.what)


def _by_thread(deeds: Records) -> dict[str, Sequence[Deed]]:
    return {THREADED.sub(r"\1 thread", thread): found for thread, found in deeds.items()}


def _first(thread: str, left: Sequence[Deed], right: Sequence[Deed], stands_for: dict[str, str]) -> Difference | None:
    call = ""
    for number in range(max(len(left), len(right))):
        if number >= len(left) or number >= len(right):
            return _difference(thread, call, number, left, right)
        ours, theirs = left[number], right[number]
        if (ours.kind, ours.what) != (theirs.kind, theirs.what):
            return _difference(thread, call, number, left, right)
        if theirs.kind != PAGES and theirs.name and stands_for.setdefault(theirs.name, ours.name) != ours.name:
            why = f"{theirs.name} was {stands_for[theirs.name]} before"
            return _difference(thread, call, number, left, right, why)
        if ours.kind == CALL:
            call = ours.what
    return None


def _difference(
    thread: str, call: str, number: int, left: Sequence[Deed], right: Sequence[Deed], why: str = ""
) -> Difference:
    return Difference(
        thread,
        call,
        number,
        tuple(left[max(0, number - BEFORE) : number]),
        tuple(left[number : number + BEHIND]),
        tuple(right[number : number + BEHIND]),
        why,
    )
