"""What is told of the accesses of memory that devices make."""

from __future__ import annotations

from cosim.events import DmaCommitted
from tests.hw.dma.masters import BASE, Rig


def test_who_needs_to_see_nothing_twice_sees_each_page_once_wherever_it_is_touched() -> None:
    rig = Rig()
    told: list[int] = []

    def enough(event: DmaCommitted) -> bool:
        told.append(event.iova - BASE)
        return True

    rig.sim.probe(DmaCommitted)[:] = [enough]
    rig.master(requests=6, size=1024, window=8192, pattern="sequential").start(BASE)
    rig.run()
    assert told == [0, 4096]
