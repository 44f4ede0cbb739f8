"""The walker: reads trees of tables in memory, one entry after the other, for page tables and directories alike."""

from __future__ import annotations

from collections.abc import Generator, Hashable
from typing import TYPE_CHECKING, Any

from cosim.events import Busy, WalkDone
from cosim.hw.iommu.faults import NotImplementedCapability
from cosim.hw.iommu.memory_port import MemoryPort
from cosim.hw.iommu.options import IommuOptions
from cosim.hw.iommu.translate.walk import TableEntry, Walk
from cosim.sim.component import Component
from cosim.sim.gate import Gate
from cosim.sim.transport import Access, AccessKind, Port, Response

if TYPE_CHECKING:
    from cosim.hw.iommu.translate.context import DeviceContext
    from cosim.sim.simulation import Sim


class Walker(Component):
    """Walks trees, ``geometry.walkers`` at the same time, each table entry for all who miss at it together.

    A walk that reaches an entry which another one is reading, or is about to read, joins it. Where their ways part
    it goes on by itself, from the table that they had in common; whoever stays is given the entry that ends the walk.
    Counters: `merged` (walks that joined another), `busy_ps` (the time of all walkers, added up).
    """

    def __init__(self, sim: Sim, path: str, options: IommuOptions, port: Port, address_bits: int) -> None:
        super().__init__(sim, f"{path}.walker")
        self.iommu = path
        self.memory = MemoryPort(port, self.path)
        self.address_bits = address_bits
        self.slots = Gate(sim, options.geometry.walkers, "walker_wait")
        self.merged = 0
        self.busy_ps = 0
        self._leading: dict[Hashable, Walk] = {}
        self._done = sim.probe(WalkDone)
        self._busy = sim.probe(Busy)

    def walk(self, walk: Walk) -> Generator[Any, Any, TableEntry | None]:
        """Walk to the entry that ends it; None if the request has to start again. `finish` has to follow."""
        miss, tree = walk.miss, walk.tree
        if (known := tree.cached(walk)) is not None:
            walk.go_on(*known, known[0] + 1)
        while (leader := self._leader(walk)) is not None:
            yield self._join(walk, leader)
            if walk.lost or miss.must_restart:
                return None
            if walk.entry is not None:
                return walk.entry
        self._lead(walk)
        if not self.slots.take():
            yield self.slots
            known = tree.peek(walk)
            if known is not None and known[0] < walk.level:
                self._descend(walk, *known, known[0] + 1)
        walk.began = self.sim.now
        if tree.start is not None:
            yield tree.start
        while not miss.must_restart:
            address, size = tree.place(walk.table, walk.target, walk.level)
            if tree.guest and miss.context is not None and miss.context.second.levels:
                address = yield from self.second_stage(miss.context, address)
            if address + size - 1 >> self.address_bits:
                entry = TableEntry(walk.level, address, Response.ACCESS_FAULT, (), walk.flags)
            else:
                miss.access = access = self._access(walk, address, size)
                yield access
                miss.access = None
                walk.seen = True
                walk.reads += 1
                flags = walk.flags if access.response is Response.ACCESS_FAULT else walk.flags | access.words[0]
                entry = TableEntry(walk.level, address, access.response, access.words, flags)
                if miss.must_restart:
                    break
            walk.read = entry
            step = tree.step(entry)
            if step is not None:
                yield step
                if miss.must_restart:
                    break
            table = tree.pointer(entry.words, walk.level) if entry.response is Response.OK else None
            if table is None:
                walk.entry = entry
                return entry
            if not miss.overtaken:
                tree.remember(walk, table, entry.flags)
            self._descend(walk, walk.level - 1, table, entry.flags, walk.top)
        return None

    def second_stage(self, context: DeviceContext, gpa: int) -> Generator[Any, Any, int]:
        """Where a guest physical address leads: here every table address of a first stage with a second one comes.

        A second stage that is not Bare is not modelled.
        """
        raise NotImplementedCapability(context.second.name)
        yield  # it will read tables, too

    def _access(self, walk: Walk, address: int, size: int) -> Access:
        agent = f"{walk.miss.txn.master or self.path}.walk" if self.sim.exploring else ""
        return self.memory.access(
            AccessKind.READ, address, size, walk.tree.part, big_endian=walk.big_endian, agent=agent
        )

    def finish(self, walk: Walk, entry: TableEntry | None) -> None:
        """Free the walker, and give all who have joined the entry; without one they have to start again."""
        if walk.leader is not None or walk.key is None:
            return
        self.retire(walk)
        walk.key = None
        for other in walk.joined:
            other.entry, other.lost, other.merged = entry, entry is None, True
            other.level, other.flags = walk.level, walk.flags
            self._part(other)
        walk.joined = []
        if walk.began < 0:
            return
        self.slots.release()
        now = self.sim.now
        self.busy_ps += now - walk.began
        tree = walk.tree
        tree.walks += 1
        tree.reads += walk.reads
        if self._busy:
            self._busy(Busy(now, f"{self.iommu}.walkers", now - walk.began))
        if self._done:
            fault = entry is None or entry.value is None
            self._done(WalkDone(now, self.iommu, walk.miss.txn.device_id, tree.kind, walk.reads, walk.began, fault))

    def retire(self, walk: Walk) -> None:
        """Let nobody join `walk` any more."""
        if self._leading.get(walk.key) is walk:
            del self._leading[walk.key]

    # --- Walks together ----------------------------------------------------------------------------------------------

    def _leader(self, walk: Walk) -> Walk | None:
        """Who reads, or is about to read, an entry that `walk` is going to need."""
        if not self._leading:
            return None
        tree, target = walk.tree, walk.target
        for level in range(walk.level, -1, -1):
            found = self._leading.get((walk.tag, level, tree.prefix(target, level)))
            if found is not None:
                return found
        return None

    def _join(self, walk: Walk, leader: Walk) -> Gate:
        self.merged += 1
        walk.leader = leader
        leader.joined.append(walk)
        if walk.gate is None:
            walk.gate = Gate(self.sim, 0, "merge_wait")
        return walk.gate

    def _part(self, walk: Walk) -> None:
        walk.leader = None
        assert walk.gate is not None
        walk.gate.flush()

    def _lead(self, walk: Walk) -> None:
        walk.key = (walk.tag, walk.level, walk.tree.prefix(walk.target, walk.level))
        if not walk.miss.overtaken:
            self._leading.setdefault(walk.key, walk)

    def _descend(self, walk: Walk, level: int, table: int, flags: int, top: int) -> None:
        """Go on to the next table, and part from those who need another entry of it."""
        self.retire(walk)
        walk.go_on(level, table, flags, top)
        self._lead(walk)
        if walk.joined:
            prefix, mine = walk.tree.prefix, walk.tree.prefix(walk.target, level)
            staying = []
            for other in walk.joined:
                if prefix(other.target, level) == mine:
                    staying.append(other)
                else:
                    other.go_on(level, table, flags, top)
                    self._part(other)
            walk.joined = staying
