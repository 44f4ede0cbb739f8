"""The agenda really runs ahead, and never too far: run-ahead can vanish, or lie, while digests stay equal."""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from typing import Any

import pytest
from simpy.events import Event

from cosim import compiled
from cosim.hw.cpu.sequencer import Sequencer
from cosim.sim.agenda import Agenda
from cosim.sim.cpu_steps import IDLE, Delay, Steps, Wait
from cosim.sim.executor import Executor
from cosim.sim.gate import Gate
from cosim.sim.heap import COMPILED
from cosim.sim.plain import Plain
from cosim.sim.ranks import Initiator, Stage
from cosim.sim.server import Server
from cosim.sim.simulation import Sim
from tests.sim.machine import Machine


def agenda(*, own_heap: bool = COMPILED) -> tuple[Sim, Agenda]:
    sim = Sim(executor=partial(Agenda, own_heap=own_heap))
    assert isinstance(sim.executor, Agenda)
    return sim, sim.executor


def steps(count: int, length: int) -> Generator[Any, Any, None]:
    server = Server(0, "link", latency_ps=length)
    for _ in range(count):
        yield server


def ticking(sim: Sim, count: int, length: int) -> Generator[Event, Any, None]:
    """A thread on SimPy that wakes up `count` times."""
    for _ in range(count):
        yield sim.moment(sim.now + length, sim.initiator("cpu0").rank(Stage.CPU))


# --- How many activations -------------------------------------------------------------------------------------------


def test_hardware_that_has_the_machine_for_itself_takes_one_activation() -> None:
    sim, executor = agenda()
    for master in range(5):
        sim.start(steps(200, 3), sim.initiator(f"nic{master}").rank(Stage.TRANSACTION))
    sim.env.run()
    assert executor.activations == 1
    assert sim.now == 1 + 3 * 200


@pytest.mark.parametrize("seed", range(30))
def test_a_whole_machine_without_threads_takes_one_activation(seed: int) -> None:
    machine = Machine(seed, Agenda, threads=False)
    machine.sim.env.run()
    assert isinstance(machine.sim.executor, Agenda)
    assert machine.transactions
    assert machine.sim.executor.activations == 1


@pytest.mark.parametrize("own_heap", [False, True])
def test_each_wake_up_of_a_thread_costs_at_most_one_activation(own_heap: bool) -> None:
    sim, executor = agenda(own_heap=own_heap)
    sim.start(steps(1000, 3), sim.initiator("nic0").rank(Stage.TRANSACTION))
    sim.env.process(ticking(sim, 10, 250))
    sim.env.run()
    assert executor.activations == 1 + 10
    assert executor.events == 1 + 1000, "whenever they were"


@pytest.mark.parametrize(("first", "second"), [(5, 5), (0, 5), (5, 0), (0, 0)])
def test_an_alarm_that_is_superseded_wakes_nobody_and_stops_nobody(first: int, second: int) -> None:
    """A thread starts something ahead of all that the agenda waits for."""
    sim, executor = agenda()
    nic, cpu = sim.initiator("nic0"), sim.initiator("cpu0")
    sim.start(steps(first, 1000), nic.rank(Stage.TRANSACTION), delay_ps=1000)
    assert executor.activations == 0

    def thread() -> Generator[Event, Any, None]:
        yield sim.moment(10, cpu.rank(Stage.CPU))
        sim.start(steps(second, 100), nic.rank(Stage.TRANSACTION))

    sim.env.process(thread())
    sim.env.run()
    assert executor.activations == 1
    assert sim.now == 1000 + first * 1000


def test_a_callback_that_schedules_into_the_agenda_does_not_park_it() -> None:
    sim, executor = agenda()
    rank = sim.initiator("timer").rank

    def chain(left: int) -> None:
        if left:
            sim.at(sim.now + 1, rank(Stage.INTERRUPT), lambda: chain(left - 1))

    sim.at(1, rank(Stage.INTERRUPT), lambda: chain(99))
    sim.env.run()
    assert executor.activations == 1
    assert sim.now == 100


def test_gates_and_starts_within_the_agenda_do_not_park_it() -> None:
    sim, executor = agenda()
    gate = Gate(sim, 1, "walker_wait")
    rank = sim.initiator("nic0").rank
    ended: list[int] = []

    def holder(left: int) -> Generator[Any, Any, None]:
        yield gate
        yield Server(2, "walk")
        gate.release()
        ended.append(sim.now)
        if left:
            sim.start(holder(left - 1), rank(Stage.TRANSACTION))

    for _ in range(3):
        sim.start(holder(5), rank(Stage.TRANSACTION))
    sim.env.run()
    assert len(ended) == 18
    assert executor.activations == 1


def test_a_cpu_has_no_event_of_simpy() -> None:
    sim, executor = agenda()
    cpu = Sequencer(sim, "cpu0")
    seen: list[int] = []

    def life() -> Steps[None]:
        for _ in range(100):
            yield Delay(7)
            yield Wait(sim.now + 3, opened=True)
            seen.append(sim.now)
        yield IDLE

    cpu.begin(life())
    sim.start(steps(300, 3), sim.initiator("nic0").rank(Stage.TRANSACTION))
    sim.env.run()
    assert seen == list(range(10, 1001, 10))
    assert executor.activations <= 2  # that of what was due first, and it was replaced once


# --- Never too far ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("executor", [Plain, Agenda])
def test_nothing_runs_ahead_while_a_caller_still_works_at_its_own_time(executor: type[Executor]) -> None:
    sim = Sim(executor=executor)
    cpu, nic = sim.initiator("cpu0"), sim.initiator("nic0")
    seen: list[str] = []

    def thread() -> Generator[Event, Any, None]:
        yield sim.moment(5, cpu.rank(Stage.CPU))
        sim.at(6, nic.rank(Stage.TRANSACTION), lambda: seen.append("hardware at 6"))
        seen.append(f"thread at {sim.now}")

    sim.env.process(thread())
    sim.env.run()
    assert seen == ["thread at 5", "hardware at 6"]


@pytest.mark.parametrize("executor", [Plain, Agenda])
def test_an_event_given_to_simpy_by_a_callback_stops_the_agenda_there(executor: type[Executor]) -> None:
    sim = Sim(executor=executor)
    nic, cpu = sim.initiator("nic0"), sim.initiator("cpu0")
    seen: list[tuple[int, str]] = []

    def hardware() -> Generator[Any, Any, None]:
        step = Server(0, "link", latency_ps=2)
        yield step
        sim.moment(sim.now + 3, cpu.rank(Stage.CPU)).callbacks.append(lambda _: seen.append((sim.now, "thread")))
        for _ in range(3):
            yield step
            seen.append((sim.now, "hardware"))

    sim.start(hardware(), nic.rank(Stage.TRANSACTION))
    sim.env.run()
    assert seen == [(5, "hardware"), (6, "thread"), (7, "hardware"), (9, "hardware")]


@pytest.mark.parametrize("executor", [Plain, Agenda])
@pytest.mark.parametrize("hardware_first", [True, False])
def test_what_comes_at_the_same_time_goes_by_rank(executor: type[Executor], hardware_first: bool) -> None:
    sim = Sim(executor=executor)
    stages = [Stage.TRANSACTION, Stage.CPU] if hardware_first else [Stage.CPU, Stage.TRANSACTION]
    seen: list[str] = []
    sim.moment(7, sim.initiator("cpu0").rank(stages[1])).callbacks.append(lambda _: seen.append("thread"))
    sim.at(7, sim.initiator("nic0").rank(stages[0]), lambda: seen.append("hardware"))
    sim.env.run()
    assert seen == (["hardware", "thread"] if hardware_first else ["thread", "hardware"])


@pytest.mark.parametrize("executor", [Plain, Agenda])
@pytest.mark.parametrize("until", [1, 2, 4, 5, 50, 300, 301, 302, 400])
def test_a_run_stops_at_until_and_goes_on_from_there(executor: type[Executor], until: int) -> None:
    """Also twice, although SimPy leaves the stop of a run in its queue."""
    sim = Sim(executor=executor)
    seen: list[int] = []

    def hardware() -> Generator[Any, Any, None]:
        for _ in range(100):
            yield Server(3, "link")
            seen.append(sim.now)

    sim.start(hardware(), sim.initiator("nic0").rank(Stage.TRANSACTION))
    sim.env.run(until=until)
    assert sim.now == until
    assert seen == [time for time in range(4, 302, 3) if time < until]
    sim.env.run(until=until + 10)
    assert seen == [time for time in range(4, 302, 3) if time < until + 10]
    sim.env.run()
    assert len(seen) == 100


@pytest.mark.parametrize("executor", [Plain, Agenda])
def test_the_clock_shows_the_last_happening_when_nothing_is_left(executor: type[Executor]) -> None:
    sim = Sim(executor=executor)
    sim.env.process(ticking(sim, 2, 5))
    sim.start(steps(10, 10), sim.initiator("nic0").rank(Stage.TRANSACTION))
    sim.env.run()
    assert sim.now == 101
    sim.start(steps(1, 10), sim.initiator("nic0").rank(Stage.TRANSACTION))
    sim.env.run()
    assert sim.now == 112


@pytest.mark.parametrize("executor", [Plain, Agenda])
@pytest.mark.parametrize("time", [-3, 0])
def test_nothing_takes_place_in_the_present_or_the_past(executor: type[Executor], time: int) -> None:
    sim = Sim(executor=executor)
    with pytest.raises(ValueError, match=f"at {time} ps: that is not after the present, 0 ps"):
        sim.at(time, sim.initiator("nic0").rank(Stage.MEMORY), lambda: None)


@pytest.mark.skipif(compiled.runs(), reason="compiled, the same error has a text of mypyc's")
@pytest.mark.parametrize("executor", [Plain, Agenda])
def test_an_error_in_a_routine_reaches_the_caller_of_the_run(executor: type[Executor]) -> None:
    def wrong() -> Generator[Any, Any, None]:
        yield 3

    sim = Sim(executor=executor)
    sim.start(wrong(), sim.initiator("nic0").rank(Stage.MEMORY))
    with pytest.raises(TypeError, match="a hardware routine yielded 3; it may yield Access, Server, Service, Gate"):
        sim.env.run()


@pytest.mark.parametrize("executor", [Plain, Agenda])
def test_who_goes_on_behind_an_error_has_all_happen_that_is_due(executor: type[Executor]) -> None:
    def fails() -> None:
        raise LookupError("no luck")

    sim, done = Sim(executor=executor), list[str]()
    rank = sim.initiator("nic0").rank(Stage.MEMORY)
    sim.at(5, rank, fails)
    sim.at(9, rank, lambda: done.append("before"))
    with pytest.raises(LookupError):
        sim.env.run()
    assert (sim.now, done) == (5, [])
    sim.at(12, rank, lambda: done.append("behind"))
    sim.env.run()
    assert (sim.now, done) == (12, ["before", "behind"])


@pytest.mark.parametrize("executor", [Plain, Agenda])
def test_what_is_set_later_for_an_earlier_rank_of_a_time_is_done_before_what_simpy_has_between(
    executor: type[Executor],
) -> None:
    sim, done = Sim(executor=executor), list[str]()
    first, between, last = sorted(sim.initiator(f"cpu{n}").rank(Stage.CPU) for n in range(3))
    sim.at(10, last, lambda: done.append("last"))
    sim.moment(10, between).callbacks.append(lambda _: done.append("between"))
    sim.at(10, first, lambda: done.append("first"))
    sim.env.run()
    assert done == ["first", "between", "last"]


def test_a_run_ends_before_its_times_are_no_machine_words() -> None:
    sim, _ = agenda()
    sim.at(1 << 62, sim.initiator("timer").rank(Stage.INTERRUPT), lambda: None)
    with pytest.raises(OverflowError, match="a run ends before 2"):
        sim.env.run()


def test_the_last_rank_is_a_machine_word_and_there_is_no_initiator_beyond() -> None:
    assert Initiator("last", (1 << 16) - 1).rank(max(Stage)) < 1 << 62
    with pytest.raises(OverflowError, match="nic: no run has more than 65536 initiators"):
        Initiator("nic", 1 << 16)
