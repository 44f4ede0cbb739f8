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
        self._taken: list[Came] = []

    def crew(self, wanted: Wanted, jobs: int | None) -> AllAtOnce:
        return self

    def take(self, waiting: deque[Chunk]) -> None:
        while waiting:
            chunk = waiting.popleft()
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
