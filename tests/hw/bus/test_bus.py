"""The bus: who answers where, what is refused, and in which order posted writes arrive."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.hw.bus.bus import Bus
from cosim.hw.bus.nowhere import NOWHERE
from cosim.sim.agenda import Agenda
from cosim.sim.plain import Plain
from cosim.sim.ranks import Stage
from cosim.sim.simulation import Sim
from cosim.sim.spent import NAMES, Parts
from cosim.sim.transport import Access, AccessKind, CountsFor, Response, Target

EXECUTORS = [Plain, Agenda]


class Cells(Target):
    """A target that takes `delay_ps` and notes (time, address, words) of each write."""

    def __init__(self, sim: Sim, delay_ps: Callable[[int], int] = lambda address: 1) -> None:
        self.sim = sim
        self.delay_ps = delay_ps
        self.written: list[tuple[int, int, tuple[int, ...]]] = []
        self.cells: dict[int, int] = {}

    def arrive(self, access: Access, now: int) -> int:
        return now + self.delay_ps(access.address)

    def commit(self, access: Access) -> None:
        if access.kind is AccessKind.WRITE:
            self.written.append((self.sim.now, access.address, tuple(access.words)))
            self.cells[access.address] = access.words[0]
        else:
            access.words = (self.cells.get(access.address, 0),)

    def peek(self, address: int, size: int) -> int:
        return self.cells.get(address, 0)

    def poke(self, address: int, size: int, value: int) -> None:
        self.cells[address] = value


@pytest.fixture(params=EXECUTORS)
def sim(request: pytest.FixtureRequest) -> Sim:
    return Sim(executor=request.param)


@pytest.fixture
def bus(sim: Sim) -> Bus:
    return Bus(sim)


def test_each_address_belongs_to_the_range_that_holds_it(sim: Sim, bus: Bus) -> None:
    low, high = Cells(sim), Cells(sim)
    bus.attach(0x2000, 0x1000, high, "high")
    bus.attach(0x1000, 0x1000, low, "low")
    assert bus.target(0x1000) is bus.target(0x1FFF) is low
    assert bus.target(0x2000) is bus.target(0x2FFF) is high
    assert bus.target(0xFFF) is bus.target(0x3000) is NOWHERE
    assert [found.name for found in bus.ranges()] == ["low", "high"]


@pytest.mark.parametrize(("base", "size"), [(0x800, 0x801), (0x1FFF, 1), (0x1800, 0x10), (0x800, 0x4000)])
def test_an_overlapping_range_is_refused_and_both_are_named(sim: Sim, bus: Bus, base: int, size: int) -> None:
    bus.attach(0x1000, 0x1000, Cells(sim), "iommu0")
    with pytest.raises(ValueError, match=r"^iommu1 at 0x[0-9a-f]+\.\.0x[0-9a-f]+ overlaps iommu0 at 0x1000\.\.0x1fff$"):
        bus.attach(base, size, Cells(sim), "iommu1")


def test_neighbours_do_not_overlap(sim: Sim, bus: Bus) -> None:
    bus.attach(0x1000, 0x1000, Cells(sim), "iommu0")
    bus.attach(0x2000, 0x1000, Cells(sim), "above")
    bus.attach(0x0, 0x1000, Cells(sim), "below")
    assert len(bus.ranges()) == 3


def test_the_whole_address_space_may_be_attached_up_to_its_last_byte(sim: Sim, bus: Bus) -> None:
    low, high = Cells(sim), Cells(sim)
    bus.attach(0, 0x1000, low, "low")
    bus.attach(0x1000, (1 << 64) - 0x1000, high, "high")
    assert bus.target(0) is low
    assert bus.target((1 << 64) - 8, 8) is bus.port("nic0").route((1 << 64) - 8, 8).target is high
    assert bus.target((1 << 64) - 8, 9) is NOWHERE


@pytest.mark.parametrize(("base", "size"), [(0, 0), (-8, 8), (-1, 1), ((1 << 64) - 8, 9), (1 << 64, 1)])
def test_a_range_outside_64_bits_is_refused(sim: Sim, bus: Bus, base: int, size: int) -> None:
    with pytest.raises(ValueError, match=r"odd: .* are not a range of 64-bit addresses"):
        bus.attach(base, size, Cells(sim), "odd")


RANGES = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 12)), max_size=8)


@settings(derandomize=True, deadline=None)
@given(RANGES)
def test_the_map_agrees_with_one_that_lists_every_byte(ranges: list[tuple[int, int]]) -> None:
    sim = Sim()
    bus, every_byte = Bus(sim), {}
    for base, size in ranges:
        wanted = range(base, base + size)
        target = Cells(sim)
        if any(byte in every_byte for byte in wanted):
            with pytest.raises(ValueError, match="overlaps"):
                bus.attach(base, size, target, "part")
        else:
            bus.attach(base, size, target, "part")
            every_byte.update(dict.fromkeys(wanted, target))
    port = bus.port("dev", 0)
    for address in range(60):
        for size in (1, 4, 8):
            owners = {every_byte.get(byte) for byte in range(address, address + size)}
            neighbours = {bus.find(byte) for byte in range(address, address + size)}
            expected = owners.pop() if len(owners) == 1 and len(neighbours) == 1 else None
            assert port.route(address, size).target is (expected or NOWHERE)
            assert bus.target(address, size) is (expected or NOWHERE)


def test_an_access_takes_the_hop_there_and_back(sim: Sim, bus: Bus) -> None:
    bus.attach(0x1000, 0x1000, Cells(sim, lambda _: 7), "dev")
    port = bus.port("nic0", 10)
    ended: list[int] = []

    def routine() -> Generator[Any, Any, None]:
        yield Access(port, AccessKind.WRITE, 0x1000, 8, CountsFor("memory", hop_part="link"), (5,))
        ended.append(sim.now)

    spent = [0] * len(NAMES)
    sim.start(routine(), port.initiator.rank(Stage.TRANSACTION), spent)
    sim.env.run()
    assert ended == [1 + 10 + 7 + 10]
    assert Parts(spent) == {"link": 20, "memory": 7}


@pytest.mark.parametrize(("node", "way"), [(None, 10), (1, 10), (0, 13)])
def test_what_is_on_another_node_is_further_away_each_way(sim: Sim, bus: Bus, node: int | None, way: int) -> None:
    cells = Cells(sim)
    bus.attach(0x1000, 0x1000, cells, "dram1", node=1, remote_ps=3)
    for address in (0x1000, 0x1008):
        route = bus.port("nic0", 10, node=node).route(address, 8)
        assert (route.target, route.out_ps, route.back_ps) == (cells, way, way)


@pytest.mark.parametrize(("address", "size"), [(0x1FFC, 8), (0x5000, 8), (0xFF8, 16)])
def test_an_access_that_no_target_holds_as_a_whole_is_refused(sim: Sim, bus: Bus, address: int, size: int) -> None:
    for base in (0x1000, 0x2000):
        bus.attach(base, 0x1000, Cells(sim), "ram")
    port = bus.port("nic0", 0)
    port.route(0x1000, 8)
    ended: list[Access] = []

    def routine() -> Generator[Any, Any, None]:
        access = Access(port, AccessKind.READ, address, size, CountsFor("memory"))
        yield access
        ended.append(access)

    sim.start(routine(), port.initiator.rank(Stage.TRANSACTION))
    sim.env.run()
    assert [access.response for access in ended] == [Response.ACCESS_FAULT]
    assert ended[0].words == ((1 << 64) - 1,) * (size // 8)


def test_posted_writes_to_one_target_take_hold_in_the_order_they_left(sim: Sim, bus: Bus) -> None:
    """Even where a later one is served faster."""
    cells = Cells(sim, {0x1000: 50, 0x1008: 3}.__getitem__)
    bus.attach(0x1000, 0x1000, cells, "dev")
    port = bus.port("cpu0", 10)
    for address in (0x1000, 0x1008, 0x1000):
        port.post(address, 8, (address,), port.initiator.rank(Stage.CPU))
    sim.env.run()
    assert [(time, address) for time, address, _ in cells.written] == [(61, 0x1000), (65, 0x1008), (116, 0x1000)]


def test_a_read_in_order_pushes_the_posted_writes_before_it(sim: Sim, bus: Bus) -> None:
    cells = Cells(sim, lambda _: 20)
    bus.attach(0x1000, 0x1000, cells, "dev")
    port = bus.port("cpu0", 10)
    read: list[tuple[int, int]] = []

    def reader() -> Generator[Any, Any, None]:
        access = yield from port.in_order(Access(port, AccessKind.READ, 0x1000, 8, CountsFor("mmio")))
        read.append((sim.now, access.value))

    port.post(0x1000, 8, (9,), port.initiator.rank(Stage.CPU))
    spent = [0] * len(NAMES)
    sim.start(reader(), port.initiator.rank(Stage.CPU), spent)
    sim.env.run()
    assert [value for _, value in read] == [9]
    assert sum(spent) == read[0][0] - 1


@pytest.mark.parametrize(("hop_ps", "expected"), [(0, [8, 15]), (10, [18, 45])])
def test_an_access_in_order_takes_the_hops_and_no_time_besides(
    sim: Sim, bus: Bus, hop_ps: int, expected: list[int]
) -> None:
    """A way without a hop takes none."""
    cells = Cells(sim, lambda _: 7)
    bus.attach(0x1000, 0x1000, cells, "dev")
    port = bus.port("cpu0", hop_ps)
    ended: list[int] = []

    def writer() -> Generator[Any, Any, None]:
        for value in (1, 2):
            yield from port.in_order(Access(port, AccessKind.WRITE, 0x1000, 8, CountsFor("mmio"), (value,)))
            ended.append(sim.now)

    sim.start(writer(), port.initiator.rank(Stage.CPU))
    sim.env.run()
    assert [time for time, _, _ in cells.written] == expected
    assert ended == [time + hop_ps for time in expected]


def test_posted_writes_of_two_initiators_do_not_wait_for_each_other(sim: Sim, bus: Bus) -> None:
    cells = Cells(sim, {0x1000: 50, 0x1008: 3}.__getitem__)
    bus.attach(0x1000, 0x1000, cells, "dev")
    for path, address in (("cpu0", 0x1000), ("cpu1", 0x1008)):
        port = bus.port(path, 10)
        port.post(address, 8, (0,), port.initiator.rank(Stage.CPU))
    sim.env.run()
    assert [address for _, address, _ in cells.written] == [0x1008, 0x1000]


def test_what_one_initiator_sends_to_different_targets_in_order_is_not_in_one_anothers_way(sim: Sim, bus: Bus) -> None:
    """Neither there nor back."""
    cells = {base: Cells(sim, lambda _: 7) for base in (0x1000, 0x2000, 0x3000)}
    port, back = bus.port("cpu0", 10), []

    def reader(address: int) -> Generator[Any, Any, None]:
        yield from port.in_order(Access(port, AccessKind.READ, address, 8, CountsFor("mmio")))
        back.append(sim.now)

    for base, target in cells.items():
        bus.attach(base, 0x1000, target, f"dev{base}")
        port.post(base, 8, (1,), port.initiator.rank(Stage.CPU))
        sim.start(reader(base), port.initiator.rank(Stage.CPU))
    sim.env.run()
    assert [time for target in cells.values() for time, *_ in target.written] == [1 + 10 + 7] * 3
    assert back == [1 + 10 + 7 + 1 + 7 + 10] * 3


def test_peek_and_poke_take_no_time_and_name_what_is_missing(sim: Sim, bus: Bus) -> None:
    bus.attach(0x1000, 0x1000, Cells(sim), "dev")
    bus.poke(0x1008, 8, 77)
    assert bus.peek(0x1008, 8) == 77
    for wrong in (lambda: bus.peek(0x3000, 8), lambda: bus.poke(0x1FFC, 8, 0)):
        with pytest.raises(LookupError, match=r"nothing answers at 0x.*; there are: dev at 0x1000\.\.0x1fff"):
            wrong()
    assert sim.now == 0
