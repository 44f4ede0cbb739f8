"""Pages and kernel objects: given out by node, poisoned when freed, and accounted for by purpose."""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeVar

from cosim.events import ObjectAllocated, ObjectFreed, PageAllocated, PageFreed
from cosim.events.places import behind
from cosim.sim.footprints import words
from cosim.sim.operations import Amo, Atomic, Oops, StoreBlock, Work
from cosim.spec.pagetable import PAGE
from cosim.sw.kernel.buddy import MAX_ORDER, Buddies, Region
from cosim.sw.kernel.errors import KernelError
from cosim.sw.kernel.objects import LOWEST_VALID, WORD, Object
from cosim.sw.kernel.services import Services
from cosim.units.quantities import format_time

O = TypeVar("O", bound=Object)  # noqa: E741 - the field's usual letter for an object type


class PoisonedMemory(Protocol):
    """What the kernel asks of memory beside its threads' accesses; none of it takes time."""

    def poison(self, address: int, size: int, by: str, what: str) -> None:
        """From now on a touch of these bytes is a touch of `what`, freed now by `by`."""

    def unpoison(self, address: int, size: int) -> None:
        """These bytes are in use again."""

    def peek(self, address: int, size: int) -> int:
        """What is there."""

    def nonzero(self, address: int, size: int) -> list[int]:
        """The words there that are not 0."""

    def entries(self, address: int, size: int) -> list[tuple[int, int]]:
        """Place and value of each word there that is not 0, by place; none where there is no memory."""

    def watch(self, address: int, call: Callable[[], None]) -> Callable[[], None]:
        """Call `call` whenever the word at `address` changes; returns how to stop."""

    def watch_page(self, address: int, call: Callable[[int], None]) -> Callable[[], None]:
        """Call `call` with the place of whichever word of the page at `address` changes; returns how to stop."""


@dataclass(frozen=True, slots=True)
class Allocation:
    """A block of pages or an object that is in use: since when, by which thread, and for what.

    `place` is where in the source of a compiled driver it was asked for.
    """

    address: int
    size: int
    order: int
    node: int
    purpose: str
    by: str
    time: int
    place: str = ""


class Gone(NamedTuple):
    """What was freed, by whom, when, and where in the source of a compiled driver."""

    was: Allocation
    by: str
    time: int
    place: str


SIZE_CLASSES = (8, 16, 32, 64, 96, 128, 192, 256, 512, 1024, 2048, PAGE)
"""Bytes of the objects that kmalloc gives out; larger ones are whole pages."""


class PageAllocator:
    """Pages of several nodes, and objects cut from pages.

    One atomic operation on a node's word stands for its lock: an acquire takes, a release gives, and whatever is kept
    here changes at that instant alone. The release also has the freeing CPU's stores take hold first, so that a late
    one is not taken for a touch of freed memory.
    """

    def __init__(self, kernel: Services, regions: Sequence[Region], memory: PoisonedMemory) -> None:
        nodes = sorted({region.node for region in regions})
        self.memory = memory
        self.quarantined: list[tuple[Allocation, str]] = []
        """Allocations kept for good because hardware may still reach them, with the reason; they are no leaks."""
        self._kernel = kernel
        self._page_allocated = kernel.sim.probe(PageAllocated)
        self._page_freed = kernel.sim.probe(PageFreed)
        self._object_allocated = kernel.sim.probe(ObjectAllocated)
        self._object_freed = kernel.sim.probe(ObjectFreed)
        self._nodes = {node: Buddies(node, kernel.options.hot_pages) for node in nodes}
        self._words = {node: kernel.static(WORD) for node in nodes}
        self._kept: set[int] = set()
        self._awaited: dict[int, Callable[[str], None]] = {}
        """Who wants to know that a block is freed, by its address."""
        self._used: dict[int, Allocation] = {}
        self._objects: dict[int, Allocation] = {}
        self._gone: dict[int, Gone] = {}
        """What was last freed at each address."""
        self._slabs: dict[int, list[int]] = {size: [] for size in SIZE_CLASSES}
        self._slab_word = kernel.static(WORD)
        self._asked = 0
        self.failed = 0
        """How many allocations have failed so far."""
        self._failing: frozenset[int] = frozenset()
        self._numbered = False
        for node, buddies in self._nodes.items():
            buddies.add([region for region in regions if region.node == node])

    # --- Pages ---------------------------------------------------------------------------------------------------

    async def alloc(
        self, order: int = 0, *, node: int | None = None, zero: bool = True, purpose: str, place: str = ""
    ) -> int:
        """The address of ``1 << order`` free pages, from `node` or the one nearest to it that has them.

        `node` None is the node of the calling CPU. Raises KernelError ENOMEM.
        """
        number = await self._may_fail(f"order {order}, for {purpose}")
        address, _ = await self._alloc(order, node, purpose, number, place)
        if zero:
            await StoreBlock(address, (0,) * ((PAGE << order) // WORD))
        return address

    def fail(self, numbers: Iterable[int]) -> None:
        """Refuse the allocations with these numbers, counted from 1 from here on; takes no time."""
        self._asked = 0
        self._failing = frozenset(numbers)
        self._numbered = True

    async def _may_fail(self, what: str) -> int:
        """The number of an allocation, as `fail` takes it; 0 before that was called. KernelError ENOMEM."""
        self._asked += 1
        number = self._asked if self._numbered else 0
        failing, sim = self._asked in self._failing, self._kernel.sim
        if sim.exploring:
            failing |= sim.actions.pick(f"{(await self._kernel.context()).thread}.alloc", 2) == 1
        if failing:
            thread = (await self._kernel.context()).thread
            raise self._failure(f"{what} (number {self._asked}, as asked)", f"no memory ({what})", thread)
        return number

    async def _alloc(
        self, order: int, node: int | None, purpose: str, number: int = 0, place: str = ""
    ) -> tuple[int, Allocation]:
        kernel = self._kernel
        context = await kernel.context()
        wanted = kernel.node_of(context.cpu) if node is None else node
        await Work(kernel.options.page_cost)
        if order <= MAX_ORDER:
            for candidate in sorted(self._nodes, key=lambda other: (abs(other - wanted), other)):
                await Atomic(Amo.ADD, self._words[candidate], 1, acquire=True)
                address = self._nodes[candidate].take(order)
                if address is not None:
                    size = PAGE << order
                    found = Allocation(address, size, order, candidate, purpose, context.thread, kernel.sim.now, place)
                    self._used[address] = found
                    self.memory.unpoison(address, size)
                    self._tell_given_out(found)
                    if self._page_allocated:
                        self._page_allocated(
                            PageAllocated(kernel.sim.now, context.thread, address, size, candidate, purpose, number)
                        )
                    return address, found
        nothing = f"no {'page' if not order else f'block of {1 << order} pages'} for {purpose}"
        raise self._failure(f"order {order}, for {purpose}", nothing, context.thread)

    def _failure(self, what: str, why: str, thread: str) -> KernelError:
        """Count and log an allocation that fails; the error to be raised."""
        self.failed += 1
        self._kernel.log("warning", f"page allocation failure: {what}", thread)
        return KernelError(errno.ENOMEM, why)

    async def free(self, address: int, *, place: str = "") -> None:
        """Return what `alloc` gave out at `address`; it is poisoned until it is given out again."""
        context = await self._kernel.context()
        known = self._used.get(int(address))
        if known is None or known.purpose == "slab":
            if int(address) in self._kept:
                return
            raise self._wrong(int(address), context.thread)
        await self._give(self._words[known.node], known)
        if self._used.pop(known.address, None) is None:
            raise self._wrong(int(address), context.thread)
        kernel = self._kernel
        self._gone[known.address] = Gone(known, context.thread, kernel.sim.now, place)
        self.memory.poison(known.address, known.size, context.thread, f"{known.purpose} page")
        self._nodes[known.node].give(known.address, known.order)
        if self._page_freed:
            self._page_freed(PageFreed(kernel.sim.now, context.thread, known.address, known.size, known.purpose))
        if (told := self._awaited.pop(known.address, None)) is not None:
            told(context.thread)

    def when_freed(self, address: int, call: Callable[[str], None]) -> bool:
        """Call `call` with the thread that frees the block at `address`, once; false if no such block is in use."""
        if address in self._used:
            self._awaited[address] = call
        return address in self._used

    def _give(self, word: int, freed: Allocation | None) -> Atomic:
        """The release by which a block or an object goes back: it touches all that is freed at that instant."""
        op = Atomic(Amo.ADD, word, 1, release=True)
        if freed is not None and self._kernel.sim.exploring:
            op.touches = words(freed.address, freed.size)
        return op

    def _tell_given_out(self, known: Allocation) -> None:
        sim = self._kernel.sim
        if sim.exploring:
            touched = words(known.address, known.size)
            sim.actions.announce(f"{known.by}.allocated", known.by, touched, True, known.size)

    # --- Objects -------------------------------------------------------------------------------------------------

    async def kmalloc(
        self, size: int, *, zero: bool = True, purpose: str, fields: tuple[str, ...] = (), place: str = ""
    ) -> int:
        """The address of an object of `size` bytes, the one of its size that was freed last if there is one.

        `fields` are the names of its words, for those who watch. Raises KernelError ENOMEM.
        """
        fitting = next((limit for limit in SIZE_CLASSES if limit >= size), None)
        if fitting is None:
            return await self.alloc((-(-size // PAGE) - 1).bit_length(), zero=zero, purpose=purpose, place=place)
        number = await self._may_fail(f"{size} bytes, for {purpose}")
        kernel = self._kernel
        context = await kernel.context()
        await Work(kernel.options.kmalloc_cost)
        slab = self._slabs[fitting]
        await Atomic(Amo.ADD, self._slab_word, 1, acquire=True)
        while not slab:
            page, _ = await self._alloc(0, None, "slab")
            await Atomic(Amo.ADD, self._slab_word, 1, acquire=True)
            slab[:0] = reversed([page + index * fitting for index in range(PAGE // fitting)])
        address = slab.pop()
        found = Allocation(address, fitting, 0, 0, purpose, context.thread, kernel.sim.now, place)
        self._objects[address] = found
        self.memory.unpoison(address, fitting)
        self._tell_given_out(found)
        if self._object_allocated:
            now, who = kernel.sim.now, context.thread
            self._object_allocated(ObjectAllocated(now, who, context.cpu, address, fitting, purpose, fields, number))
        if zero:
            await StoreBlock(address, (0,) * (fitting // WORD))
        return address

    async def kfree(self, address: int, *, place: str = "") -> None:
        """Return an object; a null pointer is none."""
        if address < LOWEST_VALID:
            if address:
                raise Oops(f"kfree of {int(address):#x}, which is no object")
            return
        if int(address) not in self._objects and int(address) in self._used:
            await self.free(address, place=place)
            return
        context = await self._kernel.context()
        await self._give(self._slab_word, self._objects.get(int(address)))
        known = self._objects.pop(int(address), None)
        if known is None:
            if int(address) in self._kept:
                return
            raise self._wrong(int(address), context.thread)
        self._gone[known.address] = Gone(known, context.thread, self._kernel.sim.now, place)
        self.memory.poison(known.address, known.size, context.thread, known.purpose)
        self._slabs[known.size].append(known.address)
        if self._object_freed:
            now = self._kernel.sim.now
            self._object_freed(ObjectFreed(now, context.thread, known.address, known.size, known.purpose))

    async def new(self, kind: type[O]) -> O:
        """A zeroed object of a kind, such as ``Bond``; KernelError ENOMEM."""
        return kind(await self.kmalloc(kind.SIZE, purpose=kind.__name__, fields=kind.WORDS))

    async def delete(self, thing: Object) -> None:
        """Free an object at once; `kernel.rcu.kfree` waits for its readers."""
        await self.kfree(thing.address)

    # --- Accounts ------------------------------------------------------------------------------------------------

    def quarantine(self, address: int, why: str) -> None:
        """Keep a page or an object in use for good, because something may still reach it; takes no time.

        As with an elevated reference count, its owner may free it yet, which does nothing.
        """
        known = self._objects.pop(int(address), None) or self._used.pop(int(address), None)
        if known is None:
            raise Oops(f"quarantine of {int(address):#x}, which is not in use")
        self._kept.add(known.address)
        self.quarantined.append((known, why))

    def quarantine_range(self, address: int, size: int, why: str) -> None:
        """`quarantine` every block and object in use of which there are bytes in a range; takes no time."""
        for known in self.in_use():
            if known.address < address + size and address < known.address + known.size:
                self.quarantine(known.address, why)

    def in_use(self) -> list[Allocation]:
        """Every block and object in use, by address; pages that hold objects are not counted themselves."""
        pages = [known for known in self._used.values() if known.purpose != "slab"]
        return sorted([*pages, *self._objects.values()], key=lambda known: known.address)

    def holds(self, address: int) -> bool:
        """Whether an address is in a block or an object that is in use."""
        return any(0 <= address - known.address < known.size for known in self.in_use())

    def purposes(self) -> Counter[str]:
        """Bytes in use for each purpose."""
        count: Counter[str] = Counter()
        for known in self.in_use():
            count[known.purpose] += known.size
        return count

    def counters(self) -> dict[str, int]:
        """Statistics: bytes in use, and blocks and objects that are quarantined."""
        return {"bytes_in_use": sum(self.purposes().values()), "quarantined": len(self.quarantined)}

    def free_bytes(self, node: int) -> int:
        """What is free on a node."""
        return self._nodes[node].free_bytes

    def _wrong(self, address: int, by: str) -> Oops:
        oops = Oops(f"{by} frees {address:#x}, which is not in use (freed twice, or never given out)")
        if (gone := self._gone.get(address)) is not None:
            was = gone.was
            made = f"allocated by {was.by} at {format_time(was.time, 6)}{behind(was.place)}"
            freed = f"freed before by {gone.by} at {format_time(gone.time, 6)}{behind(gone.place)}"
            oops.more = f"; what was there ({was.purpose}) was {made}, and {freed}"
        return oops
