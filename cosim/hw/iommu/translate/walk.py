"""A walk: where it is in its tables, with whom it goes together, and the entry at which it ends."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from cosim.hw.iommu.translate.miss import Miss, StartAgain
from cosim.hw.iommu.translate.tree import TableEntry, Tables, Tree
from cosim.sim.gate import Gate
from cosim.sim.transport import Access, AccessKind

if TYPE_CHECKING:
    from cosim.hw.iommu.translate.walker import Walker


class Walk:
    """A walk of `tables` to `target`, for a request. The walker that began it owns it: nobody else changes it.

    ```
        Walker.begin
             |
             v        another walk reads, or is about to read, what this one needs
          is new ----------------------------------> joined (merge_wait)
             |                                          |          |
             |   <---- parted: it needs another entry --+          |
             v                                                     |
          leads: it may be joined                                  |
             |  gets one of the walkers (walker_wait)              |
             v                                                     |
          reads an entry, goes on to the table that this points to |
             |  ^    |  ^                                          |
             |  +----+  `inner` walk to the entry's address,       |
             |           where the tables are behind others        |
             v                                                     v
          ended at `entry` -------------------- given the same `entry`
             |
             v  the request judges the entry, sets A and D, fills a cache; the walker is still taken
          let go: the ``with`` ends, the walker is free, who has joined is given the entry

    who               may                                       when
    Walker            change it                                 from `begin` to the end of the ``with``
    Resolver          read `entry` and `merged`                 once `Walker.walk` has returned
    Invalidations     ask what it has read, by way of `Miss`    at any time; they mark the miss, never the walk
    ```

    A request that must start again raises `StartAgain` at its next step: that too ends the ``with``, and who has
    joined starts again as well. A walk of a request that an invalidation has overtaken is joined by nobody.

    `level` and `table` say what is read next, `read` is what was read last.
    """

    __slots__ = (
        "access",
        "began",
        "entry",
        "flags",
        "gate",
        "inner",
        "joined",
        "key",
        "leader",
        "level",
        "lost",
        "merged",
        "miss",
        "outer",
        "read",
        "reads",
        "seen",
        "table",
        "tables",
        "target",
        "top",
        "tree",
        "walker",
    )

    def __init__(
        self, walker: Walker, miss: Miss, tables: Tables[Tree], target: int, outer: Walk | None = None
    ) -> None:
        self.walker = walker
        self.miss = miss
        self.tables = tables
        self.tree: Tree = tables.tree
        self.target = target
        self.outer = outer
        """The walk whose tables are behind these, and which waits for this one."""
        self.inner: Walk | None = None
        self.level = self.top = tables.levels - 1
        """`top` is the highest level of which an entry was used."""
        self.table = tables.root
        self.flags = 0
        self.seen = False
        """Whether any entry was used: read, or taken from a cache."""
        self.access: Access | None = None
        """Its access of a table that is under way."""
        self.read: TableEntry | None = None
        self.entry: TableEntry | None = None
        self.reads = 0
        self.began = -1
        """When it got a walker; -1 before."""
        self.key = 0
        """Of the entry that it leads to, or has led to; 0 if it never led."""
        self.leader: Walk | None = None
        self.joined: list[Walk] = []
        self.gate: Gate | None = None
        self.merged = False
        """Whether another walk read the entry that ended it."""
        self.lost = False
        """Whether the walk that it had joined was given up."""

    def __enter__(self) -> Walk:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Let the walk go; if its request starts again, its entry is not to be trusted."""
        self.walker.end(self, None if kind is StartAgain else self.entry)

    # --- Questions, for everybody ------------------------------------------------------------------------------------

    @property
    def source(self) -> Walk:
        """The walk that reads for this one: itself, or the one that it has joined."""
        return self.leader or self

    @property
    def accessing(self) -> bool:
        """Whether an access of its own is under way."""
        return self.access is not None or (self.inner is not None and self.inner.accessing)

    def known(self) -> TableEntry | None:
        """The entry of `level`, if memory has given its value away: to this walk, or to the one it has joined."""
        if self.entry is not None:
            return self.entry
        walk = self.source
        if walk.read is not None and walk.read.level == walk.level:
            return walk.read
        access = walk.access
        if access is not None and access.kind is AccessKind.READ and (access.words or access.response):
            return TableEntry(walk.level, access.address, access.response, access.words, walk.flags)
        return None

    def relies_on_any(self) -> bool:
        """Whether it has used any entry, of its own tables or of those that they are behind."""
        source = self.source
        return source.seen or self.known() is not None or (source.inner is not None and source.inner.relies_on_any())

    # --- Changes, for the walker -------------------------------------------------------------------------------------

    def go_on(self, level: int, table: int, flags: int, top: int) -> None:
        """Take it that the next entry to read is in `table`."""
        self.level, self.table, self.flags, self.top = level, table, flags, top
        if not self.seen:
            self.saw()

    def saw(self) -> None:
        """An entry was used, also on behalf of the outer walks."""
        self.seen = True
        if self.outer is not None:
            self.outer.saw()
