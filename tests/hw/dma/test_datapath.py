"""What is told of the accesses of memory that devices make."""

from __future__ import annotations

from cosim.events import DmaCommitted
from cosim.hw.dma.direct import Direct
from cosim.hw.dma.transaction import Transaction
from cosim.sim.transport import Access
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


def test_who_needs_to_see_nothing_twice_sees_a_page_that_is_read_and_written_once_as_either() -> None:
    rig = Rig()
    told: list[bool] = []

    def enough(event: DmaCommitted) -> bool:
        told.append(event.write)
        return True

    rig.sim.probe(DmaCommitted)[:] = [enough]
    master = rig.master(pattern="none")
    for write in (False, True, False, True):
        master.request(BASE, 64, write)
        rig.run()
    assert told == [False, True]


def test_whoever_looks_at_memory_by_the_way_of_a_write_that_is_told_when_it_is_accepted_finds_what_is_there() -> None:
    rig = Rig()
    txn = Transaction(1, BASE, 8, write=True)
    txn.accepted = lambda: None
    access = next(Direct(rig.sim, rig.bus.port("nic0")).transport(txn))
    assert isinstance(access, Access)
    target = access.port.route(BASE, 8).target
    target.poke(BASE, 8, 0x0102030405060708)
    target.poke(BASE + 4, 4, 9)
    assert target.peek(BASE, 8) == rig.memory.peek(BASE, 8) == 9 << 32 | 0x05060708
    assert target.peek(BASE + 4, 4) == 9
