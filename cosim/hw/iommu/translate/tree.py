"""Trees of tables in memory: what a walk needs to know of page tables and directories, and where one is rooted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Generic, TypeVar

from mypy_extensions import trait

from cosim.sim.footprints import Footprint
from cosim.sim.server import Server
from cosim.sim.transport import Response

PREFIX_BITS: Final = 55
"""Of the number of an entry in its tables: its prefix, and the level in three bits."""


class TableEntry:
    """An entry of a table that was read: its `words` if memory answered, and `flags`, all bits set on the way to it.

    Where the tables are behind others and these lead nowhere, nothing is read: `behind` is then the entry of theirs
    at which the way ended.
    """

    __slots__ = ("address", "behind", "flags", "level", "response", "value", "words")

    def __init__(
        self,
        level: int,
        address: int,
        response: Response,
        words: Sequence[int],
        flags: int,
        behind: TableEntry | None = None,
    ) -> None:
        self.level = level
        self.address = address
        self.response = response
        self.words = words
        self.flags = flags
        self.behind = behind
        self.value: Any = None
        """What it was found to mean, for the next request that judges it."""

    def updated(self, word: int) -> None:
        """Memory holds this now in its place."""
        self.words = (word,)
        self.value = None


@trait
class Tree:
    """A kind of table: how a target (an IOVA, a device_id) is cut into indices, and what an entry says.

    `walks` and `reads` count what was walked and read of it.
    """

    kind: str
    name: str
    """What tells it from other trees of this IOMMU."""
    part: str
    """The latency part of its reads."""
    start: Server | None
    """What it takes to start a walk."""
    walks: int
    reads: int

    def prefix(self, target: int, level: int) -> int:
        """What all targets have in common that share their entry of this level."""
        raise NotImplementedError

    def place(self, table: int, target: int, level: int) -> tuple[int, int]:
        """Address and size of an entry."""
        raise NotImplementedError

    def pointer(self, words: Sequence[int], level: int) -> int | None:
        """Where the next table is; None if the walk ends at this entry, whatever the reason."""
        raise NotImplementedError

    def step(self, entry: TableEntry) -> Server | None:
        """What it takes to judge an entry whose first 8 bytes are there."""
        raise NotImplementedError

    def peek(self, tables: Tables[Tree], target: int) -> tuple[int, int, int] | None:
        """The deepest table that the caches know: the level of its entries, its address, the flags on the way to it."""
        raise NotImplementedError

    def cached(self, tables: Tables[Tree], target: int) -> tuple[int, int, int] | None:
        """The same as a look-up, which counts."""
        raise NotImplementedError

    def remember(self, tables: Tables[Tree], target: int, level: int, table: int, flags: int) -> None:
        """Cache the entry of this level, which points to `table`."""
        raise NotImplementedError

    def touched(self, iommu: str, tables: Tables[Tree], target: int) -> tuple[Footprint, Footprint]:
        """What a read of a walk, and what `remember` touches besides memory, as actions; nothing if it keeps none."""
        raise NotImplementedError


@trait
class Stage(Tree):
    """A tree that translates addresses, also those of another tree's tables."""

    def leads_to(self, entry: TableEntry, address: int) -> int | None:
        """Where `address` leads by the entry at which its walk has ended; None if a table must not be read there."""
        raise NotImplementedError


T_co = TypeVar("T_co", bound=Tree, covariant=True)


class Tables(Generic[T_co]):
    """A tree of a kind at its root in memory: what a walk walks.

    The addresses in it are physical, or they are translated by the tables that it is `behind`, which may be behind
    others in turn: so stages nest, and a tree does not know in which it stands. `tag` is the GSCID and PSCID under
    which its entries are cached; only walks of equal `key` have entries in common: a number that tells all of this.
    """

    __slots__ = ("behind", "big_endian", "key", "levels", "root", "tag", "tree")

    def __init__(
        self,
        tree: T_co,
        root: int,
        levels: int,
        tag: tuple[int, int],
        *,
        big_endian: int = 0,
        behind: Tables[Stage] | None = None,
    ) -> None:
        self.tree = tree
        self.root = root
        self.levels = levels
        self.tag = tag
        self.big_endian = big_endian
        self.behind = behind
        key = 0 if behind is None else behind.key
        fields = (int.from_bytes(tree.name.encode(), "big"), 64), (tag[0], 32), (tag[1], 32), (levels, 3), (root, 64)
        for value, bits in (*fields, (0, PREFIX_BITS)):
            key = key << bits | value & (1 << bits) - 1
        self.key: int = key
