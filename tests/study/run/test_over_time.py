"""Numbers over time are those of the window, and a number that cannot be right is no result."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest

import cosim
from cosim.events import BootDone, QueueDepth
from cosim.sim.occupancy import Occupancy
from cosim.sim.simulation import Sim
from cosim.study.run.over_time import OverTime
from cosim.study.run.queue_depths import QueueDepths
from cosim.study.run.run import Point, UnderWay
from cosim.study.run.window import Window
from cosim.sw.runtime import Origin
from tests.study.pool.systems import TINY


def test_the_largest_depth_of_a_queue_is_that_of_the_window() -> None:
    """What was in the queue when the window opened counts, and how much there had been does not."""
    sim = Sim()
    depths = QueueDepths(sim, Window(sim, 0, Origin()))
    for depth in (1, 2, 3, 2):
        sim.probe(QueueDepth)(QueueDepth(0, "iommu0.cq", depth))
    sim.probe(BootDone)(BootDone(0))
    sim.probe(QueueDepth)(QueueDepth(0, "iommu0.cq", 1))
    assert depths.deepest(["iommu0.cq"]) == {"iommu0.cq.depth_max": 2}


def of(occupancy: Occupancy) -> OverTime:
    sim = Sim()
    sim.env.run(until=100)
    bounds = {"nic0.in_flight": {"slots of nic0": 1, "places of iommu0": 1}}
    return OverTime(sim, Window(sim, 0, Origin()), {"nic0.in_flight": occupancy}, bounds)


@pytest.mark.parametrize(("inside", "refused"), [(2, False), (3, True)])
def test_more_at_once_than_all_bounds_allow_cannot_be(inside: int, refused: bool) -> None:
    occupancy = Occupancy()
    for _ in range(inside):
        occupancy.enter(0)
    if refused:
        with pytest.raises(ArithmeticError, match=r"nic0.in_flight: 3 at once, and no more than 1 of slots of nic0 \+"):
            of(occupancy).check_littles_law()
    else:
        of(occupancy).check_littles_law()


@pytest.mark.parametrize("broken", [False, True])
def test_a_run_that_was_broken_off_in_the_middle_of_an_event_is_not_held_to_what_was_counted_half(
    tmp_path: Path, broken: bool
) -> None:
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY, encoding="utf-8")
    run = UnderWay(Point(cosim.load(path)))
    run.advance()
    run.system.masters["dev0"].occupancy.residence += 1
    run.stop.broken = broken
    with nullcontext() if broken else pytest.raises(ArithmeticError, match="time was lost or counted twice"):
        run.judge()
    run.close()


@pytest.mark.parametrize("residence_ps", [9, 11])
def test_time_that_was_lost_or_counted_twice_is_told(residence_ps: int) -> None:
    occupancy = Occupancy()
    occupancy.enter(0)
    occupancy.leave(10, 0, residence_ps)
    with pytest.raises(ArithmeticError, match=f"over time is 10, the residence times add up to {residence_ps}"):
        of(occupancy).check_littles_law()
