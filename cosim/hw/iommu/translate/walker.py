"""The walker: reads trees of tables in memory, one entry after the other, for page tables and directories alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cosim.events import Busy, WalkBegun, WalkDone, WalkJoined
from cosim.hw.iommu.memory_port import MemoryPort
from cosim.hw.iommu.options import IommuOptions
from cosim.hw.iommu.translate.miss import Miss, StartAgain
from cosim.hw.iommu.translate.tree import TableEntry, Tables, Tree
from cosim.hw.iommu.translate.walk import Walk
from cosim.sim.component import Component
from cosim.sim.gate import Gate
from cosim.sim.ranks import Stage
from cosim.sim.server import Server, Service
from cosim.sim.task import Routine, Subroutine
from cosim.sim.transport import Access, AccessKind, Port, Response

# Looked up once: up to Python 3.11 each look at a member of an enumeration costs as much as a call.
_READ: Final = AccessKind.READ
_OK: Final = Response.OK
_REFUSED: Final = Response.ACCESS_FAULT

if TYPE_CHECKING:
    from cosim.sim.simulation import Sim


class Walker(Component):
    """Walks trees, ``geometry.walkers`` at the same time, each table entry for all who miss at it together.

    A walk that reaches an entry which another one is reading, or is about to read, joins it. Where their ways part
    it goes on by itself, from the table that they had in common; whoever stays is given the entry that ends the walk.
    Counters: `merged` (walks that joined another), `merge_wait_ps` (how long they waited, added up), `busy_ps` (the
    time of all walkers until now, added up, with ``timing.walker_turnaround``).

    Walks nest: each address of tables that are behind others is first walked through those, by the same walker and
    for this walk alone. Each walker has one read under way. With ``timing.walk_read_interval`` the walkers are the
    walks that one machine has in hand, whose reads overlap: `reading` lets them start one after the other.
    """

    def __init__(self, sim: Sim, path: str, options: IommuOptions, port: Port, address_bits: int) -> None:
        super().__init__(sim, f"{path}.walker")
        self.iommu = path
        self.memory = MemoryPort(port, self.path)
        self.address_bits = address_bits
        self.slots = Gate(sim, options.geometry.walkers, "walker_wait")
        self._turnaround = options.timing.walker_turnaround
        self.reading = Server(options.timing.walk_read_interval, "read_wait", latency_ps=0)
        self._later = Server(0, "read_wait")
        self.merged = 0
        self._joined_now = 0
        self._joined_ps = 0
        self._at_work = 0
        self._walked_ps = 0
        self._leading: dict[int, Walk] = {}
        self._began = sim.probe(WalkBegun)
        self._joined = sim.probe(WalkJoined)
        self._done = sim.probe(WalkDone)
        self._busy = sim.probe(Busy)

    def begin(self, miss: Miss, tables: Tables[Tree], target: int) -> Walk:
        """A new walk for a request; it lasts until the end of its ``with``."""
        walk = Walk(self, miss, tables, target)
        miss.walks(walk)
        return walk

    def walk(self, walk: Walk) -> Subroutine[TableEntry]:
        """Walk to the entry at which the walk ends. Raises StartAgain."""
        miss, tables = walk.miss, walk.tables
        tree = walk.tree
        if (known := tree.cached(tables, walk.target)) is not None:
            level, table, flags = known
            walk.go_on(level, table, flags, level + 1)
        if walk.outer is None:  # an inner walk is one of a walker that is at work
            while (leader := self._leader(walk)) is not None:
                yield self._join(walk, leader)
                if walk.lost or miss.must_restart:
                    raise StartAgain
                if walk.entry is not None:
                    return walk.entry
            self._lead(walk)
            if not self.slots.take():
                yield self.slots
                self._catch_up(walk)
            self._set_out(walk)
            if tree.start is not None:
                yield tree.start
        while not miss.must_restart:
            address, size = tree.place(walk.table, walk.target, walk.level)
            blocked = None
            if tables.behind is not None:
                found, last = yield from self.behind(walk, address)
                address, blocked = (address, last) if found is None else (found, None)
            if blocked is not None or address + size - 1 >> self.address_bits:
                entry = TableEntry(walk.level, address, _REFUSED, (), walk.flags, blocked)
            else:
                if self.reading.interval_ps and (later := self._next_read()) is not None:
                    yield later
                    if miss.must_restart:
                        break
                walk.access = access = self._access(walk, address, size)
                yield access
                walk.access = None
                if not walk.seen:
                    walk.saw()
                walk.reads += 1
                flags = walk.flags if access.response is _REFUSED else walk.flags | access.words[0]
                entry = TableEntry(walk.level, address, access.response, access.words, flags)
                if miss.must_restart:
                    break
            walk.read = entry
            step = tree.step(entry)
            if step is not None:
                yield step
                if miss.must_restart:
                    break
            next_table = tree.pointer(entry.words, walk.level) if entry.response is _OK else None
            if next_table is None:
                walk.entry = entry
                return entry
            if self.sim.exploring and not miss.overtaken and walk.outer is None:
                yield from self._before_remembering(walk)
                if miss.must_restart:
                    break
            if not miss.overtaken:
                tree.remember(tables, walk.target, walk.level, next_table, entry.flags)
            self._descend(walk, walk.level - 1, next_table, entry.flags, walk.top)
        raise StartAgain

    def behind(self, walk: Walk, address: int) -> Subroutine[tuple[int | None, TableEntry]]:
        """Where an address in the tables of `walk` leads by those that they are behind, and the entry that says so.

        None if it leads nowhere. Raises StartAgain.
        """
        tables = walk.tables.behind
        assert tables is not None
        inner = walk.inner = Walk(self, walk.miss, tables, address, walk)
        tree = tables.tree
        try:
            entry = yield from self.walk(inner)
            found = tree.leads_to(entry, address)
            if found is not None and tables.behind is not None:
                found, entry = yield from self.behind(inner, found)
        finally:
            walk.inner = None
            tree.walks += 1
            tree.reads += inner.reads
        return found, entry

    def swap(self, walk: Walk, entry: TableEntry, new: int, agent: str) -> Subroutine[Access]:
        """Change an entry that was read, unless memory holds something else by now; returns the access, made."""
        _, size = walk.tree.place(0, walk.target, entry.level)
        words, big_endian = (entry.words[0], new), walk.tables.big_endian
        walk.access = access = self.memory.access(
            AccessKind.CAS, entry.address, size, "ad_update", words, big_endian=big_endian, agent=agent
        )
        yield access
        walk.access = None
        return access

    def end(self, walk: Walk, entry: TableEntry | None) -> None:
        """Let a walk go: free its walker, and give all who have joined the entry; without one they start again."""
        if walk.leader is not None or not walk.key:
            return
        self._give_up_lead(walk)
        for other in walk.joined:
            other.entry, other.lost, other.merged = entry, entry is None, True
            other.level, other.flags = walk.level, walk.flags
            self._part(other)
        walk.joined = []
        if walk.began < 0:
            return
        now = self.sim.now
        if self._turnaround > 1:
            # The gate's own hand-over takes the last tick of it.
            rank = self.sim.initiator(f"{self.path}.turnaround").rank(Stage.TRANSACTION)
            self.sim.at(now + self._turnaround - 1, rank, lambda: self._free(walk.began))
        else:
            self._free(walk.began)
        tree = walk.tree
        tree.walks += 1
        tree.reads += walk.reads
        if self._done:
            fault, txn, kind = entry is None or entry.value is None, walk.miss.txn, tree.kind
            self._done(
                WalkDone(now, self.iommu, txn.device_id, kind, walk.reads, walk.began, fault, txn.master, txn.sequence)
            )

    def _free(self, began: int) -> None:
        """Give a walker that was taken at `began` to the next walk."""
        self.slots.release()
        now = self.sim.now
        self._at_work -= 1
        self._walked_ps += now
        if self._busy:
            self._busy(Busy(now, f"{self.iommu}.walkers", now - began))

    # --- Reading -----------------------------------------------------------------------------------------------------

    def _catch_up(self, walk: Walk) -> None:
        """Go on to the deepest table that has become known while the walk waited for a walker."""
        known = walk.tree.peek(walk.tables, walk.target)
        if known is not None:
            level, table, flags = known
            if level < walk.level:
                self._descend(walk, level, table, flags, level + 1)

    def _set_out(self, walk: Walk) -> None:
        """The walk has a walker."""
        walk.began = now = self.sim.now
        self._at_work += 1
        self._walked_ps -= now
        if self._began:
            txn, kind = walk.miss.txn, walk.tree.kind
            self._began(WalkBegun(now, self.iommu, txn.device_id, kind, txn.master, txn.sequence))

    def _next_read(self) -> Service | None:
        """The wait until another read may start; None if it may now."""
        now = self.sim.now
        start = self.reading.admit(now)
        return self._later.taking(0, start - now) if start > now else None

    def _access(self, walk: Walk, address: int, size: int) -> Access:
        tables = walk.tables
        access = self.memory.access(_READ, address, size, walk.tree.part, big_endian=tables.big_endian)
        if self.sim.exploring:
            access.agent = f"{self._master(walk)}.walk"
            access.touches, _ = walk.tree.touched(self.iommu, tables, walk.target)
        return access

    def _master(self, walk: Walk) -> str:
        """On whose behalf it walks."""
        return walk.miss.txn.master or self.path

    def _before_remembering(self, walk: Walk) -> Routine:
        """Wait until the schedule lets an entry that points to a table be cached."""
        tree = walk.tree
        _, kept = tree.touched(self.iommu, walk.tables, walk.target)
        if kept:
            master = self._master(walk)
            yield from self.sim.actions.ask(f"{master}.nonleaf", master, kept, True, tree.part)

    @property
    def busy_ps(self) -> int:
        """How long walkers have walked until now, added up; of a walk that is under way what it has taken so far."""
        return self._walked_ps + self._at_work * self.sim.now

    @property
    def merge_wait_ps(self) -> int:
        """How long walks have waited for one another until now, added up."""
        return self._joined_ps + self._joined_now * self.sim.now

    # --- Walks together ----------------------------------------------------------------------------------------------

    def _leader(self, walk: Walk) -> Walk | None:
        """Who reads, or is about to read, an entry that `walk` is going to need."""
        if not self._leading:
            return None
        for level in range(walk.level, -1, -1):
            found = self._leading.get(_key(walk, level))
            if found is not None and not found.miss.overtaken:
                return found
        return None

    def _join(self, walk: Walk, leader: Walk) -> Gate:
        self.merged += 1
        self._joined_now += 1
        self._joined_ps -= self.sim.now
        walk.leader = leader
        leader.joined.append(walk)
        if self._joined:
            txn, other = walk.miss.txn, leader.miss.txn
            now, by, behind = self.sim.now, txn.master, other.master
            self._joined(WalkJoined(now, self.iommu, txn.device_id, by, txn.sequence, behind, other.sequence))
        if walk.gate is None:
            walk.gate = Gate(self.sim, 0, "merge_wait")
        return walk.gate

    def _part(self, walk: Walk) -> None:
        self._joined_now -= 1
        self._joined_ps += self.sim.now
        walk.leader = None
        assert walk.gate is not None
        walk.gate.flush()

    def _lead(self, walk: Walk) -> None:
        """Let others join, unless an invalidation has overtaken the walk, or another one leads to the same entry."""
        walk.key = key = _key(walk, walk.level)
        if not walk.miss.overtaken:
            leader = self._leading.get(key)
            if leader is None or leader.miss.overtaken:
                self._leading[key] = walk

    def _give_up_lead(self, walk: Walk) -> None:
        if self._leading.get(walk.key) is walk:
            del self._leading[walk.key]

    def _descend(self, walk: Walk, level: int, table: int, flags: int, top: int) -> None:
        """Go on to the next table, and part from those who need another entry of it."""
        if walk.outer is not None:
            walk.go_on(level, table, flags, top)  # nobody has joined an inner walk
            return
        self._give_up_lead(walk)
        walk.go_on(level, table, flags, top)
        self._lead(walk)
        if walk.joined:
            tree = walk.tree
            mine = tree.prefix(walk.target, level)
            staying = []
            for other in walk.joined:
                if tree.prefix(other.target, level) == mine:
                    staying.append(other)
                else:
                    other.go_on(level, table, flags, top)
                    self._part(other)
            walk.joined = staying


def _key(walk: Walk, level: int) -> int:
    """Of the entry of this level that leads to where a walk goes: what it has in common with all who need it."""
    return walk.tables.key | walk.tree.prefix(walk.target, level) << 3 | level
