"""What a hart has issued and not yet made visible: in which order it may take hold, and who has to wait for it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Any, NamedTuple

from cosim.hw.cpu.ordering import Rules
from cosim.sim.loaded import Value, at_of
from cosim.sim.operations import Atomic, Load, MmioRead, MmioWrite, Op, Store

STORE, OUTPUT = "w", "o"

_BARRIERS = tuple(a + b for a in (STORE, OUTPUT) for b in "iorw")


class PendingWrite(NamedTuple):
    """A store, or a posted register write, that has been issued and has not taken hold.

    `after_stores` and `after_outputs` are numbers: what is pending of that kind up to there goes first.
    """

    number: int
    kind: str
    address: int
    size: int
    words: tuple[int, ...]
    address_at: int
    data_at: int
    after_stores: int
    after_outputs: int
    device: Hashable

    @property
    def end(self) -> int:
        """The first byte address after it."""
        return self.address + self.size

    def value(self, address: int, size: int) -> int:
        """The `size` bytes at `address`, all of which it holds."""
        offset = address - self.address
        word = self.words[offset >> 3]
        if offset & 7 or size != 8:
            word = word >> 8 * (offset & 7) & (1 << 8 * size) - 1
        return word


class PendingWrites:
    """The pending stores and register writes of a hart, in program order, and the fences behind them.

    Entries are numbered from 1. For each pair of a kind of predecessor and a successor, a *barrier* is the number up
    to which pending predecessors take hold before any such successor that is issued from then on.
    """

    __slots__ = ("_barriers", "_device", "_number", "_rules", "pending")

    def __init__(self, rules: Rules, device: Callable[[int], Hashable]) -> None:
        self._rules = rules
        self._device = device
        self._number = 0
        self._barriers = dict.fromkeys(_BARRIERS, 0)
        self.pending: list[PendingWrite] = []

    # --- In program order --------------------------------------------------------------------------------------------

    def store(self, address: Value, size: int, words: tuple[int, ...], data_at: int, *, release: bool) -> PendingWrite:
        """Issue a store of `words`; the address and the data came from the states of memory at `at`."""
        after = self._number if release or self._rules.total_order else self._barriers["ww"]
        self._number += 1
        places = (self._number, STORE, int(address), size, words, at_of(address), data_at)
        entry = PendingWrite(*places, after, self._barriers["ow"], None)
        self.pending.append(entry)
        return entry

    def output(self, op: MmioWrite) -> PendingWrite:
        """Issue a register write."""
        self._number += 1
        words = (int(op.value) & (1 << 8 * op.size) - 1,)
        places = (self._number, OUTPUT, int(op.address), op.size, words, -1, -1)
        entry = PendingWrite(*places, self._barriers["wo"], self._barriers["oo"], self._device(op.address))
        self.pending.append(entry)
        return entry

    def fence(self, pairs: Iterable[str]) -> None:
        """What is pending goes before what is issued from here on, as each of `pairs` says."""
        for pair in pairs:
            if pair in self._barriers:
                self._barriers[pair] = self._number

    def left(self, entry: PendingWrite) -> bool:
        """`entry` has taken hold; returns whether a fence has later loads wait for it."""
        self.pending.remove(entry)
        return entry.number <= self._barriers[entry.kind + "r"]

    # --- What has to wait ---------------------------------------------------------------------------------------------

    def blockers(self, op: Op[object]) -> list[PendingWrite]:
        """What is pending and must take hold before `op` may be executed."""
        pending = self.pending
        if not pending:
            return pending
        if not self._rules.buffer:
            return list(pending)
        if type(op) is Store:
            return []
        barriers = self._barriers
        if isinstance(op, Load):
            stores, outputs = barriers["wr"], barriers["or"]
            return [
                entry for entry in pending if entry.number <= (stores if entry.kind == STORE else outputs)
            ] or self._torn(op.address, op.size)
        if isinstance(op, Atomic):
            stores = max(barriers["wr"], barriers["ww"])
            outputs = max(barriers["or"], barriers["ow"])
            if self._rules.total_order or (op.release and self._rules.atomic_release):
                stores = self._number
            first, end = op.address, op.address + op.size
            return [
                entry
                for entry in pending
                if (
                    entry.number <= stores or (entry.address < end and first < entry.end)
                    if entry.kind == STORE
                    else entry.number <= outputs
                )
            ]
        if isinstance(op, MmioRead):
            stores, outputs = barriers["wi"], barriers["oi"]
            device = self._device(op.address)
            return [
                entry
                for entry in pending
                if (
                    entry.number <= stores
                    if entry.kind == STORE
                    else entry.number <= outputs or (self._rules.device_in_order and entry.device == device)
                )
            ]
        return []

    def _torn(self, address: int, size: int) -> list[PendingWrite]:
        """The buffered stores to part of what a load reads, if the newest of them does not hold all of it."""
        if not self._rules.loads_follow_stores:
            return []
        overlapping = self.pending_at(address, size)
        if overlapping and overlapping[-1].address <= address and address + size <= overlapping[-1].end:
            return []
        return overlapping

    def pending_at(self, address: int, size: int) -> list[PendingWrite]:
        """The buffered stores to any of these bytes."""
        end = address + size
        return [entry for entry in self.pending if entry.kind == STORE and entry.address < end and address < entry.end]

    def ready(self, entry: PendingWrite) -> bool:
        """Whether `entry` may take hold: nothing pending has to go first."""
        rules = self._rules
        for earlier in self.pending:
            if earlier.number >= entry.number:
                return True
            if earlier.kind == STORE:
                if earlier.number <= entry.after_stores:
                    return False
                if (
                    entry.kind == STORE
                    and rules.stores_overlap
                    and earlier.address < entry.end
                    and entry.address < earlier.end
                ):
                    return False
            elif earlier.number <= entry.after_outputs or (
                entry.kind == OUTPUT and rules.device_in_order and earlier.device == entry.device
            ):
                return False
        return True

    def forwardable(self, address: int, size: int) -> PendingWrite | None:
        """The newest buffered store that holds all of these bytes."""
        if self._rules.loads_follow_stores:
            for entry in reversed(self.pending):
                if entry.kind == STORE and entry.address <= address and address + size <= entry.end:
                    return entry
        return None

    # --- Snapshots ---------------------------------------------------------------------------------------------------

    def snapshot(self) -> tuple[Any, ...]:
        """All that may make a difference later on; barriers with nothing pending before them make none."""
        oldest = self.pending[0].number if self.pending else self._number + 1
        barriers = tuple([number if number >= oldest else 0 for number in self._barriers.values()])
        return (self._number, barriers, tuple(self.pending))

    def restore(self, snapshot: tuple[Any, ...]) -> None:
        """Go back to what `snapshot` returned."""
        self._number, barriers, pending = snapshot
        self._barriers = dict(zip(_BARRIERS, barriers, strict=True))
        self.pending = list(pending)
