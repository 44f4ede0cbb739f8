"""The axiomatic definition of RVWMO and Ztso (Unprivileged, chapter RVWMO and appendix), enumerated by brute force.

A candidate execution says from which write each read takes its value, and in which order the writes of each location
take hold. It is allowed if the preserved program order and what the candidate implies have no cycle. An atomic is one
event that reads and writes. Knows nothing of harts, buffers or time: it is the twin of the operational model.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations, product

from cosim.sim.operations import Amo
from cosim.study.conform.litmus.programs import Instruction, Outcome, Test

INITIAL = -1
Edges = set[tuple[int, int]]


@dataclass(frozen=True)
class Event:
    """A memory access: its number, thread, place in the thread, and instruction."""

    number: int
    thread: int
    place: int
    instruction: Instruction

    @property
    def reads(self) -> bool:
        return self.instruction.op in ("load", "amo")

    @property
    def writes(self) -> bool:
        return self.instruction.op in ("store", "amo")

    @property
    def atomic(self) -> bool:
        return self.instruction.op == "amo"


class Twin:
    """All allowed outcomes of a test of loads, stores, atomics and fences."""

    def __init__(self, test: Test, model: str) -> None:
        self.test = test
        self.model = model
        numbered = [
            (thread, place, instruction)
            for thread, program in enumerate(test.threads)
            for place, instruction in enumerate(program)
            if not instruction.op.startswith("fence")
        ]
        self.events = [Event(number, *each) for number, each in enumerate(numbered)]
        self.po = {
            (a.number, b.number) for a in self.events for b in self.events if a.thread == b.thread and a.place < b.place
        }
        self.static = self._static_order()

    def outcomes(self) -> set[Outcome]:
        """Every outcome of an allowed candidate."""
        return {outcome for rf, co in self._candidates() if (outcome := self._judged(rf, co)) is not None}

    # --- Candidates --------------------------------------------------------------------------------------------------

    def _candidates(self) -> Iterator[tuple[dict[int, int], dict[str, tuple[int, ...]]]]:
        writes = {
            name: [e.number for e in self.events if e.writes and e.instruction.location == name]
            for name in self.test.initial
        }
        reads = [event for event in self.events if event.reads]
        sources = [[INITIAL, *(w for w in writes[read.instruction.location] if w != read.number)] for read in reads]
        for orders in product(*(permutations(each) for each in writes.values())):
            co = dict(zip(writes, orders, strict=True))
            for chosen in product(*sources):
                yield {read.number: source for read, source in zip(reads, chosen, strict=True)}, co

    def _judged(self, rf: dict[int, int], co: dict[str, tuple[int, ...]]) -> Outcome | None:
        place = {write: index for order in co.values() for index, write in enumerate(order)}
        place[INITIAL] = -1
        communication: Edges = {(a, b) for order in co.values() for i, a in enumerate(order) for b in order[i + 1 :]}
        internal: Edges = set()
        for read, source in rf.items():
            if source != INITIAL:
                external = self.events[source].thread != self.events[read].thread
                (communication if external else internal).add((source, read))
            later = co[self.events[read].instruction.location][place[source] + 1 :]
            communication |= {(read, write) for write in later if write != read}
            if self.events[read].atomic and place[source] != place[read] - 1:
                return None
        same = {(a, b) for a, b in self.po if self._location(a) == self._location(b)}
        if _cyclic(communication | internal | same):
            return None
        order = self.po | internal if self.model == "sequential" else self.static | self._dynamic_order(rf, internal)
        if _cyclic(communication | order):
            return None
        return self._outcome(rf, co)

    # --- Preserved program order -------------------------------------------------------------------------------------

    def _location(self, event: int) -> str:
        return self.events[event].instruction.location

    def _static_order(self) -> Edges:
        """The rules that do not depend on where values come from: 1, 4 to 7, 9 to 11, 13."""
        found: Edges = set()
        for x, y in self.po:
            a, b = self.events[x], self.events[y]
            first, second = a.instruction, b.instruction
            between = self.test.threads[a.thread][a.place + 1 : b.place]
            address, data, control = self._from(b)
            ordered = (
                (b.writes and first.location == second.location)
                or any(_fenced(fence, a, b) for fence in between)
                or first.acquire
                or second.release
                or (a.atomic and b.atomic and (first.release or first.acquire) and (second.acquire or second.release))
                or first.register in address
                or (b.writes and first.register in (data | control))
                or (b.writes and self._address_of_any_between(a, b))
            )
            if self.model == "tso":
                ordered = ordered or a.reads or b.writes or a.atomic or b.atomic
            if ordered:
                found.add((x, y))
        return found

    def _from(self, event: Event) -> tuple[set[str], set[str], set[str]]:
        instruction = event.instruction
        value = {instruction.value} if isinstance(instruction.value, str) else set()
        return (
            set(instruction.address_from),
            set(instruction.data_from) | value,  # type: ignore[arg-type]
            set(instruction.control_from),
        )

    def _address_of_any_between(self, a: Event, b: Event) -> bool:
        between = self.test.threads[a.thread][a.place + 1 : b.place]
        return bool(a.instruction.register) and any(a.instruction.register in each.address_from for each in between)

    def _dynamic_order(self, rf: dict[int, int], internal: Edges) -> Edges:
        """The rules that depend on where values come from: 2, 3 and 12."""
        found: Edges = set()
        for x, y in self.po:
            a, b = self.events[x], self.events[y]
            if a.reads and b.reads and self._location(x) == self._location(y) and rf[x] != rf[y]:
                between = [e for e in self.events if e.thread == a.thread and a.place < e.place < b.place]
                if not any(e.writes and self._location(e.number) == self._location(x) for e in between):
                    found.add((x, y))
        for write, read in internal:
            if self.events[write].atomic:
                found.add((write, read))
            address, data, _ = self._from(self.events[write])
            for x, y in self.po:
                if y == write and self.events[x].instruction.register in (address | data):
                    found.add((x, read))
        return found

    # --- Outcomes ----------------------------------------------------------------------------------------------------

    def _outcome(self, rf: dict[int, int], co: dict[str, tuple[int, ...]]) -> Outcome | None:
        registers: list[dict[str, int]] = [{} for _ in self.test.threads]
        written: dict[int, int] = {}
        left = list(self.events)
        while left:
            waiting = [event for event in left if not self._known(event, rf, registers, written)]
            if len(waiting) == len(left):
                return None
            left = waiting
        words = {name: written[order[-1]] if order else self.test.initial[name] for name, order in co.items()}
        return self.test.outcome(registers, words)

    def _known(
        self, event: Event, rf: dict[int, int], registers: list[dict[str, int]], written: dict[int, int]
    ) -> bool:
        """Work out what an event reads and writes, if what that depends on is known."""
        instruction, mine = event.instruction, registers[event.thread]
        old = 0
        if event.reads:
            source = rf[event.number]
            if source != INITIAL and source not in written:
                return False
            old = self.test.initial[instruction.location] if source == INITIAL else written[source]
        if event.writes:
            if isinstance(instruction.value, str):
                if instruction.value not in mine:
                    return False
                value = mine[instruction.value]
            else:
                value = instruction.value
            written[event.number] = _COMBINED[instruction.kind](old, value) if event.atomic else value
        if event.reads and instruction.register:
            mine[instruction.register] = old
        return True


_COMBINED = {
    Amo.SWAP: lambda old, value: value,
    Amo.ADD: lambda old, value: old + value & 0xFFFF_FFFF,
    Amo.AND: lambda old, value: old & value,
    Amo.OR: lambda old, value: old | value,
    Amo.XOR: lambda old, value: old ^ value,
    Amo.MIN: lambda old, value: min(old, value, key=_signed),
    Amo.MAX: lambda old, value: max(old, value, key=_signed),
}


def _signed(word: int) -> int:
    return word - 0x1_0000_0000 if word & 0x8000_0000 else word


def _fenced(fence: Instruction, a: Event, b: Event) -> bool:
    if fence.op == "fence.tso":
        return a.reads or (a.writes and b.writes)
    if fence.op != "fence":
        return False
    before = (a.reads and "r" in fence.predecessor) or (a.writes and "w" in fence.predecessor)
    after = (b.reads and "r" in fence.successor) or (b.writes and "w" in fence.successor)
    return before and after


def _cyclic(edges: Edges) -> bool:
    following: dict[int, list[int]] = {}
    degree: dict[int, int] = {}
    for a, b in edges:
        following.setdefault(a, []).append(b)
        degree[b] = degree.get(b, 0) + 1
        degree.setdefault(a, 0)
    free = [node for node, count in degree.items() if not count]
    removed = 0
    while free:
        node = free.pop()
        removed += 1
        for after in following.get(node, ()):
            degree[after] -= 1
            if not degree[after]:
                free.append(after)
    return removed < len(degree)
