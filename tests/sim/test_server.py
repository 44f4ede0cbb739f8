"""Arbitration: first come, first served, ties by rank, nobody lost, and every wait accounted for."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.sim.agenda import Agenda
from cosim.sim.executor import Executor
from cosim.sim.gate import Gate
from cosim.sim.occupancy import Occupancy
from cosim.sim.plain import Plain
from cosim.sim.ranks import Stage
from cosim.sim.server import Server
from cosim.sim.simulation import Sim
from cosim.sim.spent import NAMES, Parts

BOTH = pytest.mark.parametrize("executor", [Plain, Agenda])
PROPERTY = settings(derandomize=True, deadline=None, max_examples=40)
ARRIVALS = st.lists(st.integers(0, 12), min_size=1, max_size=8)


# --- Server ---------------------------------------------------------------------------------------------------------


@PROPERTY
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 6), st.integers(0, 9)), max_size=10))
def test_a_server_admits_as_one_that_is_simulated_tick_by_tick(visits: list[tuple[int, int, int]]) -> None:
    """Arrivals `gap` apart, each busy for `interval` and out after `latency`, against a loop over time."""
    server, now, free_from, busy, waited = Server(1, "memory"), 0, 0, 0, 0
    for gap, interval, latency in visits:
        now += gap
        begin = now
        while begin < free_from:
            begin += 1
            waited += 1
        free_from = begin + interval
        busy += interval
        assert server.serve(now, interval, latency) == begin + latency
    assert (server.busy_ps, server.waited_ps) == (busy, waited)
    assert server.busy_until(server.free_at) == busy
    assert server.busy_until(now) == busy - max(0, free_from - now)


def test_a_visit_takes_the_durations_that_it_names_else_the_servers_own() -> None:
    server = Server(5, "memory", latency_ps=20)
    assert server.admit(0) == 20
    assert server.admit(0) == 25
    assert server.serve(0, 7, 7) == 10 + 7
    assert server.serve(0, 1, 0) == 17


@BOTH
@PROPERTY
@given(arrivals=ARRIVALS, interval=st.integers(0, 5), latency=st.integers(0, 5))
def test_visitors_leave_a_server_in_the_order_in_which_they_came(
    executor: type[Executor], arrivals: list[int], interval: int, latency: int
) -> None:
    sim = Sim(executor=executor)
    server = Server(interval, "memory", latency_ps=latency)
    occupancy = Occupancy()
    left: list[int] = []

    def visitor(number: int, spent: list[int]) -> Generator[Any, Any, None]:
        since = sim.now
        occupancy.enter(since)
        yield server
        left.append(number)
        assert sum(spent) == sim.now - since
        occupancy.leave(sim.now, since, sum(spent))

    for number, arrival in enumerate(arrivals):
        spent = [0] * len(NAMES)
        rank = sim.initiator(f"nic{number}").rank(Stage.TRANSACTION)
        sim.start(visitor(number, spent), rank, spent, delay_ps=1 + arrival)
    sim.env.run()
    assert left == sorted(range(len(arrivals)), key=lambda number: (arrivals[number], number))
    integral, residence = occupancy.law(sim.now)
    assert integral == residence


# --- Gate -----------------------------------------------------------------------------------------------------------


class Crowd:
    """Visitors who take a slot, keep it for a while, and note when they got it."""

    def __init__(self, executor: type[Executor], slots: int) -> None:
        self.sim = Sim(executor=executor)
        self.gate = Gate(self.sim, slots, "walker_wait")
        self.passed: list[tuple[int, int]] = []
        self.inside = self.most = 0
        self.spent: dict[int, list[int]] = {}

    def add(self, number: int, arrival: int, stay: int) -> None:
        spent = self.spent[number] = [0] * len(NAMES)
        rank = self.sim.initiator(f"nic{number}").rank(Stage.TRANSACTION)
        self.sim.start(self._visit(number, stay), rank, spent, delay_ps=1 + arrival)

    def _visit(self, number: int, stay: int) -> Generator[Any, Any, None]:
        yield self.gate
        self.passed.append((self.sim.now, number))
        self.inside += 1
        self.most = max(self.most, self.inside)
        yield Server(0, "walk", latency_ps=stay)
        self.inside -= 1
        if self.gate.slots:
            self.gate.release()

    def run(self) -> None:
        self.sim.env.run()


@BOTH
@PROPERTY
@given(
    visits=st.lists(st.tuples(st.integers(0, 12), st.integers(1, 5)), min_size=1, max_size=8), slots=st.integers(1, 3)
)
def test_a_gate_hands_its_slots_over_as_one_that_is_simulated_tick_by_tick(
    executor: type[Executor], visits: list[tuple[int, int]], slots: int
) -> None:
    crowd = Crowd(executor, slots)
    for number, (arrival, stay) in enumerate(visits):
        crowd.add(number, arrival, stay)
    crowd.run()
    free, queue, ends, expected = slots, [], {}, []
    for now in range(1, 200):
        for number in range(len(visits)):  # in the order of their ranks
            if ends.get(number) == now:
                if queue:
                    follower = queue.pop(0)
                    expected.append((now + 1, follower))
                    ends[follower] = now + 1 + visits[follower][1]
                else:
                    free += 1
            if now == 1 + visits[number][0]:
                if free:
                    free -= 1
                    expected.append((now, number))
                    ends[number] = now + visits[number][1]
                else:
                    queue.append(number)
    assert crowd.passed == sorted(expected)
    assert crowd.most <= slots
    assert crowd.gate.free == slots
    waits = {number: time - 1 - visits[number][0] for time, number in expected}
    assert {number: Parts(spent).get("walker_wait", 0) for number, spent in crowd.spent.items()} == waits


@BOTH
def test_of_those_who_come_at_the_same_time_the_lower_rank_goes_first(executor: type[Executor]) -> None:
    """Whatever the order in which they were started."""
    crowd = Crowd(executor, 1)
    for path in ("nic0", "nic1", "nic2"):
        crowd.sim.initiator(path)
    for number in (2, 0, 1):
        crowd.add(number, 5, 3)
    crowd.run()
    assert [number for _, number in crowd.passed] == [0, 1, 2]


@BOTH
def test_an_opened_gate_lets_everybody_through_and_holds_nobody_who_comes_later(executor: type[Executor]) -> None:
    crowd = Crowd(executor, 0)
    for number, arrival in enumerate([0, 3, 20]):
        crowd.add(number, arrival, 1)
    crowd.sim.at(10, crowd.sim.initiator("door").rank(Stage.MEMORY), crowd.gate.open)
    crowd.run()
    assert crowd.passed == [(11, 0), (11, 1), (21, 2)]


@BOTH
def test_a_flush_lets_through_those_who_wait_and_nobody_later(executor: type[Executor]) -> None:
    crowd = Crowd(executor, 0)
    for number, arrival in enumerate([0, 3, 20]):
        crowd.add(number, arrival, 1)
    crowd.sim.at(10, crowd.sim.initiator("door").rank(Stage.MEMORY), crowd.gate.flush)
    crowd.run()
    assert crowd.passed == [(11, 0), (11, 1)]
    assert len(crowd.gate.waiting) == 1


@BOTH
def test_a_gate_that_was_shut_holds_again(executor: type[Executor]) -> None:
    sim = Sim(executor=executor)
    gate = Gate(sim, 0, "order")
    assert not gate.take()
    gate.open()
    assert gate.take()
    gate.shut()
    assert not gate.take()


def test_a_slot_that_was_never_lent_cannot_be_returned() -> None:
    gate = Gate(Sim(), 2, "slot")
    assert gate.take()
    gate.release()
    with pytest.raises(RuntimeError, match="a slot was returned to a gate of 2 that lent none"):
        gate.release()
