"""A pool hands out more whenever there is room, however the runs that are open end."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from cosim.study.pool import Pool, Record
from cosim.study.pool.after_boot import boot_key
from cosim.study.pool.asked import Wanted
from cosim.study.pool.chunks import Chunk, Feed
from cosim.study.pool.crew import Came
from cosim.study.pool.frames import Frames, put
from cosim.study.run.run import Point
from tests.study.pool.systems import RACE, TINY, loaded, numbered


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


def test_points_of_several_topologies_are_in_no_chunk_together(tmp_path: Path) -> None:
    """But for what takes effect after boot, and for the seed; where times count from reset, for the seed alone."""

    def chunks(*changes: dict[str, object]) -> list[list[str]]:
        points = [Point(loaded(tmp_path, TINY, **each), str(number)) for number, each in enumerate(changes)]
        feed, found = Feed(points, lambda point: False), list[list[str]]()
        while not feed.ended:
            found.append([point.name for point in feed.chunk(8).points.values()])
        return found

    later: list[dict[str, object]] = [{}, {"run__until": "30 us"}, {"run__hold": "2 us"}, {"run__seed": 3}]
    assert chunks(*later, {"dev0__traffic__requests": 9}, {}) == [["0", "1", "2", "3"], ["4"], ["5"]]
    from_reset = [each | {"run__origin": "reset"} for each in later]
    assert chunks(*from_reset) == [["0"], ["1"], ["2"], ["3"]]
    assert chunks(from_reset[0], from_reset[3]) == [["0", "1"]]


@pytest.mark.parametrize(("origin", "shared"), [("boot", True), ("reset", False)])
def test_points_that_differ_in_their_stalls_share_a_boot_in_which_none_can_be(
    tmp_path: Path, origin: str, shared: bool
) -> None:
    stalls = [{"part": "iommu0.commands", "at": at, "for": "1 us"} for at in ("1 us", "2 us")]
    one, other = (boot_key(loaded(tmp_path, RACE, run__origin=origin, stalls=[stall])) for stall in stalls)
    assert (one == other) is shared


def test_a_message_is_taken_when_its_last_byte_has_come() -> None:
    reading, writing = os.pipe()
    try:
        put(writing, 3, b"ab")
        put(writing, 4, b"")
        whole = os.read(reading, 64)
        frames, taken = Frames(reading), []
        for byte in whole:
            os.write(writing, bytes([byte]))
            frames.read()
            taken.append(frames.take())
    finally:
        os.close(reading)
        os.close(writing)
    assert [(at, found) for at, found in enumerate(taken) if found] == [(9, [(3, b"ab")]), (17, [(4, b"")])]
