"""Which allocations nothing points to any more: a search from the kernel's own words, as kmemleak's is."""

from __future__ import annotations

import gc
from bisect import bisect_right
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import fields, is_dataclass
from functools import partial
from types import AsyncGeneratorType, CodeType, CoroutineType, FunctionType, GeneratorType, MethodType

from cosim.spec.pagetable import PAGE_LG2
from cosim.sw.kernel.objects import Object
from cosim.sw.kernel.page_allocator import Allocation, PoisonedMemory

PPN = (1 << 44) - 1
"""The bits of a physical page number, wherever they stand in a word."""

DATA = frozenset({"buffer"})
"""Purposes whose memory holds data, not pointers, and belongs to the thread that asked for it."""

POINTERLESS = frozenset({"queue", "ring"})
"""Purposes whose memory holds what hardware is told, and nothing by which the kernel would find an allocation."""


async def _nothing() -> AsyncIterator[int]:
    yield 0


SUSPENDED = (CoroutineType, GeneratorType, AsyncGeneratorType, type(_nothing().__anext__()))
"""What a thread is made of while it waits: a chain of these, each with a frame or on the way to one."""


WORDLESS = frozenset({CodeType, FunctionType, str, type(None)})
"""What a frame refers to besides, and where no word can be."""


def on_stacks(routines: Iterable[object]) -> Iterator[int]:
    """The words that suspended threads hold, in local variables and in expressions half done, as kmemleak's stacks."""
    waiting, seen = list(routines), set[int]()
    while waiting:
        for held in gc.get_referents(waiting.pop()):
            if type(held) in WORDLESS:
                continue
            if not isinstance(held, SUSPENDED):
                yield from _words(held, 3)
            elif id(held) not in seen:
                seen.add(id(held))
                waiting.append(held)


def in_callbacks(callbacks: Iterable[object]) -> Iterator[int]:
    """The words that functions have which are yet to be called: what they close over, or are given."""
    waiting, seen = list(callbacks), set[int]()
    while waiting:
        callback = waiting.pop()
        if isinstance(callback, partial):
            held = [callback.func, *callback.args, *callback.keywords.values()]
        elif isinstance(callback, MethodType):
            held = [callback.__func__, callback.__self__]
        elif isinstance(callback, FunctionType):
            held = [*(callback.__defaults__ or ()), *gc.get_referents(*(callback.__closure__ or ()))]
        else:
            continue
        if id(callback) not in seen:
            seen.add(id(callback))
            waiting += held
            for value in held:
                yield from _words(value, 3)


def _words(value: object, depth: int) -> Iterator[int]:
    if isinstance(value, int):
        yield value
    elif isinstance(value, Object):
        yield int(value.address)
    elif depth:
        if isinstance(value, dict):
            value = list(value.values())
        if isinstance(value, (list, tuple, set, frozenset)):
            for one in value:
                yield from _words(one, depth - 1)
        elif is_dataclass(value) and not isinstance(value, type):
            for field in fields(value):
                yield from _words(getattr(value, field.name, None), depth - 1)


def unreachable(memory: PoisonedMemory, in_use: Iterable[Allocation], roots: Iterable[int]) -> list[Allocation]:
    """The allocations that no word of `roots`, nor of what they lead to, points to.

    A word may point as an address, as the page number of a table entry, or as that of a base register. What looks
    like a pointer counts as one, so that a leak may be missed and none is invented.
    """
    known = sorted((one for one in in_use if one.purpose not in DATA), key=lambda one: one.address)
    starts = [one.address for one in known]
    ends = [one.address + one.size for one in known]
    found: set[int] = set()
    waiting: list[Allocation] = []
    seen: set[int] = {0}

    def follow(words: Iterable[int]) -> None:
        for word in set(words) - seen:
            seen.add(word)
            for address in (word, (word >> 10 & PPN) << PAGE_LG2, (word & PPN) << PAGE_LG2):
                index = bisect_right(starts, address) - 1
                if index >= 0 and address < ends[index] and starts[index] not in found:
                    found.add(starts[index])
                    waiting.append(known[index])

    follow(roots)
    while waiting:
        one = waiting.pop()
        if one.purpose not in POINTERLESS:
            follow(memory.nonzero(one.address, one.size))
    return [one for one in known if one.address not in found]
