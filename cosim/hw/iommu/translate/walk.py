"""What a walk is made of: the tree it walks, the request it is for, and the entry at which it ends."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Protocol

from cosim.hw.dma.transaction import Transaction
from cosim.sim.gate import Gate
from cosim.sim.server import Server
from cosim.sim.transport import Access, AccessKind, Response

if TYPE_CHECKING:
    from cosim.hw.iommu.translate.context import DeviceContext
    from cosim.hw.iommu.translate.iotlb import Leaf
    from cosim.hw.iommu.translate.ledger import Epoch
    from cosim.hw.iommu.translate.page_table import AddressSpace


class Overtaken(IntEnum):
    """What became of a request when an invalidation named what it had read."""

    NOT = 0
    AGAIN = 1
    """It starts again from the first step."""
    ACROSS = 2
    """It goes on with what it has read, fills no cache, and a fence waits for its access."""


class TableEntry:
    """An entry of a table that was read: its `words` if memory answered, and `flags`, all bits set on the way to it."""

    __slots__ = ("address", "flags", "level", "response", "value", "words")

    def __init__(self, level: int, address: int, response: Response, words: Sequence[int], flags: int) -> None:
        self.level = level
        self.address = address
        self.response = response
        self.words = words
        self.flags = flags
        self.value: Any = None
        """What it was found to mean, for whoever judges it next."""


class Tree(Protocol):
    """A kind of table: how a target (an IOVA, a device_id) is cut into indices, and what an entry says.

    `walks` and `reads` count what was walked and read of it.
    """

    kind: str
    part: str
    """The latency part of its reads."""
    guest: bool
    """Whether the addresses of its tables are the guest's where there is a second stage."""
    start: Server | None
    """What it takes to start a walk."""
    walks: int
    reads: int

    def prefix(self, target: int, level: int) -> int:
        """What all targets have in common that share their entry of this level."""

    def place(self, table: int, target: int, level: int) -> tuple[int, int]:
        """Address and size of an entry."""

    def pointer(self, words: Sequence[int], level: int) -> int | None:
        """Where the next table is; None if the walk ends at this entry, whatever the reason."""

    def step(self, entry: TableEntry) -> Server | None:
        """What it takes to judge an entry whose first 8 bytes are there."""

    def peek(self, walk: Walk) -> tuple[int, int, int] | None:
        """The deepest table that the caches know: the level of its entries, its address, the flags on the way to it."""

    def cached(self, walk: Walk) -> tuple[int, int, int] | None:
        """The same as a look-up, which counts."""

    def remember(self, walk: Walk, table: int, flags: int) -> None:
        """Cache the entry of ``walk.level``, which points to `table`."""


class Miss:
    """A request that the caches could not answer, until its translation is decided.

    `walk` is its present or last walk. Once it is *overtaken* it must not be trusted with what it has read.
    """

    __slots__ = ("access", "context", "held", "leaf", "overtaken", "probed", "space", "txn", "walk")

    def __init__(self, txn: Transaction) -> None:
        self.txn = txn
        self.probed = False
        """Whether its look-up in the IOTLB has been counted."""
        self.walk: Walk | None = None
        self.context: DeviceContext | None = None
        self.space: AddressSpace | None = None
        """Where its leaf is looked for; None while it is not."""
        self.leaf: Leaf | None = None
        self.access: Access | None = None
        """Its access of a table that is under way."""
        self.overtaken = Overtaken.NOT
        self.held: Epoch | None = None

    def lacks_leaf(self, context: DeviceContext, space: AddressSpace) -> None:
        """Its context is known, and its leaf is in none of the caches."""
        self.context, self.space, self.probed = context, space, True

    @property
    def how(self) -> str:
        """How its leaf was found: by a walk of its own, or merged with another's."""
        return "merged" if self.walk is not None and self.walk.merged else "walk"

    @property
    def must_restart(self) -> bool:
        """Whether what it has read is not to be used."""
        return self.overtaken is Overtaken.AGAIN


class Walk:
    """A walk of `tree` to `target`. It *leads*, or it has *joined* another that reads the same entry.

    `level` and `table` say what is read next, `read` is what was read last, `entry` is what ended the walk. `tag`
    tells its tables from those of others.
    """

    __slots__ = (
        "began",
        "big_endian",
        "entry",
        "flags",
        "gate",
        "joined",
        "key",
        "leader",
        "level",
        "levels",
        "lost",
        "merged",
        "miss",
        "read",
        "reads",
        "seen",
        "table",
        "tag",
        "target",
        "top",
        "tree",
    )

    def __init__(
        self, miss: Miss, tree: Tree, tag: Hashable, target: int, levels: int, root: int, *, big_endian: int
    ) -> None:
        self.miss = miss
        self.tree = tree
        self.tag = tag
        self.target = target
        self.levels = levels
        self.big_endian = big_endian
        self.level = levels - 1
        self.table = root
        self.flags = 0
        self.top = levels - 1
        """The highest level of which an entry was used."""
        self.seen = False
        """Whether any entry was used: read, or taken from a cache."""
        self.read: TableEntry | None = None
        self.entry: TableEntry | None = None
        self.reads = 0
        self.began = -1
        """When it got a walker; -1 before."""
        self.key: Hashable = None
        self.leader: Walk | None = None
        self.joined: list[Walk] = []
        self.gate: Gate | None = None
        self.merged = False
        """Whether another walk read the entry that ended it."""
        self.lost = False
        """Whether the walk that it had joined was given up."""

    @property
    def source(self) -> Walk:
        """The walk that reads for this one: itself, or the one that it has joined."""
        return self.leader or self

    def known(self) -> TableEntry | None:
        """The entry of `level`, if memory has given its value away: to this walk, or to the one it has joined."""
        if self.entry is not None:
            return self.entry
        walk = self.source
        if walk.read is not None and walk.read.level == walk.level:
            return walk.read
        access = walk.miss.access
        if access is not None and access.kind is AccessKind.READ and (access.words or access.response):
            return TableEntry(walk.level, access.address, access.response, access.words, walk.flags)
        return None

    def go_on(self, level: int, table: int, flags: int, top: int) -> None:
        """Take it that the next entry to read is in `table`."""
        self.level, self.table, self.flags, self.top = level, table, flags, top
        self.seen = True
