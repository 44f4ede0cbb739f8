"""The device directory: which mode an IOMMU takes, what it has room for, and who is told of its contexts."""

from __future__ import annotations

import errno

import pytest

from cosim.events import ContextChanged, RegisterWritten
from cosim.spec.register_map import DDTP
from cosim.spec.registers import Ddtp, IommuMode
from cosim.sw.driver.device import IommuDevice
from cosim.sw.driver.device_directory import set_mode
from cosim.sw.kernel.errors import KernelError
from tests.sw.driver.machine import SMALL_QUEUES, Machine
from tests.sw.driver.test_bringup import probed


@pytest.mark.parametrize(("levels", "tried"), [(3, [4]), (2, [4, 3]), (1, [4, 3, 2])])
def test_a_directory_of_fewer_levels_is_taken_if_there_is_no_other(levels: int, tried: list[int]) -> None:
    """Three levels are tried first; an IOMMU that has not so many goes on reading Off."""
    machine = probed(iommu={"geometry": SMALL_QUEUES | {"ddt_levels": levels}})
    written = [int(line.split("=")[1], 16) for line in machine.trace() if line.startswith("W ddtp")]
    assert [Ddtp(value).iommu_mode for value in written] == [0, *tried]
    assert machine.iommus[0].registers.ddtp.iommu_mode == tried[-1]


@pytest.mark.parametrize(
    ("shown", "error"),
    [
        (Ddtp(0), "EINVAL: mode 2 was set, mode 0 is read"),
        (Ddtp.of(iommu_mode=IommuMode.LVL2), "EINVAL: mode 4 was set, mode 3 is read"),
        (Ddtp.of(busy=1), "EBUSY: ddtp stays busy after mode 4 was set"),
    ],
    ids=["off", "another", "busy"],
)
def test_a_directory_that_is_not_switched_on_as_asked_is_an_error(shown: Ddtp, error: str) -> None:
    """One that stays off is not asked for Bare either: devices would get through."""
    machine = Machine()
    registers = machine.iommus[0].registers
    registers.lock(DDTP, lambda: True)

    def jam(event: RegisterWritten) -> None:
        if event.offset == DDTP.offset and event.value:
            registers.put(DDTP, shown)

    machine.sim.probe(RegisterWritten).watch(jam)
    with pytest.raises(KernelError, match=error):
        machine.run(machine.core.probe_iommu(machine.hardware[0]))
    assert machine.kernel.pages.purposes() == {}


def test_an_iommu_that_stays_off_is_not_taken_for_one_that_lets_devices_through() -> None:
    machine = probed()
    iommu = IommuDevice(machine.core.iommus["iommu0"].address)
    machine.run(set_mode(machine.driver, iommu, IommuMode.OFF))
    machine.iommus[0].registers.lock(DDTP, lambda: True)
    with pytest.raises(KernelError, match="EINVAL: mode 1 was set, mode 0 is read"):
        machine.run(set_mode(machine.driver, iommu, IommuMode.BARE))


@pytest.mark.parametrize(
    ("now", "wanted", "taken"),
    [
        (IommuMode.OFF, IommuMode.LVL1, True),
        (IommuMode.BARE, IommuMode.LVL1, True),
        (IommuMode.LVL1, IommuMode.LVL1, False),
        (IommuMode.LVL3, IommuMode.LVL1, False),
        (IommuMode.LVL3, IommuMode.BARE, True),
        (IommuMode.LVL3, IommuMode.OFF, True),
    ],
)
def test_a_directory_is_not_put_in_the_place_of_one_in_use(now: IommuMode, wanted: IommuMode, taken: bool) -> None:
    """Without a directory `ddtp` leads nowhere; the driver knows the mode that it reads."""
    machine = probed()
    registers, iommu = machine.iommus[0].registers, IommuDevice(machine.core.iommus["iommu0"].address)
    root = int(registers.ddtp.ppn)
    for mode in (IommuMode.OFF, now):
        machine.run(set_mode(machine.driver, iommu, mode))
    if taken:
        machine.run(set_mode(machine.driver, iommu, wanted))
    else:
        with pytest.raises(KernelError, match=f"EINVAL: the directory is in use, in mode {int(now)}"):
            machine.run(set_mode(machine.driver, iommu, wanted))
    found = wanted if taken else now
    assert (registers.ddtp.iommu_mode, registers.ddtp.ppn) == (found, root if found > IommuMode.BARE else 0)
    assert machine.memory.peek(iommu.mode.address, 8) == found


def test_a_device_that_the_directory_has_no_room_for_is_refused() -> None:
    machine = probed(iommu={"geometry": SMALL_QUEUES | {"ddt_levels": 2}})
    machine.run(machine.core.probe_device("near", (0xFFFF,), "iommu0"))
    before = machine.kernel.pages.purposes()
    with pytest.raises(KernelError) as error:
        machine.run(machine.core.probe_device("far", (0x10000,), "iommu0"))
    assert error.value.code == errno.ENODEV
    assert machine.kernel.pages.purposes() == before


def test_the_contexts_of_all_devices_are_watched() -> None:
    machine = Machine()
    changed: list[ContextChanged] = []
    machine.sim.probe(ContextChanged).watch(changed.append)
    machine.boot(devices=3)
    assert {event.device_id for event in changed} == {1, 2, 3}


def test_contexts_are_told_of_until_their_iommu_is_removed() -> None:
    """The page is somebody else's then."""
    machine = Machine()
    told: list[ContextChanged] = []
    machine.sim.probe(ContextChanged).watch(told.append)
    machine.boot()
    place, device = machine.context(1), machine.core.devices["dev0"]
    assert [event.field for event in told] == ["fsc", "ta", "tc"]
    machine.run(machine.core.remove_iommu("iommu0"))
    assert [(event.field, event.value) for event in told[3:]] == [("tc", 0), ("fsc", 0), ("ta", 0)]
    machine.memory.poke(place, 8, 0x1)
    assert len(told) == 6
    assert machine.driver.context(device, 1, lambda address: machine.memory.peek(address, 8)) == (0, 0, 0, 0)


def test_a_directory_that_is_busy_all_the_time_is_not_written_to() -> None:
    """What a write does meanwhile is not specified."""
    machine = probed()
    machine.iommus[0].registers.put(DDTP, Ddtp.of(iommu_mode=IommuMode.LVL3, busy=1))
    machine.trace()
    with pytest.raises(KernelError, match=r"EBUSY: ddtp stays busy$"):
        machine.run(set_mode(machine.driver, IommuDevice(machine.core.iommus["iommu0"].address), IommuMode.OFF))
    assert not [line for line in machine.trace() if line.startswith("W")]


def test_a_context_that_is_valid_before_its_device_has_come_is_told_and_invalid_from_then_on() -> None:
    machine = probed()
    machine.run(machine.core.probe_device("dev0", (1,), "iommu0"))
    place = machine.context(2)
    machine.memory.poke(place, 8, 1)
    machine.run(machine.core.probe_device("dev1", (2,), "iommu0"))
    assert machine.log == ["warning: iommu0: dev1: device context 0x2 is valid already"]
    assert machine.memory.peek(place, 8) == 0
