"""The thread that drives a ring device: what it maps, posts, unmaps and replaces."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest
from pydantic import ValidationError

from cosim.events import DmaIssued
from cosim.hw.bus.bus import Bus
from cosim.hw.cpu.cpu import Cpu
from cosim.hw.dma.datapath import DataPath
from cosim.hw.dma.options import RingOptions
from cosim.hw.dma.ring_device import RingMaster
from cosim.hw.dma.transaction import Status, Transaction
from cosim.sim.operations import Sleep
from cosim.spec.pagetable import PAGE
from cosim.sw.dma_device import DeviceDriver, RingDevice
from cosim.sw.dma_iommu import DmaDomain
from cosim.sw.receive_ring import ReceiveRing
from cosim.sw.runtime import RingHardware, Runtime
from cosim.units.quantities import MIB, US
from tests.sw.bench import TOP, Bench, workload


class RingBench:
    """A ring device whose requests are translated by the fake driver's tables."""

    def __init__(self, traffic: dict[str, object]) -> None:
        bench = Bench(size=MIB)
        self.bench, machine = bench, bench.machine
        bus: Bus = machine.cpus["cpu0"].bus
        self.data = DataPath(machine.sim, bus.port("nic0.data", 0))
        options = RingOptions.model_validate({"kind": "ring", "direct": True, "outstanding": 4, **traffic})
        cpu: Cpu = machine.cpus["cpu0"]
        self.device = RingMaster(
            machine.sim, "nic0", options, (1,), self.transport, wire=lambda level: cpu.wire(40, level)
        )
        bus.attach(0x1000_0000, 4096, self.device.registers, "nic0")
        masters: dict[str, DeviceDriver] = {**bench.masters, "nic0": RingDevice(0x1000_0000)}
        rings = {"nic0": RingHardware(0x1000_0000, "cpu0", 40)}
        bench.runtime = Runtime(bench.kernel, bench.driver, bench.runtime.core, masters, rings)

    def transport(self, txn: Transaction) -> Generator[Any, Any, None]:
        txn.translated = self.bench.machine.sim.now
        txn.address = self.bench.driver.translate("shared", txn.iova)
        if txn.address is None:
            txn.status = Status.UR
            return
        access = self.data.begin(txn)
        yield access
        self.data.end(txn, access)


@pytest.mark.parametrize("wait", ["interrupt", "poll"])
@pytest.mark.parametrize("free", [True, False])
def test_every_packet_is_mapped_written_unmapped_and_replaced(wait: str, free: bool) -> None:
    ring = RingBench({"size": "1500 B", "interval": "10 us"})
    thread = workload("receive-ring", device="nic0", entries=8, count=20, wait=wait, free=free, buffer="2 KiB")
    bench = ring.bench.run(thread)
    assert not bench.machine.log
    assert not bench.machine.touched
    assert ring.device.packets >= 20
    calls = [call.call for call in bench.calls if call.who == "cpu0.receive-ring"]
    assert calls.count("map") == calls.count("unmap") == 1 + 7 + 20
    assert not bench.driver.tables["shared"]
    assert bench.buffers() == 0
    assert not {"ring", "IrqActionState"} & set(+bench.kernel.pages.purposes())
    assert not ring.device.registers.status.on


def test_a_device_that_is_faster_than_the_thread_drops_packets() -> None:
    ring = RingBench({"size": "64 B", "interval": "200 ns"})
    ring.bench.run(workload("receive-ring", device="nic0", entries=4, count=50))
    assert ring.device.dropped > ring.device.packets


@pytest.mark.parametrize("at", [0, 1 * US, 2 * US, 3 * US, 4 * US])
def test_a_ring_that_is_stopped_makes_no_further_request_for_what_is_in_work(at: int) -> None:
    """Amid the descriptors, the data, and the status of seven packets; the device knows when the call returns."""
    ring = RingBench({"size": "16 KiB", "link": "1 us", "outstanding": 64})
    bench, sim = ring.bench, ring.bench.machine.sim
    domain = bench.machine.run(bench.runtime.core.domain_alloc("shared"))
    packets = ReceiveRing(bench.kernel, DmaDomain(bench.runtime.core, domain), bench.runtime.rings["nic0"], 8, 4 * PAGE)
    issued: list[int] = []
    sim.probe(DmaIssued).watch(lambda event: issued.append(sim.now))

    async def body() -> int:
        await packets.open(interrupts=False)
        await packets.fill()
        await Sleep(at)
        await bench.runtime.masters["nic0"].stop()
        return sim.now

    stopped = bench.machine.run(body())
    assert 0 < issued[-1] < stopped
    assert not ring.device.registers.status.on


def test_a_ring_that_runs_out_of_memory_goes_on_with_fewer_buffers() -> None:
    ring = RingBench({"size": "64 B", "interval": "20 us"})
    eater = workload("exhaust-memory", on="cpu1", start="200 us", hold="300 us", count=1)
    bench = ring.bench.run(workload("receive-ring", device="nic0", entries=8, count=60), eater)
    assert bench.buffers() == 0
    assert ring.device.packets >= 60


@pytest.mark.parametrize("allocation", [1, 2])
def test_a_ring_for_which_there_is_no_memory_keeps_none(allocation: int) -> None:
    """The first allocation is the ring itself, the second what its interrupt needs."""
    bench = RingBench({}).bench
    booted = bench.kernel.booted

    def fail() -> None:
        booted()
        bench.kernel.pages.fail({allocation})

    bench.kernel.booted = fail  # type: ignore[method-assign]
    bench.run(workload("receive-ring", device="nic0"))
    errors = [line for line in bench.machine.log if line.startswith("error")]
    assert "ENOMEM" in errors[0]
    assert not bench.driver.tables["shared"]
    assert not {"ring", "IrqActionState"} & set(+bench.kernel.pages.purposes())


def test_a_packet_whose_pages_cannot_be_posted_again_leaves_none() -> None:
    ring = RingBench({"size": "64 B", "interval": "20 us"})
    bench, sim = ring.bench, ring.bench.machine.sim
    refuse = {("shared", TOP - PAGE * page) for page in range(8)}
    sim.at(300 * US, 1 << 62, lambda: bench.driver.refuses.update(refuse))
    sim.at(600 * US, 1 << 62, bench.driver.refuses.clear)
    bench.run(workload("receive-ring", device="nic0", entries=4, count=60, free=False))
    assert "error: -ENOMEM" in bench.machine.log[0]
    assert bench.buffers() == 0


def test_a_ring_needs_a_power_of_two_and_a_ring_device() -> None:
    with pytest.raises(ValidationError, match="12 is not a power of two; the nearest are 8 and 16"):
        workload("receive-ring", device="nic0", entries=12)
    bench = Bench().run(workload("receive-ring", device="nic1"))
    assert bench.machine.log == ["error: -ENODEV: nic1 has no ring"]
