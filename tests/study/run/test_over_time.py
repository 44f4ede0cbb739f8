"""Numbers over time are those of the window, and a number that cannot be right is no result."""

from __future__ import annotations

import pytest

from cosim.events import BootDone, QueueDepth
from cosim.sim.occupancy import Occupancy
from cosim.sim.simulation import Sim
from cosim.study.run.over_time import OverTime
from cosim.study.run.queue_depths import QueueDepths
from cosim.study.run.window import Window
from cosim.sw.runtime import Origin


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


@pytest.mark.parametrize("residence_ps", [9, 11])
def test_time_that_was_lost_or_counted_twice_is_told(residence_ps: int) -> None:
    occupancy = Occupancy()
    occupancy.enter(0)
    occupancy.leave(10, 0, residence_ps)
    with pytest.raises(ArithmeticError, match=f"over time is 10, the residence times add up to {residence_ps}"):
        of(occupancy).check_littles_law()
