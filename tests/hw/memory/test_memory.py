"""Main memory: words, ports, atomic accesses, injected errors, poison and past states."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cosim.events import FreedTouched
from cosim.hw.memory.memory import Memory
from cosim.hw.memory.options import MemoryOptions
from cosim.sim.ranks import Stage
from cosim.sim.simulation import Sim
from cosim.sim.transport import Access, AccessKind, CountsFor, Port, Response, Route
from cosim.spec.page import PAGE
from cosim.units.quantities import NS

BASE = 0x8000_0000


class OnePort(Port):
    """A port that leads to one memory, without a hop."""

    def __init__(self, memory: Memory) -> None:
        self.path = "port"
        self.memory = memory

    def route(self, address: int, size: int) -> Route:
        return Route(self.memory, 0, 0)


def memory_of(sim: Sim, **options: Any) -> Memory:
    return Memory(sim, "dram0", MemoryOptions(kind="memory", base=BASE, size="1 MiB", **options))


def committed(memory: Memory, kind: AccessKind, address: int, size: int, words: tuple[int, ...] = ()) -> Access:
    access = Access(OnePort(memory), kind, address, size, CountsFor("memory"), words, owner="nic0")
    memory.commit(access)
    return access


def at(sim: Sim, time: int, call: Any) -> None:
    sim.at(time, sim.initiator("test").rank(Stage.MEMORY), call)


def test_a_word_that_was_never_written_reads_as_zero(memory: Memory) -> None:
    assert committed(memory, AccessKind.READ, BASE + 64, 8).words == (0,)


def test_an_access_of_several_words_reads_what_one_wrote(memory: Memory) -> None:
    committed(memory, AccessKind.WRITE, BASE, 32, (1, 2, 3, 4))
    assert committed(memory, AccessKind.READ, BASE + 8, 16).words == (2, 3)
    assert (memory.reads, memory.writes, memory.read_bytes, memory.written_bytes) == (1, 1, 16, 32)


def test_a_page_that_was_never_written_ends_where_the_next_one_begins(memory: Memory) -> None:
    committed(memory, AccessKind.WRITE, BASE + PAGE, 16, (1, 2))
    assert committed(memory, AccessKind.READ, BASE + PAGE - 16, 32).words == (0, 0, 1, 2)
    assert committed(memory, AccessKind.READ, BASE + PAGE - 32, 32).words == (0, 0, 0, 0)


def test_the_words_of_a_page_that_are_not_zero_are_those_that_are_found_word_by_word(memory: Memory) -> None:
    memory.write(BASE, 8, 1)
    memory.write_block(BASE, (0,) * (PAGE // 8))
    memory.write(BASE + 8, 8, 2)
    memory.write(BASE + 8, 8, 3)
    memory.write(BASE + 64, 8, 4)
    memory.write(BASE + 64, 8, 0)
    memory.poke(BASE + PAGE + 4, 4, 5)
    memory.write(BASE + 2 * PAGE, 8, 6)
    found = [word for address in range(BASE, BASE + 2 * PAGE, 8) for word in memory.nonzero(address, 8)]
    assert found == [3, 5 << 32]
    assert sorted(memory.nonzero(BASE, 2 * PAGE)) == found


@pytest.mark.parametrize("keep_ps", [0, 1000])
def test_a_memory_that_went_back_to_a_snapshot_is_what_it_was(sim: Sim, keep_ps: int) -> None:
    memory = memory_of(sim)
    memory.remember(keep_ps)
    memory.write(BASE + 8, 8, 1)
    memory.write(BASE + PAGE, 8, 2)
    kept = memory.snapshot()
    memory.write_block(BASE, (0,) * (PAGE // 8))
    memory.write(BASE + PAGE, 8, 3)
    memory.write(BASE + 2 * PAGE, 8, 4)
    memory.restore(kept)
    assert memory.snapshot() == kept
    assert [committed(memory, AccessKind.READ, BASE + at, 16).words for at in (0, PAGE)] == [(0, 1), (2, 0)]
    assert committed(memory, AccessKind.READ, BASE + 2 * PAGE, 16).words == (0, 0)
    assert sorted(memory.nonzero(BASE, 3 * PAGE)) == [1, 2]
    memory.write_block(BASE, (0,) * (PAGE // 8))
    assert memory.peek(BASE + 8, 8) == 0


def test_four_bytes_are_half_of_a_word(memory: Memory) -> None:
    committed(memory, AccessKind.WRITE, BASE, 8, (0x1111_2222_3333_4444,))
    committed(memory, AccessKind.WRITE, BASE + 4, 4, (0xAAAA_BBBB,))
    assert committed(memory, AccessKind.READ, BASE, 8).words == (0xAAAA_BBBB_3333_4444,)
    assert committed(memory, AccessKind.READ, BASE + 4, 4).words == (0xAAAA_BBBB,)


def test_a_compare_and_swap_stores_only_over_what_it_expects(memory: Memory) -> None:
    memory.poke(BASE, 8, 5)
    assert committed(memory, AccessKind.CAS, BASE, 8, (4, 9)).words == (5,)
    assert memory.peek(BASE, 8) == 5
    assert committed(memory, AccessKind.CAS, BASE, 8, (5, 9)).words == (5,)
    assert (memory.peek(BASE, 8), memory.reads, memory.read_bytes, memory.written_bytes) == (9, 2, 16, 16)


def test_a_write_without_words_leaves_what_is_there(memory: Memory) -> None:
    memory.poke(BASE, 8, 5)
    committed(memory, AccessKind.WRITE, BASE, 1500)
    assert memory.peek(BASE, 8) == 5
    assert memory.written_bytes == 1500


def test_a_write_with_too_few_words_is_refused(memory: Memory) -> None:
    with pytest.raises(ValueError, match="1 words given for a write of 16 bytes at 0x80000000"):
        committed(memory, AccessKind.WRITE, BASE, 16, (1,))


@settings(derandomize=True, deadline=None, max_examples=50)
@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(0, 56), st.sampled_from([1, 2, 4, 8, 12, 24]), st.integers(0, 2**192 - 1)),
        max_size=30,
    )
)
@example([(True, 0, 24, 2**192 - 1), (False, 6, 4, 0), (False, 5, 12, 0), (True, 5, 12, 0), (False, 16, 8, 0)])
def test_memory_is_an_array_of_bytes(accesses: list[tuple[bool, int, int, int]]) -> None:
    memory, twin = memory_of(Sim()), bytearray(128)
    for write, offset, size, value in accesses:
        if write:
            memory.poke(BASE + offset, size, value & (1 << 8 * size) - 1)
            twin[offset : offset + size] = value.to_bytes(24, "little")[:size]
        else:
            assert memory.peek(BASE + offset, size) == int.from_bytes(twin[offset : offset + size], "little")


# --- Time ---------------------------------------------------------------------------------------------------------


def finished(memory: Memory, accesses: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """When reads of (address, size), all arriving at 0, take hold, and how long each had waited."""
    done = []
    for address, size in accesses:
        access = Access(OnePort(memory), AccessKind.READ, address, size, CountsFor("memory"))
        done.append((memory.arrive(access, 0), access.waited_ps))
    return done


def test_an_access_takes_the_latency(sim: Sim) -> None:
    assert finished(memory_of(sim), [(BASE, 64), (BASE, 64)]) == [(80 * NS, 0), (80 * NS, 0)]


@pytest.mark.parametrize(("write_latency", "takes"), [({}, 80), ({"write_latency": "30 ns"}, 30)])
def test_a_write_takes_its_own_latency_if_it_has_one(sim: Sim, write_latency: dict[str, str], takes: int) -> None:
    memory = memory_of(sim, **write_latency)
    write = Access(OnePort(memory), AccessKind.WRITE, BASE, 8, CountsFor("memory"), (1,))
    assert memory.arrive(write, 0) == takes * NS
    assert finished(memory, [(BASE, 64)]) == [(80 * NS, 0)]


def test_bandwidth_makes_accesses_of_one_port_queue(sim: Sim) -> None:
    memory = memory_of(sim, bandwidth="16 GB/s")
    assert finished(memory, [(BASE, 64), (BASE, 64)]) == [(80 * NS, 0), (84 * NS, 4 * NS)]
    assert memory.waited_ps == 4 * NS


def test_a_port_has_been_busy_for_what_it_has_carried_and_not_for_what_still_waits(sim: Sim) -> None:
    memory = memory_of(sim, bandwidth="16 GB/s")
    finished(memory, [(BASE, 64), (BASE, 64)])
    busy = {}
    for now in (3 * NS, 8 * NS, 20 * NS):
        sim.env.run(until=now)
        busy[now] = memory.busy_ps
    assert busy == {3 * NS: 3 * NS, 8 * NS: 8 * NS, 20 * NS: 8 * NS}


def test_lines_are_spread_over_the_ports(sim: Sim) -> None:
    memory = memory_of(sim, bandwidth="16 GB/s", ports=2)
    assert finished(memory, [(BASE, 64), (BASE + 64, 64), (BASE + 128, 64)]) == [
        (80 * NS, 0),
        (80 * NS, 0),
        (84 * NS, 4 * NS),
    ]
    assert finished(memory, [(BASE + 64, 64)]) == [(84 * NS, 4 * NS)]
    assert memory.waited_ps == 8 * NS


@pytest.mark.parametrize("stride", [64, 256, 512, 1024, 4096])
def test_no_stride_leaves_ports_idle(sim: Sim, stride: int) -> None:
    memory = memory_of(sim, bandwidth="16 GB/s", ports=4)
    finished(memory, [(BASE + index * stride, 64) for index in range(64)])
    assert [port.busy_ps for port in memory.ports] == [16 * 4 * NS] * 4


def test_data_is_not_there_before_the_port_has_carried_it(sim: Sim) -> None:
    assert finished(memory_of(sim, bandwidth="16 GB/s"), [(BASE, 4096)]) == [(256 * NS, 0)]


# --- Injected errors ----------------------------------------------------------------------------------------------


def test_a_refused_range_answers_with_an_access_fault_and_does_not_change(memory: Memory) -> None:
    memory.fault("access_fault", BASE + 0x1000, 0x1000)
    assert committed(memory, AccessKind.WRITE, BASE + 0x1FF8, 8, (1,)).response is Response.ACCESS_FAULT
    assert memory.peek(BASE + 0x1FF8, 8) == 0
    for beside in (0xFF8, 0x2000):
        assert committed(memory, AccessKind.WRITE, BASE + beside, 8, (1,)).response is Response.OK


def test_corrupt_data_is_noticed_by_who_reads_it(memory: Memory) -> None:
    memory.fault("corrupt", BASE, 8)
    assert committed(memory, AccessKind.WRITE, BASE, 8, (1,)).response is Response.OK
    assert committed(memory, AccessKind.READ, BASE, 8).response is Response.CORRUPT
    memory.clear_faults()
    assert committed(memory, AccessKind.READ, BASE, 8).response is Response.OK


# --- Poison -------------------------------------------------------------------------------------------------------


@pytest.fixture
def touched(sim: Sim) -> list[FreedTouched]:
    seen: list[FreedTouched] = []
    sim.probe(FreedTouched).watch(seen.append)
    return seen


def test_touching_freed_memory_names_who_freed_what_and_when(sim: Sim, touched: list[FreedTouched]) -> None:
    memory = memory_of(sim)
    at(sim, 10, lambda: memory.poison(BASE + 0x1000, 0x1000, "cpu0.unmap", "table"))
    at(sim, 20, lambda: committed(memory, AccessKind.READ, BASE + 0xFF8, 16))
    sim.env.run()
    assert touched == [FreedTouched(20, "nic0", BASE + 0xFF8, False, 10, "cpu0.unmap", "table", "port")]


def test_memory_in_use_again_may_be_touched_and_what_lies_beside_it_may_not(
    memory: Memory, touched: list[FreedTouched]
) -> None:
    memory.poison(BASE, 0x3000, "cpu0.unmap", "buffer")
    memory.unpoison(BASE + 0x1000, 0x1000)
    committed(memory, AccessKind.WRITE, BASE + 0x1000, 0x1000)
    memory.poison(BASE + 0x4008, 16, "cpu0.free", "object"), memory.unpoison(BASE + 0x4008, 16)
    committed(memory, AccessKind.WRITE, BASE + 0x4000, 32)
    assert not touched
    committed(memory, AccessKind.WRITE, BASE + 0xFF8, 8, (1,))
    committed(memory, AccessKind.WRITE, BASE + 0x2000, 8, (1,))
    assert [event.address for event in touched] == [BASE + 0xFF8, BASE + 0x2000]
    assert all(event.write for event in touched)


def test_what_is_left_of_a_freed_range_was_freed_when_all_of_it_was(sim: Sim, touched: list[FreedTouched]) -> None:
    """What lies between its beginning and its end is in use again, and half of it freed once more after that, as is
    what was free already."""
    memory = memory_of(sim)
    at(sim, 10, lambda: memory.poison(BASE, 0x3000, "cpu0.unmap", "buffer"))
    at(sim, 20, lambda: memory.unpoison(BASE + 0x1000, 0x1000))
    at(sim, 30, lambda: memory.poison(BASE + 0x1800, 0x1000, "cpu1.free", "bond"))
    for offset in (0, 0x1000, 0x1800, 0x2000):
        at(sim, 40, lambda offset=offset: committed(memory, AccessKind.READ, BASE + offset, 8))
    sim.env.run()
    assert [(event.address - BASE, event.freed, event.freed_by, event.what) for event in touched] == [
        (0, 10, "cpu0.unmap", "buffer"),
        (0x1800, 30, "cpu1.free", "bond"),
        (0x2000, 10, "cpu0.unmap", "buffer"),
    ]


def test_an_access_that_may_have_happened_while_memory_was_in_use_is_no_violation(
    sim: Sim, touched: list[FreedTouched]
) -> None:
    memory = memory_of(sim)
    memory.remember(1000)
    at(sim, 10, lambda: memory.poison(BASE, 8, "cpu0.a", "object"))
    at(sim, 20, lambda: memory.unpoison(BASE - 8, 24))
    at(sim, 30, lambda: memory.judge("cpu1.b", BASE, 8, write=False, first=15, last=30))
    at(sim, 31, lambda: memory.judge("cpu1.c", BASE, 8, write=False, first=12, last=18))
    at(sim, 31, lambda: memory.judge("cpu1.beside", BASE + 8, 8, write=False, first=12, last=18))
    at(sim, 2000, lambda: memory.unpoison(BASE + 64, 8))
    at(sim, 2001, lambda: memory.judge("cpu1.d", BASE, 8, write=False, first=12, last=18))
    sim.env.run()
    assert [(event.who, event.freed) for event in touched] == [("cpu1.c", 10)]


def test_what_is_in_use_again_is_known_to_have_been_free_for_as_long_as_the_past_is_kept(
    sim: Sim, touched: list[FreedTouched]
) -> None:
    """And no longer, whatever comes to use meanwhile."""
    memory = memory_of(sim)
    memory.remember(1000)
    for place, used in ((BASE, 20), (BASE + 8, 20), (BASE + 0x2000, 500)):
        at(sim, 10, partial(memory.poison, place, 8, "cpu0.a", "object"))
        at(sim, used, partial(memory.unpoison, place, 8))
    for time in (25, 1019, 1020, 1499, 1500):
        at(sim, time, partial(memory.unpoison, BASE + 0x4000, 8))
        for place in (BASE, BASE + 8, BASE + 0x2000):
            at(sim, time, partial(memory.judge, "cpu1.b", place, 8, write=False, first=12, last=18))
    sim.env.run()
    assert [(event.time, event.address - BASE) for event in touched] == [
        *((25, 0), (25, 8), (25, 0x2000), (1019, 0), (1019, 8), (1019, 0x2000), (1020, 0x2000), (1499, 0x2000)),
    ]


@settings(derandomize=True, deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 30), st.integers(1, 12)), max_size=25), st.booleans())
def test_poison_is_a_set_of_bytes(changes: list[tuple[bool, int, int]], keep: bool) -> None:
    sim = Sim()
    touched: list[FreedTouched] = []
    sim.probe(FreedTouched).watch(touched.append)
    memory, freed = memory_of(sim), set()
    if keep:
        memory.remember(1000)
    for poison, first, size in changes:
        place, cells = BASE + 512 * first, range(first, first + size)
        if poison:
            memory.poison(place, 512 * size, "cpu0.a", "page")
            freed |= set(cells)
        else:
            memory.unpoison(place, 512 * size)
            freed -= set(cells)
    for cell in range(45):
        committed(memory, AccessKind.READ, BASE + 512 * cell, 8)
    assert {(event.address - BASE) // 512 for event in touched} == freed


# --- Past states --------------------------------------------------------------------------------------------------


def test_without_a_weak_memory_model_only_the_present_is_known(sim: Sim, memory: Memory) -> None:
    at(sim, 10, lambda: memory.write(BASE, 8, 1))
    sim.env.run()
    assert list(memory.states(BASE, 8, -1)) == [(-1, 1)]


def test_states_are_known_from_newest_to_oldest_until_they_ended_too_long_ago(sim: Sim) -> None:
    memory = memory_of(sim)
    memory.remember(100)
    for time, value in [(10, 1), (20, 2), (50, 3), (115, 4)]:
        at(sim, time, lambda value=value: memory.write(BASE, 8, value))
    sim.env.run()
    assert list(memory.states(BASE, 8, -1)) == [(115, 4), (50, 3), (20, 2), (10, 1)]
    assert list(memory.states(BASE, 8, 20)) == [(115, 4), (50, 3), (20, 2)]
    assert list(memory.states(BASE, 8, 200)) == [(115, 4)]


def test_half_a_word_has_the_states_of_its_own_writes(sim: Sim) -> None:
    memory = memory_of(sim)
    memory.remember(1000)
    for time, address, value in [(10, BASE, 1), (20, BASE + 4, 2), (30, BASE, 3)]:
        at(sim, time, lambda address=address, value=value: memory.write(address, 4, value))
    sim.env.run()
    assert list(memory.states(BASE + 4, 4, -1)) == [(20, 2), (-1, 0)]
    assert list(memory.states(BASE, 4, -1)) == [(30, 3), (10, 1), (-1, 0)]
    assert list(memory.states(BASE, 8, 15)) == [(30, 2 << 32 | 3), (20, 2 << 32 | 1), (10, 1)]


@settings(derandomize=True, deadline=None, max_examples=50)
@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 3), st.booleans(), st.integers(1, 9)), max_size=40),
    st.integers(1, 120),
    st.integers(-1, 200),
)
def test_states_equal_those_of_a_full_log(writes: list[tuple[int, int, bool, int]], keep_ps: int, after: int) -> None:
    """Brute force: keep every write; a state counts if it lasted, and did not end by `after` or too long ago."""
    sim = Sim()
    memory = memory_of(sim)
    memory.remember(keep_ps)
    log: list[tuple[int, int, int, int]] = []
    time = 0
    for pause, word, half, value in writes:
        time += pause
        address = BASE + 8 * word + (4 if half else 0)
        at(sim, 1 + time, lambda address=address, value=value: memory.write(address, 4, value))
        log.append((1 + time, address, 4, value))
    sim.env.run()
    now = sim.now
    for address in range(BASE, BASE + 32, 4):
        states = [(-1, 0)] + [(time, value) for time, at, _, value in log if at == address]
        ends = [began for began, _ in states[1:]] + [1 << 62]
        lasting = [
            state for state, end in zip(states, ends, strict=True) if end > state[0] and end > max(after, now - keep_ps)
        ]
        found = list(memory.states(address, 4, after))
        assert [value for _, value in found] == [value for _, value in reversed(lasting)]
        assert [began for began, _ in found[:-1]] == [began for began, _ in reversed(lasting[1:])]
        assert found[-1][0] in (lasting[0][0], -1)
