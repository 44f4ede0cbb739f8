"""Taking an IOMMU into service where it is not the one that the driver hopes for, and out of it again."""

from __future__ import annotations

import errno
from contextlib import nullcontext
from typing import Any

import pytest

from cosim.events import CallDone, RegisterWritten
from cosim.hw.dma.transaction import Transaction
from cosim.sim.operations import Now
from cosim.spec.register_map import CQCSR, DDTP, FCTL, FQCSR, MSI_ADDR, MSI_VEC_CTL
from cosim.spec.registers import Ddtp, IommuMode, QueueCsr
from cosim.sw.driver.device import IommuDevice
from cosim.sw.driver.device_directory import DDTP_BUSY_PS, set_mode
from cosim.sw.driver.table import CELLS, NEEDS
from cosim.sw.iommu_map import iommu_map, iommu_unmap
from cosim.sw.iommu_ops import Prot
from cosim.sw.kernel.errors import KernelError
from cosim.units.quantities import KIB, MS, US, S
from tests.sw.driver.machine import DRAM, SIZE, SMALL_QUEUES, Machine

PAGE = 4096
IOVA = 0x4000_0000
DATA = DRAM + SIZE // 2


def probed(**options: Any) -> Machine:
    machine = Machine(**options)
    machine.run(machine.core.probe_iommu(machine.hardware[0]))
    return machine


def test_a_ring_is_halved_until_there_is_memory_for_it() -> None:
    """The command queue takes the only 128 KiB in one piece; the fault queue makes do with half."""
    machine = probed(iommu={}, size=320 * KIB)
    registers = machine.iommus[0].registers
    assert (registers.cqb.entries, registers.fqb.entries) == (8192, 2048)


def test_a_ring_for_which_there_was_no_memory_once_is_half_as_long_for_both() -> None:
    """The structure of the IOMMU and its directory come first."""
    machine = Machine(iommu={"geometry": {"cq_log2": 10, "fq_log2": 6}})
    machine.kernel.pages.fail([3])
    machine.run(machine.core.probe_iommu(machine.hardware[0]))
    iommu = IommuDevice(machine.core.iommus["iommu0"].address)
    known = machine.memory.peek(iommu.commands.entries.address, 8)
    assert (machine.iommus[0].registers.cqb.entries, known) == (512, 512)


def test_a_queue_is_no_longer_than_the_iommu_takes() -> None:
    machine = probed(iommu={"geometry": {"cq_log2": 4, "fq_log2": 3}})
    registers = machine.iommus[0].registers
    assert (registers.cqb.entries, registers.fqb.entries) == (16, 8)


def test_an_iommu_in_use_is_left_alone() -> None:
    machine = Machine()
    machine.iommus[0].registers.put(DDTP, Ddtp.of(iommu_mode=IommuMode.LVL1, ppn=0x80000))
    with pytest.raises(KernelError) as error:
        machine.run(machine.core.probe_iommu(machine.hardware[0]))
    assert error.value.code == errno.EBUSY
    assert machine.log == ["error: iommu0: probe failed: -EBUSY: the IOMMU is in use, in mode 2"]
    assert machine.kernel.pages.purposes() == {}


@pytest.mark.parametrize(
    ("variant", "busy_ps", "probed"),
    [("merged", 1 * MS, False), ("v2", 1 * MS, True), ("v2", DDTP_BUSY_PS + 1 * S, False)],
)
def test_an_iommu_that_is_busy_at_first_is_waited_for_by_v2_alone(variant: str, busy_ps: int, probed: bool) -> None:
    """For 10 s at most."""
    machine = Machine(variant)
    registers = machine.iommus[0].registers
    registers.put(DDTP, Ddtp.of(busy=1))

    async def settle() -> None:
        await machine.kernel.sleep(busy_ps)
        registers.put(DDTP, Ddtp(0))

    machine.start(settle())
    with nullcontext() if probed else pytest.raises(KernelError, match="EBUSY"):
        machine.run(machine.core.probe_iommu(machine.hardware[0]))
    assert (registers.ddtp.iommu_mode == IommuMode.LVL3) is probed


@pytest.mark.parametrize("variant", ["merged", "v2"])
def test_behind_an_iommu_without_a_directory_v2_alone_has_devices_and_those_pass_as_they_are(variant: str) -> None:
    machine = probed(driver=variant)
    core = machine.core
    iommu = IommuDevice(core.iommus["iommu0"].address)
    machine.run(set_mode(machine.driver, iommu, IommuMode.OFF))
    machine.run(set_mode(machine.driver, iommu, IommuMode.BARE))

    async def enters() -> None:
        await core.probe_device("dev0", (1,), "iommu0")
        await core.attach("dev0", core.driver.identity)

    with nullcontext() if variant == "v2" else pytest.raises(KernelError, match="its IOMMU has no device directory"):
        machine.run(enters())
    assert machine.read(1, DATA) == DATA


def test_a_failed_probe_gives_everything_back() -> None:
    """No memory for a second ring: what there was of the first goes back."""
    machine = Machine(iommu={"geometry": {"cq_log2": 14, "fq_log2": 14}}, size=76 * KIB)
    with pytest.raises(KernelError) as error:
        machine.run(machine.core.probe_iommu(machine.hardware[0]))
    assert error.value.code == errno.ENOMEM
    assert machine.kernel.pages.purposes() == {}


def test_a_queue_that_does_not_come_on_gives_its_interrupt_back() -> None:
    machine = Machine(iommu={"geometry": SMALL_QUEUES, "timing": {"busy": "200 ms"}})
    with pytest.raises(KernelError, match="EBUSY: the command queue does not come on"):
        machine.run(machine.core.probe_iommu(machine.hardware[0]))
    assert machine.kernel.pages.purposes() == {}


@pytest.mark.parametrize("shown", [{"on": 1, "mf": 1}, {"on": 1, "busy": 1}, {}], ids=lambda bits: "+".join(bits))
def test_a_queue_that_is_not_on_and_well_is_switched_off_again(shown: dict[str, int]) -> None:
    machine = Machine()
    registers = machine.iommus[0].registers
    registers.lock(CQCSR, lambda: True)

    def jam(event: RegisterWritten) -> None:
        if event.offset == CQCSR.offset and event.value:
            registers.put(CQCSR, QueueCsr.of(en=1, **shown))

    machine.sim.probe(RegisterWritten).watch(jam)
    with pytest.raises(KernelError, match="EBUSY: the command queue does not come on"):
        machine.run(machine.core.probe_iommu(machine.hardware[0]))
    assert [line for line in machine.trace() if line.startswith("W cqcsr")][1:] == ["W cqcsr=0x0"]


def test_a_queue_that_does_not_go_off_is_told() -> None:
    machine = probed()
    machine.iommus[0].registers.lock(FQCSR, lambda: True)
    machine.run(machine.core.remove_iommu("iommu0"))
    assert machine.log == ["error: iommu0: the fault queue does not go off"]


def test_who_switches_a_queue_leaves_the_cpu_to_others_until_it_is_on_or_off() -> None:
    machine = Machine(iommu={"geometry": SMALL_QUEUES, "timing": {"busy": "5 ms"}})
    switched: list[int] = []
    ran: list[int] = []

    def saw(event: RegisterWritten) -> None:
        if event.offset in (CQCSR.offset, FQCSR.offset):
            switched.append(machine.sim.now)
            machine.start(other(), name=f"other{len(switched)}")

    async def other() -> None:
        ran.append((await Now()).time)

    async def comes_and_goes() -> None:
        await machine.core.probe_iommu(machine.hardware[0])
        await machine.core.remove_iommu("iommu0")

    machine.sim.probe(RegisterWritten).watch(saw)
    machine.run(comes_and_goes())
    assert len(switched) == 4
    assert all(at - asked < 1 * MS for asked, at in zip(switched, ran, strict=True))


def test_queues_are_switched_off_when_the_directory_cannot_be_set_up() -> None:
    """From when the fault queue is on, `ddtp` stays busy."""
    machine = Machine()
    registers = machine.iommus[0].registers

    def jam(event: RegisterWritten) -> None:
        if event.offset == FQCSR.offset:
            registers.put(DDTP, Ddtp.of(busy=1))

    machine.sim.probe(RegisterWritten).watch(jam)
    with pytest.raises(KernelError, match="EBUSY: ddtp stays busy"):
        machine.run(machine.core.probe_iommu(machine.hardware[0]))
    assert (registers.cqcsr.cqon, registers.fqcsr.fqon) == (0, 0)
    assert machine.kernel.pages.purposes() == {}


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"iommu": {"capabilities": {"igs": "wsi"}}}, "wires"),
        ({"iommu": {"capabilities": {"igs": "wsi"}}, "messages": True}, "wires"),
        ({"iommu": {"capabilities": {"igs": "both"}}}, "wires"),
        ({"iommu": {"capabilities": {"igs": "both"}}, "messages": True}, "messages"),
        ({"iommu": {"capabilities": {"igs": "msi"}}, "messages": True}, "messages"),
        ({"vectors": 1}, "one wire for all"),
        ({"vectors": 2}, "two wires"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_faults_are_served_however_the_iommu_interrupts(options: dict[str, Any], name: str) -> None:
    if "iommu" in options:
        options = options | {"iommu": options["iommu"] | {"geometry": SMALL_QUEUES}}
    machine = Machine(**options)
    written: set[int] = set()
    machine.sim.probe(RegisterWritten).watch(lambda event: written.add(event.offset))
    machine.boot()
    assert (MSI_ADDR[0].offset in written) is ("wire" not in name), "what sends no message is told of none"
    for n in range(3):
        machine.dma(Transaction(1, 0x1000 * (n + 1), 64))
        machine.go(machine.sim.now + 100 * US)
    assert len(machine.log) == 3
    assert bool(machine.iommus[0].registers.fctl.wsi) is ("wire" in name)


@pytest.mark.parametrize("messages", [True, False])
@pytest.mark.parametrize("former", [0, 1])
def test_how_an_iommu_interrupted_a_former_kernel_does_not_matter(former: int, messages: bool) -> None:
    machine = Machine(iommu={"capabilities": {"igs": "both"}, "geometry": SMALL_QUEUES}, messages=messages)
    registers = machine.iommus[0].registers
    registers.put(FCTL, registers.fctl.replace(wsi=former))
    written: list[int] = []
    machine.sim.probe(RegisterWritten).watch(lambda event: written.append(event.offset))
    machine.boot()
    assert registers.fctl.wsi == (not messages)
    assert written.count(FCTL.offset) == (former == messages), "it is written where that changes it"
    assert machine.read(1, IOVA) is None
    assert len(machine.log) == 1


def test_vectors_that_a_former_kernel_has_masked_send_messages_again() -> None:
    machine = Machine(iommu={"capabilities": {"igs": "msi"}, "geometry": SMALL_QUEUES}, messages=True)
    registers, vectors = machine.iommus[0].registers, range(len(machine.hardware[0].messages))
    assert len(vectors) > 2
    for vector in vectors:
        registers.put(MSI_VEC_CTL[vector], 1)
    machine.boot()
    masked = [vector for vector in vectors if registers.value(MSI_VEC_CTL[vector])]
    assert masked == list(vectors[2:]), "one for each queue is in use"


@pytest.mark.parametrize(("bits", "used"), [(0, [0]), (2, [0, 1])])
def test_a_message_comes_with_the_first_and_goes_with_the_last_of_the_queues_that_it_is_for(
    bits: int, used: list[int]
) -> None:
    geometry = SMALL_QUEUES | {"icvec_bits": bits}
    machine = Machine(iommu={"capabilities": {"igs": "msi"}, "geometry": geometry}, messages=True)
    numbers = {register.offset: number for number, register in MSI_ADDR.items()}
    written: list[tuple[int, int]] = []

    def note(event: RegisterWritten) -> None:
        if event.offset in numbers:
            written.append((numbers[event.offset], event.value))

    machine.sim.probe(RegisterWritten).watch(note)
    machine.boot()
    assert [number for number, address in written if address] == used
    written.clear()
    machine.run(machine.core.remove_iommu("iommu0"))
    assert written == [(number, 0) for number in used]


def test_a_message_is_told_and_taken_back_with_interrupts_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Linux does it, under the lock of the interrupt's descriptor."""
    machine = Machine(iommu={"capabilities": {"igs": "msi"}, "geometry": SMALL_QUEUES}, messages=True)
    write, masked = IommuDevice.write, list[bool]()

    async def notes(self: IommuDevice, register: Any, value: int) -> None:
        if register in MSI_ADDR.values():
            masked.append(bool((await machine.kernel.context()).irq))
        await write(self, register, value)

    monkeypatch.setattr(IommuDevice, "write", notes)
    machine.boot()
    machine.run(machine.core.remove_iommu("iommu0"))
    assert masked == [True] * 4


@pytest.mark.parametrize("end", [True, False])
def test_an_iommu_that_is_big_endian_is_turned_or_if_it_cannot_be_left_alone(end: bool) -> None:
    machine = Machine(iommu={"capabilities": {"end": end}, "geometry": SMALL_QUEUES})
    registers = machine.iommus[0].registers
    registers.put(FCTL, registers.fctl.replace(be=1))

    def look(event: RegisterWritten) -> None:
        assert event.offset == FCTL.offset or not registers.fctl.be, "it comes before all else"

    machine.sim.probe(RegisterWritten).watch(look)
    if end:
        domain = machine.boot()
        machine.run(iommu_map(machine.driver, domain, IOVA, DATA, PAGE, Prot.READ))
        assert machine.read(1, IOVA) == DATA
        assert machine.log == []
    else:
        with pytest.raises(KernelError, match="EINVAL: the IOMMU is big-endian, and cannot be otherwise"):
            machine.run(machine.core.probe_iommu(machine.hardware[0]))
        assert registers.ddtp.iommu_mode == IommuMode.OFF
        assert machine.kernel.pages.purposes() == {}
    assert registers.fctl.be == (not end)


def test_messages_that_nothing_receives_are_no_interrupts() -> None:
    machine = Machine(iommu={"capabilities": {"igs": "msi"}, "geometry": SMALL_QUEUES})
    with pytest.raises(KernelError) as error:
        machine.run(machine.core.probe_iommu(machine.hardware[0]))
    assert error.value.code == errno.ENODEV


def test_an_iommu_that_was_removed_can_be_probed_again() -> None:
    machine = probed()

    async def again() -> None:
        await machine.core.remove_iommu("iommu0")
        await machine.core.probe_iommu(machine.hardware[0])

    machine.run(again())
    assert machine.iommus[0].registers.ddtp.iommu_mode == IommuMode.LVL3
    assert machine.log == []


def test_calls_are_told_with_parts_that_add_up() -> None:
    machine = Machine(iommu={"geometry": SMALL_QUEUES, "timing": {"fence": "5 us"}})
    calls: list[CallDone] = []
    machine.sim.probe(CallDone).watch(calls.append)
    machine.boot(devices=2)
    machine.go(machine.sim.now + 1 * MS)
    assert {call.call for call in calls} >= {"probe", "attach", "cmd_sync"}
    for call in calls:
        assert sum(call.parts.values()) == call.time - call.began
    fences = [call for call in calls if call.call == "cmd_sync"]
    assert all(call.parts["fence"] > 5 * US for call in fences)


@pytest.mark.parametrize(
    ("variant", "cells", "claims"),
    [
        ("v2", {}, set()),
        ("merged", {}, set()),
        *((name, {}, {"deferred_flush"}) for name in ("current", "latest")),
        ("current", {"capable": "coherent+deferred"}, {"cache_coherency", "deferred_flush"}),
    ],
)
def test_a_driver_claims_what_its_kernel_claimed(variant: str, cells: dict[str, Any], claims: set[str]) -> None:
    driver = probed(driver=variant, cells=cells).driver
    assert {what for what in ("cache_coherency", "deferred_flush") if driver.capable(what)} == claims


@pytest.mark.parametrize(("axis", "cell"), [(axis, cell) for axis, named in CELLS.items() for cell in named])
def test_every_cell_drives_in_the_place_of_mergeds_own(axis: str, cell: str) -> None:
    """Boot, map, read, unmap; what is unmapped is gone, but for the cell that unmaps nothing."""
    machine = Machine(cells={axis: cell, **NEEDS.get((axis, cell), {})})
    domain = machine.boot(devices=2)
    machine.run(iommu_map(machine.driver, domain, IOVA, DATA, PAGE, Prot.READ))
    assert machine.read(1, IOVA) == DATA
    unmaps = cell not in ("inverted-test", "v2-as-posted")
    assert machine.run(iommu_unmap(machine.driver, domain, IOVA, PAGE)) == PAGE * unmaps
    assert (machine.read(1, IOVA) is None) is unmaps
    machine.run(machine.core.release_device("dev1"))
    assert not [line for line in machine.log if line.startswith(("error", "oops"))]


def test_each_queue_has_a_vector_of_its_own_if_there_are_so_many() -> None:
    for vectors, fault_vector in ((1, 0), (2, 1), (4, 1)):
        icvec = probed(vectors=vectors).iommus[0].registers.icvec
        assert (icvec.civ, icvec.fiv) == (0, fault_vector)


def test_a_domain_for_which_no_pscid_is_left_leaves_nothing_behind() -> None:
    machine = Machine(cells={"pscid": {"policy": "shared", "highest": 1}})
    machine.boot()
    before = machine.kernel.pages.purposes()
    with pytest.raises(KernelError) as error:
        machine.run(machine.core.domain_alloc("another", "dev0"))
    assert error.value.code == errno.ENOMEM
    assert machine.kernel.pages.purposes() == before


def test_a_domain_that_is_freed_while_a_device_is_in_it_is_told() -> None:
    machine = Machine()
    machine.run(machine.driver.domain_free(machine.boot()))
    assert machine.log == ["warning: kernel: domain d is freed while devices are bonded to it"]


@pytest.mark.parametrize(("axis", "cell"), [(axis, cell) for axis in ("bonds", "pscid") for cell in CELLS[axis]])
def test_removal_gives_everything_back(axis: str, cell: str) -> None:
    """Rings, directory, bonds and what counts numbers."""
    machine = Machine(cells={axis: cell, **NEEDS.get((axis, cell), {})})
    domain = machine.boot(devices=3)
    before = machine.kernel.pages.purposes()

    async def remove() -> None:
        for n in range(3):
            await machine.core.release_device(f"dev{n}")
        await machine.core.remove_iommu("iommu0")
        await machine.core.domain_free(domain.name)
        await machine.kernel.rcu.synchronize()

    machine.run(remove())
    machine.go(machine.sim.now + 100 * MS)
    assert before["queue"]
    assert machine.kernel.pages.purposes() == {}
    assert not any(ids.taken for ids in machine.driver.ids.values())
    registers = machine.iommus[0].registers
    assert (registers.ddtp.iommu_mode, registers.cqcsr.cqon, registers.fqcsr.fqon) == (IommuMode.OFF, 0, 0)
