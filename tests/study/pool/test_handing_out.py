"""A pool hands out more whenever there is room, however the runs that are open end."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from cosim.study.pool import Pool, Record
from cosim.study.pool.asked import Wanted
from cosim.study.pool.chunks import Chunk
from cosim.study.pool.crew import Came
from tests.study.pool.systems import TINY, loaded, numbered


class AllAtOnce:
    """A crew, and its place, that ends whatever is open at the same time, the first one last."""

    jobs = 1

    def __init__(self) -> None:
        self.sizes: list[int] = []
        """How many points each chunk had that was taken."""
        self._taken: list[Came] = []

    def crew(self, wanted: Wanted, jobs: int | None) -> AllAtOnce:
        return self

    def take(self, waiting: deque[Chunk]) -> None:
        while waiting:
            chunk = waiting.popleft()
            self.sizes.append(len(chunk.points))
            self._taken += [Came(chunk, number, point, Record("ok")) for number, point in chunk.points.items()]

    def wait(self, told: Sequence[int]) -> Iterator[Came]:
        assert self._taken, "it waits for nothing, and would do so for ever"
        ended, self._taken = self._taken[::-1], []
        return iter(ended)

    def forget(self) -> None:
        """Nothing is begun."""

    close = forget


@pytest.mark.parametrize("in_order", [True, False])
def test_more_is_taken_once_all_that_was_open_has_ended_at_the_same_time(tmp_path: Path, in_order: bool) -> None:
    points = numbered(loaded(tmp_path, TINY), 30)
    with Pool(place=AllAtOnce(), chunk=1) as pool:
        found = [point for point, _ in pool.runs(points, in_order=in_order)]
    assert sorted(found, key=points.index) == points
    assert found == points or not in_order


def test_chunks_grow_with_what_has_ended_but_no_chunk_is_a_large_part_of_it(tmp_path: Path) -> None:
    crew = AllAtOnce()
    points = numbered(loaded(tmp_path, TINY), 600)
    with Pool(place=crew) as pool:
        assert len(list(pool.runs(points))) == 600
    *sizes, _ = crew.sizes
    assert sizes == sorted(sizes)
    assert (sizes[0], sizes[-1]) == (8, 32)
    ended = 0
    for size in sizes:
        assert size == 8 or size <= ended / 4
        ended += size


def test_a_chunk_that_is_asked_for_stays_as_large(tmp_path: Path) -> None:
    crew = AllAtOnce()
    with Pool(place=crew, chunk=5) as pool:
        assert len(list(pool.runs(numbered(loaded(tmp_path, TINY), 300)))) == 300
    assert set(crew.sizes) == {5}
