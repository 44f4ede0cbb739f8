"""What makes the runs of chunks, for whoever hands them out: processes here, or a cluster."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from cosim.study.pool.asked import Died, Wanted
from cosim.study.pool.chunks import Chunk
from cosim.study.pool.record import Record
from cosim.study.run.run import Point


class Came(NamedTuple):
    """What came of a point that was of a chunk: its record, or that it came to none."""

    chunk: Chunk
    number: int
    point: Point
    record: Record | Died


class Crew(Protocol):
    """Takes chunks as far as there is room, and tells what comes of each of their points, once and in any order."""

    @property
    def jobs(self) -> int:
        """How many runs may be under way at once, as far as that is known now."""

    def take(self, waiting: deque[Chunk]) -> None:
        """Take chunks from the left, as many as there is room for."""

    def wait(self, told: Sequence[int]) -> Iterator[Came]:
        """What has come since; waits if nothing has, until one of `told`, file descriptors, can be read from."""

    def forget(self) -> None:
        """Nobody waits any more for what was taken."""

    def close(self) -> None:
        """End what was begun."""


class Place(Protocol):
    """Where runs can be made other than by processes of this one."""

    def crew(self, wanted: Wanted, jobs: int | None) -> Crew:
        """What makes runs there as `wanted`, at most so many `jobs` at once."""
