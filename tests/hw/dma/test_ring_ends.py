"""When a ring of descriptors stands still: after its last packet, and at a fault until software has cleared it."""

from __future__ import annotations

import pytest

from cosim.sim.agenda import Agenda
from cosim.sim.plain import Plain
from cosim.spec.descriptor_ring import STATUS, Descriptor, RingStatus
from tests.hw.dma.masters import Rig
from tests.hw.dma.test_ring_device import RING, Driver


@pytest.fixture(params=[Plain, Agenda])
def rig(request: pytest.FixtureRequest) -> Rig:
    return Rig(request.param)


def test_a_ring_without_an_interval_moves_as_many_packets_as_it_is_to(rig: Rig) -> None:
    driver = Driver(rig, requests=2)
    for index in range(3):
        driver.fill(index, write=1)
    driver.enable()
    driver.post(3)
    rig.run()
    assert [driver.descriptor(index).done for index in range(3)] == [1, 1, 0]


def test_a_ring_that_has_stopped_at_a_fault_goes_on_once_software_has_cleared_that(rig: Rig) -> None:
    driver = Driver(rig)
    rig.memory.fault("access_fault", RING, Descriptor.SIZE)
    driver.enable()
    driver.post(1)
    rig.run()
    assert driver.read(STATUS).fault
    rig.memory.clear_faults()
    driver.fill(1, write=1)
    driver.post(2)
    rig.run()
    assert not driver.descriptor(1).done
    driver.write(STATUS, RingStatus.of(fault=1))
    rig.run()
    assert (driver.read(STATUS).fault, driver.descriptor(1).done) == (0, 1)
