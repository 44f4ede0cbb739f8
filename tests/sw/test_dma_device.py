"""A device is told of a buffer by register writes, which come behind the stores that its buffer is mapped by."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from cosim.hw.dma.register_block import RegisterBlock
from cosim.sim.chooser import Scheduled
from cosim.sim.operations import Store
from cosim.sim.simulation import Sim
from cosim.sim.transport import Access, Response
from cosim.spec import descriptor_ring, dma_device
from cosim.spec.bits import Word
from cosim.spec.dma_device import NOT_BEFORE, SIZE, WINDOW
from cosim.spec.register_map import Register, RegisterMap
from cosim.sw.dma_device import DeviceDriver, DeviceState, DmaDevice, RingDevice
from cosim.units.quantities import US
from tests.sw.machine import BASE, Machine

DEVICES = 0x1000_0000
PTE = BASE + (8 << 20)


class Told(RegisterBlock):
    """The registers of a device: whenever it is told to start or stop they note that, what is in memory, the window."""

    def __init__(self, machine: Machine, registers: RegisterMap, window: tuple[Register[Word], ...]) -> None:
        super().__init__(machine.sim, "dev0", registers, 0, self._told)
        self.machine = machine
        self.window = window
        self.found: list[tuple[int, ...]] = []
        self.answers: set[Response] = set()

    def _told(self, register: Register[Word], old: int, new: int) -> None:
        if register.name == "control":
            self.found.append((new, self.machine.memory.peek(PTE, 8), *map(self.value, self.window)))

    def commit(self, access: Access) -> None:
        super().commit(access)
        self.answers.add(access.response)


def machine_and_told(
    schedule: Mapping[str, int], registers: RegisterMap, *window: Register[Word]
) -> tuple[Machine, Told]:
    sim = Sim(Scheduled(0, schedule), hold_ps=5 * US)
    machine = Machine(model="rvwmo", sim=sim)
    device = Told(machine, registers, window)
    machine.cpus["cpu0"].bus.attach(DEVICES, 4096, device, "dev0")
    sim.explore()
    return machine, device


def told(schedule: Mapping[str, int]) -> tuple[Machine, Told, DmaDevice]:
    machine, device = machine_and_told(schedule, dma_device.REGISTERS, WINDOW, SIZE, NOT_BEFORE)
    state = DeviceState(machine.kernel.static(DeviceState.SIZE))
    return machine, device, DmaDevice(machine.kernel, DEVICES, state)


def told_of_a_ring(schedule: Mapping[str, int]) -> tuple[Machine, Told, RingDevice]:
    return *machine_and_told(schedule, descriptor_ring.REGISTERS), RingDevice(DEVICES)


@pytest.mark.parametrize("held", [0, 2])
def test_a_device_is_started_when_what_was_stored_before_is_in_memory(held: int) -> None:
    """Held or not, the entry of the page table is there when the doorbell rings."""
    machine, device, driver = told({"cpu0.t.st#0": held})

    async def body() -> None:
        await Store(PTE, 7)
        await driver.start(0x4000, 64, not_before_ps=5 * US)

    machine.start(body())
    machine.go()
    assert device.found == [(1, 7, 0x4000, 64, 5 * US)]
    assert device.answers == {Response.OK}


def test_of_two_threads_that_tell_one_device_each_gives_it_a_whole_window() -> None:
    """Held, the doorbell of the first is still on its way when that thread gives back the lock."""
    for number in range(4):
        machine, device, driver = told({f"cpu0.a.mw#{number}": 2})
        machine.start(driver.start(0x4000, 64, not_before_ps=5), cpu="cpu0", name="a")
        machine.start(driver.start(0x8000, 128, not_before_ps=6), cpu="cpu1", name="b")
        machine.go()
        assert sorted(device.found) == [(1, 0, 0x4000, 64, 5), (1, 0, 0x8000, 128, 6)]


@pytest.mark.parametrize("held", ["", "st#0", "mw#0"])
@pytest.mark.parametrize(("kind", "stop"), [(told, 0), (told_of_a_ring, descriptor_ring.RingControl.abandon.mask)])
def test_a_device_is_stopped_behind_what_was_stored_before_and_knows_when_the_call_returns(
    kind: Callable[[Mapping[str, int]], tuple[Machine, Told, DeviceDriver]], stop: int, held: str
) -> None:
    machine, device, driver = kind({f"cpu0.main.{held}": 2} if held else {})

    async def body() -> None:
        await Store(PTE, 7)
        await driver.stop()
        assert [found[:2] for found in device.found] == [(stop, 7)]

    machine.run(body())
    assert device.answers == {Response.OK}
