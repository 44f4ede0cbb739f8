"""A hart's view of memory: what may take hold next, and what a load may return. Knows order, but no time of its own.

The CPU puts time around it; the litmus search drives it directly.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from functools import cache
from typing import Any

from cosim.hw.cpu.atomics import combine
from cosim.hw.cpu.ordering import Rules
from cosim.hw.cpu.pending_writes import PendingWrite, PendingWrites
from cosim.hw.memory.history import ANCIENT
from cosim.hw.memory.memory import Memory
from cosim.sim.loaded import Loaded, Value, at_of
from cosim.sim.operations import Amo, Atomic, Fence, Load, MmioRead, MmioWrite, Op, Store, StoreBlock
from cosim.spec.page import PAGE, PAGE_LG2

Pick = Callable[[int], int]
"""Answers a choice among n with a number below n; 0 is the newest state."""


class Hart:
    """The order of one hart's accesses, under the rules of its memory model (model M2 of in-order issue).

    Operations are given to `execute` in program order, each as soon as none of its pending `writes` blocks it. Stores
    and register writes join that; any of them that is ready may take hold next (`drain`, `accepted`).
    All times are those of the memory: `now` never decreases, and a load's `at` is the time from which on its value was
    there to be read *and* it was free to read it.

    `floor` is that of the hart: later loads return no state that had ended by then. It never decreases, and is never
    later than `now`. `seen` is, for each half word that it has read or written and remembers, when the newest of the
    states began that it has seen there.
    """

    __slots__ = (
        "_filled",
        "_input_at",
        "_input_unordered",
        "_memory",
        "_output_at",
        "_own_atomics",
        "_read_at",
        "_wrote_at",
        "floor",
        "rules",
        "seen",
        "who",
        "writes",
    )

    def __init__(self, rules: Rules, memory: Callable[[int, int], Memory], device: Callable[[int], Hashable]) -> None:
        """`memory` finds who holds an address and size, `device` whose registers are at an address."""
        self.rules = rules
        self.who = ""
        self.writes = PendingWrites(rules, device)
        self.floor = -1
        self._memory = memory
        self._read_at = self._wrote_at = self._input_at = self._output_at = -1
        self._input_unordered = False
        self.seen: dict[int, int] = {}
        self._filled: dict[int, int] = {}
        """When this hart last wrote a whole page at once: it has seen nothing older anywhere in it."""
        self._own_atomics: dict[int, int] = {}

    # --- Operations in program order --------------------------------------------------------------------------------

    def execute(self, op: Op[object], now: int, pick: Pick) -> Any:
        """Execute a memory operation or fence that nothing blocks; stores return what has become pending."""
        return EXECUTE[type(op)](self, op, now, pick)

    def load(self, op: Load, now: int, pick: Pick) -> Value:
        """What `execute` does of a load, for whoever knows that it is one.

        It is a `Loaded` if its state is newer than the floor, which orders whatever depends on it, else.
        """
        rules, address, size = self.rules, int(op.address), op.size
        if rules.total_order and not self._input_unordered:
            self.floor = now
        floor = self.floor
        if rules.address:
            if type(source := op.address) is Loaded and source.at > floor:
                floor = source.at
            if type(source := op.after) is Loaded and source.at > floor:
                floor = source.at
        memory = self._memory(address, size)
        held = self.writes.forwardable(address, size) if self.writes.pending else None
        if held is not None:
            value, at = held.value(address, size), floor
            if rules.forwarded_address:
                at = max(at, held.address_at)
            if rules.forwarded_data:
                at = max(at, held.data_at)
            memory.judge(self.who, address, size, write=False)
        elif not rules.past:
            began, value = memory.states(address, size, now)[0]
            at = max(floor, began)
            memory.judge(self.who, address, size, write=False)
        else:
            half, low, seen = address >> 2, floor, self.seen.get
            if (when := seen(half, -1)) > low:
                low = when
            if size == 8 and (when := seen(half + 1, -1)) > low:
                low = when
            if (when := self._filled.get(address >> PAGE_LG2, -1)) > low:
                low = when
            states = memory.states(address, size, low)
            index = pick(len(states)) if len(states) > 1 else 0
            began, value = states[index]
            at = began if began > floor else floor
            if not rules.atomic_result and self._own_atomics.get(address >> 2) == began:
                at = floor
            memory.judge(self.who, address, size, write=False, first=at, last=states[index - 1][0] if index else now)
            if rules.loads_coherent and began > ANCIENT:
                self._saw(address, size, began)
        if at > self._read_at:
            self._read_at = at
        if at > self.floor and (rules.total_order or (op.acquire and rules.load_acquire)):
            self.floor = at
        if at > self.floor:
            return Loaded(value, at)
        return value

    def _saw(self, address: int, size: int, began: int) -> None:
        """Remember which state of these bytes this hart has read: it goes back behind none of them."""
        seen = self.seen
        for half in range(address >> 2, address + size + 3 >> 2):
            if began > seen.get(half, -1):
                seen[half] = began

    def _overwrote(self, address: int, size: int, now: int) -> None:
        """Remember that this hart has written these bytes now: whatever it has seen there is older."""
        if size & PAGE - 1 or address & PAGE - 1:
            self.seen.update(dict.fromkeys(range(address >> 2, address + size + 3 >> 2), now))
        else:
            self._filled.update(dict.fromkeys(range(address >> PAGE_LG2, address + size >> PAGE_LG2), now))

    def forget(self, before: int) -> None:
        """Drop what only matters for states that had ended by `before`, which no load returns any more."""
        self.seen = {half: began for half, began in self.seen.items() if began > before}
        self._filled = {page: wrote for page, wrote in self._filled.items() if wrote > before}
        self._own_atomics.clear()

    def _store(self, op: Store, now: int, pick: Pick) -> PendingWrite:
        release = op.release and self.rules.store_release
        value = int(op.value) & (1 << 8 * op.size) - 1
        self._memory(op.address, op.size)
        return self.writes.store(op.address, op.size, (value,), at_of(op.value), release=release)

    def _store_block(self, op: StoreBlock, now: int, pick: Pick) -> PendingWrite:
        self._memory(op.address, 8 * len(op.words))
        return self.writes.store(op.address, 8 * len(op.words), op.words, -1, release=False)

    def _atomic(self, op: Atomic, now: int, pick: Pick) -> Loaded:
        rules, address, size = self.rules, int(op.address), op.size
        memory = self._memory(address, size)
        memory.judge(self.who, address, size, write=True)
        began, old = memory.states(address, size, now)[0]
        stored = op.kind is not Amo.CAS or not op.fails_with(old)
        if stored:
            memory.write(address, size, combine(op.kind, old, int(op.value), size))
            at = self._wrote_at = now
            if rules.past and rules.loads_follow_stores:
                self._overwrote(address, size, now)
            if not rules.atomic_result:
                self._own_atomics[address >> 2] = now
        else:
            at = max(self.floor, began, at_of(op.address, op.after))
            if rules.past and rules.loads_coherent:
                self._saw(address, size, began)
        self._read_at = max(self._read_at, at)
        if rules.total_order:
            self.floor = now
        elif op.acquire and rules.atomic_acquire:
            self.floor = at
        return Loaded(old, at)

    def _fence(self, op: Fence, now: int, pick: Pick) -> None:
        if op.tso:
            self._order(self.rules.fence_tso)
        else:
            self._order(_pairs(op.predecessor, op.successor) & self.rules.fences)

    def _order(self, pairs: frozenset[str]) -> None:
        self.writes.fence(pairs)
        if "rr" in pairs:
            self.floor = max(self.floor, self._read_at)
        if "wr" in pairs:
            self.floor = max(self.floor, self._wrote_at)
        if "ir" in pairs:
            self.floor = max(self.floor, self._input_at)
            self._input_unordered = False
        if "or" in pairs:
            self.floor = max(self.floor, self._output_at)

    def _write_device(self, op: MmioWrite, now: int, pick: Pick) -> PendingWrite:
        return self.writes.output(op)

    def _read_device(self, op: MmioRead, now: int, pick: Pick) -> None:
        """A register read took hold at `now`; its value is the device's affair."""
        self._input_at = now
        self._input_unordered = True

    # --- Effects that follow -----------------------------------------------------------------------------------------

    def drain(self, entry: PendingWrite, now: int) -> None:
        """A pending store that is ready takes hold in memory."""
        memory = self._memory(entry.address, entry.size)
        memory.judge(self.who, entry.address, entry.size, write=True)
        if entry.size <= 8:
            memory.write(entry.address, entry.size, entry.words[0])
        else:
            memory.write_block(entry.address, entry.words)
        self._wrote_at = now
        if self.writes.left(entry):
            self.floor = now
        if self.rules.past and self.rules.loads_follow_stores:
            self._overwrote(entry.address, entry.size, now)

    def accepted(self, entry: PendingWrite, now: int) -> None:
        """A pending register write that was ready has taken hold in its device."""
        self._output_at = now
        if self.writes.left(entry):
            self.floor = now

    def refill(self, now: int) -> None:
        """The pipeline starts anew (a trap, a context switch): what it loads from here on is not older than `now`."""
        self.floor = now

    # --- Snapshots ---------------------------------------------------------------------------------------------------

    def snapshot(self, *, reads: bool = True) -> Any:
        """All that may make a difference later on, as a value for `restore` that can be compared.

        Without `reads` the hart will load nothing any more, and what it has seen makes no difference.
        """
        if not reads:
            return (self.writes.snapshot(), -1, -1, -1, -1, -1, False, (), (), ())
        return (
            self.writes.snapshot(),
            self.floor,
            self._read_at,
            self._wrote_at,
            self._input_at,
            self._output_at,
            self._input_unordered,
            tuple(sorted(self.seen.items())),
            tuple(sorted(self._filled.items())),
            tuple(sorted(self._own_atomics.items())),
        )

    def restore(self, snapshot: Any) -> None:
        """Go back to what `snapshot` returned."""
        (
            writes,
            self.floor,
            self._read_at,
            self._wrote_at,
            self._input_at,
            self._output_at,
            self._input_unordered,
            seen,
            filled,
            atomics,
        ) = snapshot
        self.writes.restore(writes)
        self.seen = dict(seen)
        self._filled = dict(filled)
        self._own_atomics = dict(atomics)


@cache
def _pairs(predecessor: str, successor: str) -> frozenset[str]:
    return frozenset(a + b for a in predecessor for b in successor)


EXECUTE: Mapping[type, Callable[[Hart, Any, int, Pick], Any]] = {
    Load: Hart.load,
    Store: Hart._store,
    StoreBlock: Hart._store_block,
    Atomic: Hart._atomic,
    Fence: Hart._fence,
    MmioWrite: Hart._write_device,
    MmioRead: Hart._read_device,
}
"""What `execute` does, by the type of the operation: for a caller that executes very many."""
