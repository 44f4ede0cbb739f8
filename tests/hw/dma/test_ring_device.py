"""The descriptor ring: what the device does for a driver that follows its rules, and for one that does not."""

from __future__ import annotations

from typing import Any

import pytest

from cosim.sim.agenda import Agenda
from cosim.sim.plain import Plain
from cosim.sim.ranks import Stage
from cosim.sim.transport import Access, AccessKind, CountsFor, Response
from cosim.spec.descriptor_ring import (
    BASE,
    CONTROL,
    HEAD,
    STATUS,
    TAIL,
    Descriptor,
    RingBase,
    RingControl,
    RingIndex,
    RingStatus,
)
from cosim.spec.register_map import Register
from cosim.units.quantities import NS
from tests.hw.dma.masters import BASE as MEMORY
from tests.hw.dma.masters import REGISTERS, Rig

RING = MEMORY + 0x1_0000
BUFFERS = MEMORY + 0x2_0000


class Driver:
    """What a driver would do, without a CPU: it posts descriptors and reads what has become of them."""

    def __init__(self, rig: Rig, size_lg2: int = 3, **options: Any) -> None:
        self.rig = rig
        self.levels: list[tuple[int, bool]] = []
        self.device = rig.ring(wire=lambda level: self.levels.append((rig.sim.now, level)), **options)
        self.port = rig.bus.port("cpu0")
        self.entries = 1 << size_lg2
        self.write(BASE, RingBase.of(size_lg2=size_lg2, page=RING >> 12))

    def write(self, register: Register[Any], value: int) -> None:
        rank = self.port.initiator.rank(Stage.CPU)
        self.port.post(REGISTERS + register.offset, register.size, (value,), rank)
        self.rig.run(until=self.rig.sim.now + 20 * NS)

    def read(self, register: Register[Any]) -> Any:
        return register.layout(self.rig.bus.peek(REGISTERS + register.offset, register.size))

    def enable(self, **fields: int) -> None:
        self.write(CONTROL, RingControl.of(en=1, **fields))

    def fill(self, index: int, **fields: int) -> None:
        for word, value in enumerate(Descriptor.of(**{"buffer": BUFFERS + 0x1000 * index, "size": 64, **fields})):
            self.rig.bus.poke(RING + Descriptor.SIZE * index + 8 * word, 8, value)

    def post(self, tail: int) -> None:
        self.write(TAIL, RingIndex.of(index=tail % self.entries))

    def descriptor(self, index: int) -> Descriptor:
        return Descriptor(self.rig.bus.peek(RING + Descriptor.SIZE * index + 8 * word, 8) for word in range(2))


@pytest.fixture(params=[Plain, Agenda])
def rig(request: pytest.FixtureRequest) -> Rig:
    return Rig(request.param)


def test_a_posted_buffer_is_filled_and_then_its_descriptor_is_done(rig: Rig) -> None:
    driver = Driver(rig, size=1500)
    driver.fill(0, size=2048, write=1)
    driver.enable()
    driver.post(1)
    rig.run()
    done = driver.descriptor(0)
    assert (done.done, done.fault, done.size, done.buffer) == (1, 0, 1500, BUFFERS)
    assert rig.bus.peek(BUFFERS + 1488, 8) != 0 == rig.bus.peek(BUFFERS + 1504, 8)
    assert [event.purpose for event in rig.done] == ["fetch", "data", "status"]
    assert driver.device.counters()["packets"] == 1


def test_the_status_is_written_after_all_data_has_taken_hold(rig: Rig) -> None:
    driver = Driver(rig, size=9000, outstanding=8, bandwidth="1 GB/s", posted=True)
    driver.fill(0, size=9000, write=1)
    driver.enable()
    driver.post(1)
    rig.run()
    assert [event.address - RING for event in rig.committed][-1] == 8
    assert len(rig.committed) == 1 + 3 + 1


def test_a_buffer_to_be_sent_is_read_and_left_as_it_is(rig: Rig) -> None:
    driver = Driver(rig)
    driver.fill(0, size=200, write=0)
    rig.bus.poke(BUFFERS, 8, 5)
    driver.enable()
    driver.post(1)
    rig.run()
    assert [(event.write, event.size) for event in rig.done] == [(False, 16), (False, 200), (True, 8)]
    assert rig.bus.peek(BUFFERS, 8) == 5


def test_all_that_is_posted_gets_done_and_no_more(rig: Rig) -> None:
    driver = Driver(rig, outstanding=4)
    for index in range(8):
        driver.fill(index, write=1)
    driver.enable()
    driver.post(5)
    rig.run()
    assert [driver.descriptor(index).done for index in range(8)] == [1] * 5 + [0] * 3
    assert driver.read(HEAD).index == 5


@pytest.mark.parametrize(("size_lg2", "first"), [(2, 0), (9, 504)], ids=["small", "larger than a page"])
def test_the_ring_wraps(rig: Rig, size_lg2: int, first: int) -> None:
    driver = Driver(rig, size_lg2=size_lg2)
    driver.enable()
    for index in (HEAD, TAIL):
        driver.device.registers.put(index, first)
    for number in range(first, first + 10):
        driver.fill(number % driver.entries, buffer=BUFFERS, write=1)
        driver.post(number + 1)
        rig.run()
        assert driver.descriptor(number % driver.entries).done
    assert driver.device.packets == 10


def test_nothing_is_fetched_before_the_ring_is_enabled(rig: Rig) -> None:
    driver = Driver(rig)
    driver.fill(0, write=1)
    driver.post(1)
    rig.run()
    assert not rig.issued
    driver.enable()
    rig.run()
    assert driver.read(TAIL).index == 0, "enabling the ring empties it"
    driver.post(1)
    rig.run()
    assert driver.descriptor(0).done


def test_a_disabled_ring_is_on_until_its_last_descriptor_is_done(rig: Rig) -> None:
    driver = Driver(rig)
    driver.fill(0, write=1)
    driver.fill(1, write=1)
    driver.enable()
    driver.post(1)
    driver.write(CONTROL, 0)
    assert driver.read(STATUS).on == 1
    driver.post(2)
    rig.run()
    assert driver.read(STATUS).on == 0
    assert [driver.descriptor(index).done for index in range(2)] == [1, 0]


def test_an_interrupt_comes_after_the_status_and_stays_until_it_is_cleared(rig: Rig) -> None:
    driver = Driver(rig, link="50 ns")
    driver.fill(0, write=1, interrupt=1)
    driver.fill(1, write=1, interrupt=0)
    driver.enable(ie=1)
    driver.post(2)
    rig.run()
    status = next(event for event in rig.committed if event.address == RING + 8)
    assert [level for _, level in driver.levels] == [True]
    link, tick = 50 * NS, 1
    assert driver.levels[0][0] == status.time + link + tick + link, "the answer comes back, and then the wire goes up"
    acknowledged = rig.sim.now
    driver.write(STATUS, RingStatus.of(ip=1))
    rig.run()
    assert [level for _, level in driver.levels] == [True, False]
    assert acknowledged + link < driver.levels[1][0] < acknowledged + link + 20 * NS


@pytest.mark.parametrize(("enabled", "wanted"), [(0, 1), (1, 0)])
def test_no_interrupt_is_raised_where_none_is_enabled_or_wanted(rig: Rig, enabled: int, wanted: int) -> None:
    driver = Driver(rig)
    driver.fill(0, write=1, interrupt=wanted)
    driver.enable(ie=enabled)
    driver.post(1)
    rig.run()
    assert driver.read(STATUS).ip == wanted
    assert driver.levels == []


def test_a_buffer_that_cannot_be_reached_is_marked_in_its_descriptor(rig: Rig) -> None:
    driver = Driver(rig)
    driver.fill(0, write=1, buffer=0x40)
    driver.fill(1, write=1)
    driver.enable()
    driver.post(2)
    rig.run()
    assert [(driver.descriptor(n).done, driver.descriptor(n).fault) for n in range(2)] == [(1, 1), (1, 0)]
    assert driver.descriptor(0).size == 0
    assert driver.read(STATUS).fault == 0


def test_a_buffer_of_which_one_piece_cannot_be_reached_is_marked_though_the_last_one_was(rig: Rig) -> None:
    """The buffer begins in the last page below memory."""
    driver = Driver(rig, size=4096)
    driver.fill(0, write=1, buffer=MEMORY - 64, size=128)
    driver.enable()
    driver.post(1)
    rig.run()
    assert [event.status for event in rig.done if event.purpose == "data"] == ["ACCESS_FAULT", "SUCCESS"]
    assert (driver.descriptor(0).done, driver.descriptor(0).fault, driver.descriptor(0).size) == (1, 1, 0)


def test_a_ring_that_is_enabled_anew_begins_at_its_first_entry(rig: Rig) -> None:
    driver = Driver(rig)
    for index in range(2):
        driver.fill(index, write=1)
    driver.enable()
    driver.post(2)
    rig.run()
    driver.write(CONTROL, 0)
    driver.fill(0, write=1)
    before = len(rig.issued)
    driver.enable()
    rig.run()
    assert (driver.read(HEAD).index, driver.read(TAIL).index) == (0, 0)
    assert len(rig.issued) == before, "nothing is posted"
    driver.post(1)
    rig.run()
    assert driver.descriptor(0).done == 1


def test_a_ring_that_is_enabled_goes_on_when_its_control_register_is_written_again(rig: Rig) -> None:
    driver = Driver(rig)
    for index in range(3):
        driver.fill(index, write=1, interrupt=1)
    driver.enable()
    driver.post(2)
    rig.run()
    driver.enable(ie=1)
    rig.run()
    assert [level for _, level in driver.levels] == [True], "an interrupt that was pending is enabled"
    assert (driver.read(HEAD).index, driver.read(TAIL).index, len(rig.issued)) == (2, 2, 2 * 3)
    driver.post(3)
    rig.run()
    assert [driver.descriptor(index).done for index in range(3)] == [1, 1, 1]
    assert driver.device.packets == 3


@pytest.mark.parametrize("rest", [1, 10_000], ids=["while its last packet is under way", "when it has come to rest"])
def test_a_ring_that_is_enabled_anew_has_one_packet_each_interval_as_before(rig: Rig, rest: int) -> None:
    driver = Driver(rig, interval="1 us")
    driver.fill(0, write=1)
    driver.enable()
    driver.post(1)
    rig.run(until=rig.sim.now + 1_000 * NS)
    assert driver.read(HEAD).index == 1
    driver.write(CONTROL, 0)
    rig.run(until=rig.sim.now + rest * NS)
    assert driver.read(STATUS).on == (rest == 1)
    dropped = driver.device.dropped
    driver.enable()
    rig.run(until=rig.sim.now + 5_000 * NS)
    assert driver.device.dropped - dropped == 5


def test_a_ring_that_cannot_be_read_stops_until_the_fault_is_cleared(rig: Rig) -> None:
    driver = Driver(rig)
    driver.write(BASE, RingBase.of(size_lg2=3, page=0x40))
    driver.enable()
    driver.post(1)
    rig.run()
    assert driver.read(STATUS).fault == 1
    driver.post(2)
    rig.run()
    assert len(rig.issued) == 1
    driver.write(STATUS, RingStatus.of(fault=1))
    rig.run()
    assert len(rig.issued) == 2


def test_the_base_cannot_be_moved_while_the_ring_is_enabled(rig: Rig) -> None:
    driver = Driver(rig)
    driver.enable()
    driver.write(BASE, RingBase.of(size_lg2=5, page=1))
    assert driver.read(BASE).page == RING >> 12


def test_a_packet_that_is_due_once_its_ring_is_disabled_is_not_dropped(rig: Rig) -> None:
    driver = Driver(rig, interval="1 us", size=9000, outstanding=8, bandwidth="1 GB/s")
    driver.fill(0, size=9000, write=1)
    driver.enable()
    driver.post(1)
    rig.run(until=rig.sim.now + 1_500 * NS)
    driver.write(CONTROL, 0)
    dropped = driver.device.dropped
    rig.run(until=rig.sim.now + 2_000 * NS)
    assert driver.read(STATUS).on, "the packet before is under way still"
    assert driver.device.dropped == dropped


def test_a_paced_packet_that_finds_no_descriptor_is_dropped(rig: Rig) -> None:
    driver = Driver(rig, interval="1 us", requests=2)
    driver.enable()
    rig.run(until=3_500 * NS)
    assert driver.device.counters()["dropped"] == 3
    for index in range(3):
        driver.fill(index, write=1)
    driver.post(3)
    rig.run()
    assert [driver.descriptor(index).done for index in range(3)] == [1, 1, 0]
    fetched = [event.issued for event in rig.done if event.purpose == "fetch"]
    assert fetched[1] - fetched[0] == 1_000 * NS


def test_an_abandoned_ring_makes_no_further_request(rig: Rig) -> None:
    driver = Driver(rig, outstanding=1)
    for index in range(6):
        driver.fill(index, write=1)
    driver.enable()
    driver.post(6)
    rig.run(until=rig.sim.now + 500 * NS)
    driver.write(CONTROL, RingControl.of(abandon=1))
    rig.run()
    assert not all(driver.descriptor(index).done for index in range(6))
    assert driver.device.occupancy.inside == 0
    assert driver.read(STATUS).on == 0


def test_a_ring_that_was_abandoned_works_as_ever_once_it_is_enabled_anew(rig: Rig) -> None:
    driver = Driver(rig)
    driver.fill(0, write=1)
    driver.enable()
    driver.write(CONTROL, RingControl.of(abandon=1))
    driver.enable()
    driver.post(1)
    rig.run()
    assert (driver.descriptor(0).done, driver.descriptor(0).fault) == (1, 0)


def test_a_tail_is_taken_modulo_the_size_of_its_ring(rig: Rig) -> None:
    driver = Driver(rig, interval="1 us")
    for index in range(driver.entries):
        driver.fill(index, write=1)
    driver.enable()
    driver.write(TAIL, RingIndex.of(index=driver.entries + 2))
    rig.run(until=rig.sim.now + 5_000 * NS)
    assert driver.device.counters()["packets"] == 2


@pytest.mark.parametrize(("offset", "size"), [(0, 4), (4, 4), (4, 8), (16, 8), (24, 4), (0xFF8, 8)])
def test_an_access_that_is_not_of_one_whole_register_is_refused(rig: Rig, offset: int, size: int) -> None:
    driver = Driver(rig)
    access = Access(driver.port, AccessKind.READ, REGISTERS + offset, size, CountsFor("mmio"))
    driver.device.registers.commit(access)
    assert (access.response, access.words) == (Response.ACCESS_FAULT, (0,))


def test_accesses_go_one_after_the_other_and_each_notes_how_long_it_has_waited(rig: Rig) -> None:
    registers = Driver(rig).device.registers
    now, each_ps = rig.sim.now, registers.server.latency_ps
    assert each_ps > 0
    for before in (0, 1, 2):
        access = Access(rig.bus.port("cpu0"), AccessKind.READ, REGISTERS, 8, CountsFor("mmio"))
        assert registers.arrive(access, now) == now + (before + 1) * each_ps
        assert access.waited_ps == before * each_ps


def test_an_access_touches_the_register_that_it_is_of_and_nothing_where_there_is_none(rig: Rig) -> None:
    registers = Driver(rig).device.registers
    for register in (BASE, CONTROL, HEAD, TAIL, STATUS):
        assert registers.footprint(REGISTERS + register.offset, register.size) == (("nic0", register.name),)
    assert registers.footprint(REGISTERS + 0xFF8, 8) == ()


def test_software_moves_the_tail_and_not_the_head_and_clears_what_has_happened_by_writing_1(rig: Rig) -> None:
    driver = Driver(rig)
    registers = driver.device.registers
    registers.put(HEAD, 2)
    registers.put(STATUS, RingStatus.of(on=1, ip=1, fault=1))
    for register in (HEAD, TAIL):
        driver.write(register, 5)
    assert (driver.read(HEAD).index, driver.read(TAIL).index) == (2, 5)
    for written, left in (({}, {"ip", "fault"}), ({"ip": 1}, {"fault"}), ({"on": 1, "fault": 1}, set())):
        driver.write(STATUS, RingStatus.of(**written))
        assert driver.read(STATUS) == RingStatus.of(on=1, **dict.fromkeys(left, 1))


def test_a_watcher_sees_every_change_of_a_register_until_it_stops(rig: Rig) -> None:
    driver = Driver(rig)
    seen: list[int] = []
    end = driver.device.registers.watch(REGISTERS + TAIL.offset, lambda: seen.append(driver.read(TAIL).index))
    driver.post(3)
    driver.post(3)
    driver.post(4)
    end()
    driver.post(5)
    assert seen == [3, 4]
