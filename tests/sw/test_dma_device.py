"""A device is told of a buffer by register writes, which come behind the stores that its buffer is mapped by."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from cosim.sim.chooser import Scheduled
from cosim.sim.operations import Store
from cosim.sim.simulation import Sim
from cosim.spec.dma_device import CONTROL, NOT_BEFORE, SIZE, WINDOW
from cosim.sw.dma_device import DeviceState, DmaDevice
from cosim.units.quantities import US
from tests.hw.machines import Device
from tests.sw.machine import BASE, Machine

DEVICES = 0x1000_0000
PTE = BASE + (8 << 20)


class Told(Device):
    """A device that notes, whenever it is started, what is in memory by then, what its window is and from when on."""

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine.sim)
        self.machine = machine
        self.found: list[tuple[int, ...]] = []

    def set(self, offset: int, value: int) -> None:
        super().set(offset, value)
        if offset == CONTROL.offset:
            told = (self.registers.get(register.offset, 0) for register in (WINDOW, SIZE, NOT_BEFORE))
            self.found.append((self.machine.memory.peek(PTE, 8), *told))


def told(schedule: Mapping[str, int]) -> tuple[Machine, Told, DmaDevice]:
    sim = Sim(Scheduled(0, schedule), hold_ps=5 * US)
    machine = Machine(model="rvwmo", sim=sim)
    device = Told(machine)
    machine.cpus["cpu0"].bus.attach(DEVICES, 4096, device, "dev0")
    state = DeviceState(machine.kernel.static(DeviceState.SIZE))
    sim.explore()
    return machine, device, DmaDevice(machine.kernel, DEVICES, state)


@pytest.mark.parametrize("held", [0, 2])
def test_a_device_is_started_when_what_was_stored_before_is_in_memory(held: int) -> None:
    """Held or not, the entry of the page table is there when the doorbell rings."""
    machine, device, driver = told({"cpu0.t.st#0": held})

    async def body() -> None:
        await Store(PTE, 7)
        await driver.start(0x4000, 64, not_before_ps=5 * US)

    machine.start(body())
    machine.go()
    assert device.found == [(7, 0x4000, 64, 5 * US)]


def test_of_two_threads_that_tell_one_device_each_gives_it_a_whole_window() -> None:
    """Held, the doorbell of the first is still on its way when that thread gives back the lock."""
    for number in range(4):
        machine, device, driver = told({f"cpu0.a.mw#{number}": 2})
        machine.start(driver.start(0x4000, 64, not_before_ps=5), cpu="cpu0", name="a")
        machine.start(driver.start(0x8000, 128, not_before_ps=6), cpu="cpu1", name="b")
        machine.go()
        assert sorted(device.found) == [(0, 0x4000, 64, 5), (0, 0x8000, 128, 6)]


def test_a_device_that_was_stopped_knows_when_the_call_returns() -> None:
    machine, device, driver = told({"cpu0.main.mw#0": 2})

    async def body() -> None:
        await driver.stop()
        assert device.found == [(0, 0, 0, 0)]

    machine.run(body())
