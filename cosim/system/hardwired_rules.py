"""The rules for hardwired addresses: each lies in a memory, as its structure needs, and the kernel has memory left."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from cosim.config.problems import Path
from cosim.hw.iommu.in_memory_queue import CQ, FQ
from cosim.hw.iommu.options import IommuOptions
from cosim.hw.memory.options import MemoryOptions
from cosim.spec.pagetable import PAGE
from cosim.system.hardwired import Structure, regions, static_bytes, structures
from cosim.system.topology import Topology
from cosim.units.quantities import format_size

Memories = Mapping[str, MemoryOptions]


class QueueForm(NamedTuple):
    """A queue in words, the field of the geometry that says how long it can be, and the bytes of an entry."""

    name: str
    length: str
    entry: int


QUEUES = {"cqb": QueueForm("command", "cq_log2", CQ.entry), "fqb": QueueForm("fault", "fq_log2", FQ.entry)}


def broken(topology: Topology) -> Iterator[tuple[Path, str]]:
    """Every hardwired address that cannot be, else the memory that is too small if they leave the kernel none."""
    memories: Memories = topology.of_kind("memory")
    iommus: Mapping[str, IommuOptions] = topology.of_kind("iommu")
    every = structures(topology)
    sound: list[Structure] = []
    for one in every:
        others = [other for other in every if other is not one]
        message = _misplaced(one, iommus[one.iommu], memories, others) or _shared(one, sound, memories, others)
        if message:
            yield one.path, message
        else:
            sound.append(one)
    if memories and sound == every:
        needed, left = static_bytes(topology), max((region.size for region in regions(topology)), default=0)
        if left <= needed:
            yield _no_memory(memories, needed, left)


def _misplaced(one: Structure, iommu: IommuOptions, memories: Memories, others: Sequence[Structure]) -> str:
    """What is wrong with the place of a structure; `others` are kept out of what is proposed."""
    name = next((name for name, memory in memories.items() if memory.base <= one.base < _end(memory)), "")
    if not name:
        return f"{one.base:#x} is in no memory; there are: {', '.join(map(_told, memories, memories.values()))}"
    memory, last, nearest = memories[name], one.base + one.size - 1, []
    if one.base % one.size:
        below = one.base // one.size * one.size
        nearest += [f"{base:#x}" for base in (below, below + one.size) if _is_free(base, one.size, memory, others)]
        why = f"{one.base:#x} is not a multiple of the size of {_called(one, iommu)}"
    elif last >= _end(memory):
        why = f"{_called(one, iommu)} does not fit between {one.base:#x} and the end of {name} at {_end(memory) - 1:#x}"
    elif last >> (pas := iommu.capabilities.pas):
        return f"{last:#x} needs more than the {pas} bits of a physical address; raise capabilities.pas"
    else:
        return ""
    nearest += _shorter(one, memory, others)
    return f"{why}; use {' or '.join(nearest)}" if nearest else f"{why}; make {name} larger"


def _shorter(one: Structure, memory: MemoryOptions, others: Sequence[Structure]) -> list[str]:
    """The longest queue that can be where this one is, as an option; none if not even a page can be."""
    end = min([_end(memory), *(other.base for other in others if other.base >= one.base)])
    room = min(end - one.base, one.base & -one.base)
    if (queue := QUEUES.get(one.register)) is None or room < PAGE:
        return []
    return [f"geometry.{queue.length}: {(room // queue.entry).bit_length() - 1}"]


def _shared(one: Structure, earlier: Sequence[Structure], memories: Memories, others: Sequence[Structure]) -> str:
    """Which of those `earlier` in the file is in the same place, and where none of `others` is."""
    other = next((other for other in earlier if other.meets(one.base, one.size)), None)
    if other is None:
        return ""
    name, memory = next((name, memory) for name, memory in memories.items() if memory.base <= one.base < _end(memory))
    free = _free(one, others, memory)
    return (
        f"{one.base:#x}..{one.base + one.size - 1:#x} overlaps with {other.iommu}'s {other.register} at "
        f"{other.base:#x}..{other.base + other.size - 1:#x}; "
        f"{f'make {name} larger' if free is None else f'the nearest that is free is {free:#x}'}"
    )


def _free(one: Structure, others: Sequence[Structure], memory: MemoryOptions) -> int | None:
    """Where in its memory the structure could be: behind its own address, or else before it."""
    for start in (one.base, memory.base):
        base = -(-start // one.size) * one.size
        while base + one.size <= _end(memory):
            clash = next((other for other in others if other.meets(base, one.size)), None)
            if clash is None:
                return base
            base = -(-(clash.base + clash.size) // one.size) * one.size
    return None


def _no_memory(memories: Memories, needed_bytes: int, left: int) -> tuple[Path, str]:
    """Which memory to change so that the kernel has room: the largest that is not reserved, if there is one."""
    needed = f"the kernel needs more than {format_size(needed_bytes)} in one piece, and has {format_size(left)}"
    open_to_it = {name: memory for name, memory in memories.items() if not memory.reserved}
    if not open_to_it:
        return ("parts", next(iter(memories)), "reserved"), f"{needed}; leave it out, or add a memory"
    largest = max(open_to_it, key=lambda name: open_to_it[name].size)
    return ("parts", largest, "size"), f"{needed}; make it larger"


def _end(memory: MemoryOptions) -> int:
    return memory.base + memory.size


def _is_free(base: int, size: int, memory: MemoryOptions, others: Sequence[Structure]) -> bool:
    """Whether a range is inside a memory, and nothing of `others` is there."""
    inside = memory.base <= base and base + size <= _end(memory)
    return inside and not any(other.meets(base, size) for other in others)


def _told(name: str, memory: MemoryOptions) -> str:
    return f"{name} at {memory.base:#x}..{_end(memory) - 1:#x}"


def _called(one: Structure, iommu: IommuOptions) -> str:
    """A structure in words, such as ``a command queue of 2^15 entries (512 KiB)``."""
    if (queue := QUEUES.get(one.register)) is None:
        return f"a directory's root page ({format_size(one.size)})"
    return f"a {queue.name} queue of 2^{getattr(iommu.geometry, queue.length)} entries ({format_size(one.size)})"
