"""What the ring's driver promises of a packet, beside the DMA API and what that orders."""

from __future__ import annotations

from functools import partial
from typing import Any, cast

import pytest

from cosim.sim.chooser import Chooser
from cosim.sim.operations import OnInterrupt, Sleep, Work
from cosim.sim.ranks import Stage
from cosim.sim.simulation import Sim
from cosim.spec.descriptor_ring import STATUS, Descriptor, RingStatus
from cosim.sw.dma_api import Coherent, DmaApi
from cosim.sw.kernel.errors import KernelError
from cosim.sw.kernel.irq import IrqReturn
from cosim.sw.receive_ring import DONE, ReceiveRing
from cosim.sw.runtime import RingHardware
from cosim.units.quantities import US
from tests.hw.machines import Device
from tests.sw.machine import BASE, STEP, Machine

DEVICES = 0x1000_0000
RING = BASE + (8 << 20)
BUFFER = BASE + (9 << 20)
PACKET = 0x1234
ROUNDS = 20


class Late(Chooser):
    """From when it is told, every load returns the oldest state that it may."""

    exploring = True
    old = False
    newest = 0
    """How many loads are excepted, of those that have a choice."""

    def pick(self, n: int, name: str) -> int:
        if not self.old or not name.endswith(".past"):
            return 0
        self.newest -= 1
        return n - 1 if self.newest < 0 else 0


class NoIommu:
    """A DMA API that maps everything to itself, in no time."""

    async def alloc_coherent(self, size: int) -> Coherent:
        return Coherent(RING, RING, size)

    async def map(self, address: int, size: int, prot: object) -> int:
        return address

    async def unmap(self, iova: int, size: int) -> None:
        pass


class Bench:
    """A ring of four entries whose device the test plays by itself."""

    def __init__(self, *, interrupts: str = "cpu0") -> None:
        self.chooser = Late(0)
        self.machine = Machine(model="rvwmo", sim=Sim(self.chooser))
        self.device = Device(self.machine.sim)
        self.machine.cpus["cpu0"].bus.attach(DEVICES, 4096, self.device, "nic0")
        self.machine.kernel.boot()
        hardware = RingHardware(DEVICES, interrupts, 40)
        self.ring = ReceiveRing(self.machine.kernel, cast("DmaApi", NoIommu()), hardware, 4, 64)

    def run(self, body: Any) -> Any:
        self.machine.sim.explore()
        return self.machine.run(body)


def test_who_takes_a_packet_finds_what_the_device_wrote_before_it_said_so() -> None:
    bench = Bench()
    memory = bench.machine.memory

    async def body() -> int:
        await bench.ring.open(interrupts=True)
        await bench.ring.post(BUFFER)
        memory.write(BUFFER, 8, PACKET)
        memory.write(RING + 8, 8, memory.peek(RING + 8, 8) | DONE)
        address = await bench.ring.take(poll_ps=1)
        bench.chooser.old = True
        return await bench.ring.read(address)

    assert bench.run(body()) == PACKET


def test_who_takes_a_packet_whose_interrupt_was_served_already_does_not_wait_for_another_one() -> None:
    """It sees that there was one, and with it what the device wrote before."""
    bench = Bench(interrupts="cpu1")
    memory = bench.machine.memory
    bench.device.set(STATUS.offset, RingStatus.ip.mask)

    async def body() -> int:
        await bench.ring.open(interrupts=True)
        await bench.ring.post(BUFFER)
        memory.write(RING + 8, 8, memory.peek(RING + 8, 8) | DONE)
        bench.machine.cpus["cpu1"].message(40)
        await Work(6 * US)  # it is served in 4 us; a past state can be read for 10 us
        bench.chooser.old, bench.chooser.newest = True, 1
        return await bench.ring.take(poll_ps=1)

    assert bench.run(body()) == BUFFER


def test_who_waits_for_a_packet_is_woken_wherever_another_interrupt_keeps_it() -> None:
    """For longer than the packet takes, and its interrupt on another CPU: before, between and behind two looks."""
    bench = Bench(interrupts="cpu1")
    machine, memory = bench.machine, bench.machine.memory
    bench.device.set(STATUS.offset, RingStatus.ip.mask)
    rank = machine.sim.initiator("nic0").rank(Stage.TRANSACTION)

    async def keep() -> None:
        await Work(10 * US)

    def finish(status: int) -> None:
        memory.write(status, 8, memory.peek(status, 8) | DONE)
        machine.cpus["cpu1"].message(40)

    async def body() -> None:
        await OnInterrupt(99, keep)
        await bench.ring.open(interrupts=True)
        for taken in range(ROUNDS):
            await bench.ring.post(BUFFER)
            now, status = machine.sim.now, RING + taken % 4 * Descriptor.SIZE + 8
            machine.sim.at(now + 1 + taken * STEP // 2, rank, lambda: machine.cpus["cpu0"].message(99))
            machine.sim.at(now + 1 * US, rank, partial(finish, status))
            assert await bench.ring.take(poll_ps=1) == BUFFER
            await Sleep(20 * US)

    bench.run(body())


@pytest.mark.parametrize("interrupts", [True, False])
def test_who_waits_for_a_packet_leaves_the_cpu_to_others_and_looks_when_it_is_woken_or_at_its_time(
    interrupts: bool,
) -> None:
    bench = Bench()
    machine, memory = bench.machine, bench.machine.memory
    bench.device.set(STATUS.offset, RingStatus.ip.mask)
    done: dict[str, int] = {}

    def finish() -> None:
        memory.write(RING + 8, 8, memory.peek(RING + 8, 8) | DONE)
        if interrupts:
            machine.cpus["cpu0"].message(40)

    async def other() -> None:
        done["other"] = machine.sim.now // (10 * US)

    async def body() -> None:
        await bench.ring.open(interrupts=interrupts)
        await bench.ring.post(BUFFER)
        await machine.kernel.spawn("other", other())
        machine.sim.at(100 * US, machine.sim.initiator("nic0").rank(Stage.TRANSACTION), finish)
        assert await bench.ring.take(poll_ps=70 * US) == BUFFER
        done["packet"] = machine.sim.now // (10 * US)
        with pytest.raises(KernelError, match="no buffer is posted"):
            await bench.ring.take(poll_ps=70 * US)

    bench.run(body())
    assert done == {"other": 0, "packet": 10 if interrupts else 14}


def test_an_interrupt_that_is_not_the_rings_is_left_to_others() -> None:
    """Its status says that nothing is pending, and is not written."""
    bench = Bench()
    assert bench.run(bench.ring._interrupted()) is IrqReturn.NONE
    assert [access[1] for access in bench.device.log] == ["read"]


def test_an_interrupt_of_the_rings_is_acknowledged_before_its_thread_counts_it() -> None:
    """Else one that comes while the thread runs would be taken back as well."""
    bench = Bench()
    bench.device.set(STATUS.offset, RingStatus.ip.mask)
    assert bench.run(bench.ring._interrupted()) is IrqReturn.WAKE_THREAD
    assert [access[1] for access in bench.device.log] == ["read", "write"]
