"""What stands in memory, for oracles that have to look at it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Protocol

from cosim.oracles.oracle import Book


class Memories(Protocol):
    """All memory of a system; nothing here takes time."""

    def past(self, address: int, since: int) -> tuple[Sequence[int], bool]:
        """What the word at `address` has been since then, the newest first, and whether that is all that it has been.

        Where there is no memory it has been nothing, and nobody knows.
        """

    def peek(self, address: int, size: int) -> int:
        """What is there; LookupError where nothing answers."""

    def watch(self, address: int, call: Callable[[], None]) -> Callable[[], None]:
        """Call `call` whenever the word at `address` changes; returns how to stop."""

    def tell_of_loads(self, address: int, size: int) -> bool:
        """From now on `LoadSeen` tells of what threads load from these pages; false where they are not memory."""


class InMemory(Book):
    """The memory of the run; `of` is None where events are judged without one.

    It is for what is wrong already, or seldom happens: to look at each access is what events are too dear for.
    """

    watches: ClassVar[Mapping[type, str]] = {}

    def __init__(self, of: Memories | None = None) -> None:
        self.of = of
