"""Writes down what each thread does in a run: operations in program order, and what the kernel is asked for."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from cosim.events import (
    CallBegun,
    CallDone,
    CommandSent,
    LineReached,
    LockGiven,
    LockTaken,
    ObjectAllocated,
    ObjectFreed,
    PageAllocated,
    PageFreed,
)
from cosim.hw.cpu.thread import Thread
from cosim.sim.operations import Amo, Atomic, Fence, Load, MmioRead, MmioWrite, Op, Poll, PollEither, Store, StoreBlock
from cosim.spec.page import PAGE, PAGE_LG2
from cosim.spec.queues import Command
from cosim.spec.register_map import CQB, CQT, FQB, PQB, REGISTERS
from cosim.spec.registers import QueueBase
from cosim.study.conform.drivers.deed import CALL, PAGES, Deed
from cosim.study.trace.commands import command_text
from cosim.system.system import System

RINGS = {CQB.offset, FQB.offset, PQB.offset}
INLINED = ("kernel.lists.", "kernel.barriers.")
"""What of the kernel a compiler puts into the driver itself."""
KERNEL = ("kernel.", "object_driver.")
"""Where else operations stand that the kernel makes for a driver: what it asks for is written down instead."""
OURS = frozenset(
    {"platform_device", "fwnode_handle", "iommu_fwspec", "dev_iommu", "device", "slab", "devres", "msi_desc"}
)
"""What the kernel allocates for a compiled driver, which policies do without."""
OUR_LOCKS = frozenset({"DevresLock", "IrqLock"})
"""The locks that the kernel takes for that."""
PPN = (1 << 44) - 1


class Record:
    """What the threads of a system do; `deeds` are those of each."""

    def __init__(self, system: System) -> None:
        self.deeds: defaultdict[str, list[Deed]] = defaultdict(list)
        self._iommus = {iommu.options.base: path for path, iommu in system.iommus.items()}
        self._pages: dict[int, str] = {}
        self._given: Counter[str] = Counter()
        self._rings: set[int] = set()
        self._read: defaultdict[str, set[str]] = defaultdict(set)
        self._depth: Counter[str] = Counter()
        self._place: dict[str, str] = {}
        self._entries: dict[str, int] = {}
        self._slot: dict[tuple[str, str], int] = {}
        for cpu in system.cpus.values():
            cpu.awaited.append(self._awaited)
        sim = system.sim
        sim.probe(CallBegun).watch(self._begun)
        sim.probe(CallDone).watch(self._done)
        sim.probe(CommandSent).watch(self._sent)
        sim.probe(LineReached).watch(self._reached)
        sim.probe(LockTaken).watch(self._taken)
        sim.probe(LockGiven).watch(self._back)
        sim.probe(PageAllocated).watch(self._page)
        sim.probe(PageFreed).watch(self._page_freed)
        sim.probe(ObjectAllocated).watch(self._object)
        sim.probe(ObjectFreed).watch(self._object_freed)

    def _add(self, who: str, kind: str, what: str, place: str = "", name: str = "") -> None:
        self._read[who].clear()
        self.deeds[who].append(Deed(kind, what, place or self._place.get(who, ""), name))

    # --- Operations ---------------------------------------------------------------------------------------------------

    def _awaited(self, thread: Thread, op: Op[object]) -> None:
        if isinstance(op, Load) and not op.acquire:
            return
        place = thread.place(op)
        if op.part == "lock" or _in_the_kernel(place):
            return
        who = thread.name
        self._place[who] = place
        for kind, what in self._told(who, op):
            if kind == "read":
                if what in self._read[who]:
                    continue
                read = {*self._read[who], what}
                self._add(who, kind, what, place)
                self._read[who] = read
            else:
                self._add(who, kind, what, place)

    def _told(self, who: str, op: Op[object]) -> Iterator[tuple[str, str]]:
        """What an operation is, as instructions: a policy's bits of acquire and release are what Linux has for them."""
        if isinstance(op, MmioRead | MmioWrite | Poll):
            yield from self._register(who, op)
        elif isinstance(op, PollEither):
            yield from self._register(who, op.first)
            yield from self._register(who, op.second)
        elif isinstance(op, Fence):
            yield "fence", "fence.tso" if op.tso else f"fence {op.predecessor},{op.successor}"
        elif isinstance(op, Load):
            yield "fence", "fence r,rw"
        elif isinstance(op, Atomic):
            yield from self._atomic(op)
        elif isinstance(op, Store):
            if op.release:
                yield "fence", "fence rw,w"
            if (at := self._at(int(op.address))) is not None:
                yield "store", f"store {at} = {self._value(int(op.value))}"
        elif isinstance(op, StoreBlock):
            for number, word in enumerate(op.words):
                if word and (at := self._at(int(op.address) + 8 * number)) is not None:
                    yield "store", f"store {at} = {self._value(word)}"

    def _atomic(self, op: Atomic) -> Iterator[tuple[str, str]]:
        swap, full = op.kind is Amo.CAS, op.acquire and op.release
        if op.release and not op.acquire:
            yield "fence", "fence rw,w"
        order = "" if not full else ".rl" if swap else ".aqrl"
        yield "atomic", f"{op.kind.name.lower()}{order} of {self._at(int(op.address)) or 'a variable'}"
        if op.acquire and (swap or not op.release):
            yield "fence", "fence rw,rw" if op.release else "fence r,rw"

    def _register(self, who: str, op: MmioRead | MmioWrite | Poll) -> Iterator[tuple[str, str]]:
        base = int(op.address) & -PAGE
        iommu = self._iommus.get(base)
        register = REGISTERS.at(int(op.address) - base)
        if iommu is None:
            return
        name = f"{iommu}.{register.name}" if register else f"{iommu}+{int(op.address) - base:#x}"
        if not isinstance(op, MmioWrite):
            yield "read", f"read {name}"
            return
        value, told = int(op.value), ""
        if register and register.offset in RINGS and (ring := QueueBase(value)).ppn:
            first = ring.ppn << PAGE_LG2
            self._rings |= {*range(first, first + ring.entries * Command.SIZE, PAGE)}
            if register is CQB:
                self._entries[iommu] = ring.entries
        if register is CQT and value == self._behind(who, iommu):
            told = "the slot behind it"
        yield "write", f"write {name} = {told or self._value(value)}"

    def _behind(self, who: str, iommu: str) -> int | None:
        """The index behind the command that a thread has sent last."""
        slot = self._slot.get((who, iommu))
        return None if slot is None else (slot + 1) % self._entries[iommu]

    # --- Places and values --------------------------------------------------------------------------------------------

    def _at(self, address: int) -> str | None:
        """Where something is stored that hardware reads; None for what is private to the driver, and for rings."""
        page = address & -PAGE
        if page in self._rings or page not in self._pages:
            return None
        return f"{self._pages[page]}+{address - page:#x}"

    def _value(self, value: int) -> str:
        """A word; a page number in it is told as the page."""
        for shift in (10, 0):
            page = self._pages.get((value >> shift & PPN) << PAGE_LG2)
            if page:
                return f"{page} | {value & ~(PPN << shift):#x}"
        return f"{value:#x}"

    # --- What the kernel is asked for ---------------------------------------------------------------------------------

    def _page(self, event: PageAllocated) -> None:
        if event.purpose in OURS:
            return
        self._given[event.who] += 1
        name = f"page {self._given[event.who]} of {event.who}"
        for number in range(event.size // PAGE):
            self._pages[event.address + number * PAGE] = f"{name}[{number}]" if event.size > PAGE else name
        self._add(event.who, PAGES, f"allocate {name}, {event.size} bytes on node {event.node},", name=event.purpose)

    def _page_freed(self, event: PageFreed) -> None:
        if event.purpose in OURS:
            return
        self._add(event.who, PAGES, f"free {self._pages.get(event.address)}", name=event.purpose)
        for number in range(event.size // PAGE):
            self._pages.pop(event.address + number * PAGE, None)

    def _object(self, event: ObjectAllocated) -> None:
        if event.purpose not in OURS:
            self._add(event.who, "object", "allocate a", name=event.purpose)

    def _object_freed(self, event: ObjectFreed) -> None:
        if event.purpose not in OURS:
            self._add(event.who, "object", "free a", name=event.purpose)

    def _taken(self, event: LockTaken) -> None:
        if event.lock_class not in OUR_LOCKS:
            self._add(event.who, "lock", "lock", name=event.lock_class)

    def _back(self, event: LockGiven) -> None:
        if event.lock_class not in OUR_LOCKS:
            self._add(event.who, "lock", "unlock", name=event.lock_class)

    def _reached(self, event: LineReached) -> None:
        """What a thread asks the kernel for has the line of the call; a command that of who asks for it."""
        if event.place:
            self._place[event.who] = event.place

    def _sent(self, event: CommandSent) -> None:
        self._slot[event.who, event.iommu] = event.index
        self._add(event.who, "command", f"send {command_text(event.words)} to {event.iommu}")

    # --- Calls --------------------------------------------------------------------------------------------------------

    def _begun(self, event: CallBegun) -> None:
        if not self._depth[event.who]:
            self._add(event.who, CALL, event.call)
        self._depth[event.who] += 1

    def _done(self, event: CallDone) -> None:
        self._depth[event.who] -= 1
        if not self._depth[event.who]:
            self._add(event.who, CALL, f"{event.call} returns {event.failed or 0}")


def _in_the_kernel(place: str) -> bool:
    """Whether a place is a routine of ours that stands for the kernel's; those of C have the name of a file."""
    return ":" not in place and place.startswith(KERNEL) and not place.startswith(INLINED)
