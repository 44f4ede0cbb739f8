"""Waiting costs no events while nothing changes, and ends exactly when the loop that it stands for would have ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cosim.events import ThreadEnded, ThreadSpent
from cosim.sim.operations import Load, MmioRead, Now, Op, Park, Poll, PollEither, Sleep, Store, Work
from cosim.sim.ranks import Stage
from cosim.units.quantities import NS, US, S
from tests.hw.machines import DEVICE, EXECUTORS, Machine, UnwatchedDevice, X

FREE_SWITCH = {"switch": 0, "load": 0}


def outcome(machine: Machine, body: Any) -> list[Any]:
    """What a thread returned, and when."""
    log: list[Any] = []

    async def main() -> None:
        result = await body(machine)
        log.extend([result, machine.sim.now])

    machine.cpu.start("t0", main())
    machine.run()
    return log


def awaited(op: Op[Any]) -> Callable[[Machine], Any]:
    async def body(machine: Machine) -> Any:
        return await op

    return body


def steps(machine: Machine) -> int:
    """How many events SimPy processes until the end."""
    count = 0
    while machine.sim.env.peek() != float("inf"):
        machine.sim.env.step()
        count += 1
    return count


# --- Words ---------------------------------------------------------------------------------------------------------

changes_of_a_word = st.lists(st.tuples(st.integers(1, 400), st.integers(0, 3)), max_size=6)


@pytest.mark.parametrize("spin", [True, False])
@pytest.mark.parametrize("executor", EXECUTORS)
@settings(derandomize=True, deadline=None, max_examples=20)
@given(
    changes=changes_of_a_word,
    poll_ps=st.integers(2, 50),
    timeout_ps=st.none() | st.integers(0, 300),
    mask=st.sampled_from([-1, 1, 2]),
)
@example(changes=[(110, 1), (120, 0)], poll_ps=50, timeout_ps=300, mask=-1)  # back as it was before anybody looks
def test_parking_ends_when_the_loop_would_have_ended(
    spin: bool, executor: Any, changes: list[tuple[int, int]], poll_ps: int, timeout_ps: int | None, mask: int
) -> None:
    if timeout_ps is None:
        changes = [*changes, (401, 3)]

    async def loop(machine: Machine) -> bool:
        start = (await Now()).time
        while True:
            await Work(poll_ps - 1)
            if (await Load(X) ^ 0) & mask:
                return True
            if timeout_ps is not None and (await Now()).time >= start + timeout_ps:
                return False

    async def park(machine: Machine) -> bool:
        return await Park(X, 0, mask=mask, timeout_ps=timeout_ps, poll_ps=poll_ps, spin=spin)

    def run(body: Any) -> list[Any]:
        machine = Machine(executor=executor, timing=FREE_SWITCH)
        for time, value in changes:
            machine.at(time + 1, lambda value=value: machine.memory.poke(X, 8, value))
        return outcome(machine, body)

    parked, looped = run(park), run(loop)
    assert parked[0] == looped[0]
    assert parked[1] - looped[1] == (0 if spin else 1)  # a sleeper changes back to its CPU, which takes a tick here


def test_a_word_that_has_changed_already_ends_the_wait_at_the_first_poll() -> None:
    machine = Machine(timing=FREE_SWITCH)
    machine.memory.poke(X, 8, 1)
    assert outcome(machine, awaited(Park(X, 0, poll_ps=50))) == [True, 52]


@pytest.mark.parametrize("spin", [True, False])
@pytest.mark.parametrize(("address", "size"), [(X, 8), (X + 4, 4)])
def test_a_thread_finds_its_own_store_that_is_still_in_the_buffer(address: int, size: int, spin: bool) -> None:
    """As the loop would: it does not take it for a change later on, and what it expects there is no change."""
    value = 3 << 8 * (address - X)
    for seen, changed in ((0, True), (value, False)):

        async def body(machine: Machine, seen: int = seen) -> bool:
            await Store(address, 3, size)
            return await Park(X, seen, timeout_ps=10 * US, poll_ps=500, spin=spin)

        found, ended = outcome(Machine(timing={"switch": 0, "drain": "1 us"}), body)
        assert (found, ended // US) == (changed, 0 if changed else 10), "what it waits for leaves at once"


def test_a_thread_that_parks_on_no_memory_is_named_in_its_oops() -> None:
    """Not the one that did something on this CPU before it."""
    machine, reasons = Machine(timing=FREE_SWITCH), []
    machine.sim.probe(ThreadEnded).watch(lambda event: reasons.append(event.reason))
    machine.cpu.start("loads", awaited(Load(X))(machine))
    machine.cpu.start("parks", awaited(Park(DEVICE, 0))(machine))
    machine.run()
    assert reasons == ["", f"cpu0.parks accesses {DEVICE:#x} as memory, where device0 is"]


def test_four_bytes_are_watched_alone() -> None:
    machine = Machine(timing=FREE_SWITCH)
    machine.at(100, lambda: machine.memory.poke(X, 4, 1))
    machine.at(200, lambda: machine.memory.poke(X + 4, 4, 1))
    assert outcome(machine, awaited(Park(X + 4, 0, 4))) == [True, 200]


@pytest.mark.parametrize("spin", [True, False])
def test_a_time_out_of_90_s_costs_a_handful_of_events(spin: bool) -> None:
    machine = Machine(timing=FREE_SWITCH)
    machine.cpu.start("t0", awaited(Park(X, 0, timeout_ps=90 * S, spin=spin))(machine))
    assert steps(machine) < 12
    assert machine.sim.now == 90 * S + (2 if spin else 3)


def test_a_thousand_time_outs_that_never_come_leave_few_events_behind() -> None:
    machine = Machine(2, timing=FREE_SWITCH)

    async def waits() -> None:
        for round_number in range(1000):
            await Park(X, round_number, timeout_ps=90 * S, spin=round_number % 2 == 0)

    machine.cpu.start("waits", waits())
    for round_number in range(1000):
        machine.at(1000 * (round_number + 1), lambda value=round_number + 1: machine.memory.poke(X, 8, value))
    machine.run(until=1_100_000)
    assert not machine.cpu.threads
    assert steps(machine) < 12


def test_a_parked_thread_lets_others_run_and_a_spinning_one_does_not() -> None:
    for spin, order in [(False, ["work", "park"]), (True, ["park", "work"])]:
        machine = Machine(timing=FREE_SWITCH)
        log: list[str] = []

        async def named(name: str, op: Op[Any], log: list[str] = log) -> None:
            await op
            log.append(name)

        machine.cpu.start("park", named("park", Park(X, 0, spin=spin)))
        machine.cpu.start("work", named("work", Work(1 * US)))
        machine.at(2 * US, lambda machine=machine: machine.memory.poke(X, 8, 1))
        machine.run()
        assert log == order


def test_a_spinning_thread_is_preempted_at_the_end_of_its_slice() -> None:
    machine = Machine(timing=FREE_SWITCH, slice="1 us")
    done: list[tuple[str, int]] = []

    async def named(name: str, op: Op[Any]) -> None:
        await op
        done.append((name, machine.sim.now // NS))

    machine.cpu.start("park", named("park", Park(X, 0, poll_ps=10)))
    machine.cpu.start("work", named("work", Work(500 * NS)))
    machine.at(5 * US, lambda: machine.memory.poke(X, 8, 1))
    machine.run()
    assert [name for name, _ in done] == ["work", "park"]
    assert done[0][1] == 1500


# --- Registers -----------------------------------------------------------------------------------------------------

registers = st.sampled_from([0, 4])


def polled(op: Poll, second: Poll | None = None) -> Callable[[Machine], Any]:
    """The loop in full that `op` stands for; a round reads both registers, if there are two."""

    async def loop(machine: Machine) -> Any:
        start = (await Now()).time
        polls = [op] if second is None else [op, second]
        while True:
            values = [await MmioRead(each.address, each.size) for each in polls]
            changed = any((value ^ each.seen) & each.mask for value, each in zip(values, polls, strict=True))
            if changed or (await Now()).time >= start + op.timeout_ps:
                return values[0] if second is None else tuple(values)
            if op.pause_ps and op.sleep:
                await Sleep(op.pause_ps)
            elif op.pause_ps:
                await Work(op.pause_ps)

    return loop


@pytest.mark.parametrize("device", [UnwatchedDevice, None])
@pytest.mark.parametrize("sleep", [False, True])
@pytest.mark.parametrize("executor", EXECUTORS)
@settings(derandomize=True, deadline=None, max_examples=20)
@given(data=st.data())
def test_polling_ends_when_the_loop_would_have_ended(
    device: Any, sleep: bool, executor: Any, data: st.DataObject
) -> None:
    changes = data.draw(st.lists(st.tuples(st.integers(1, 900), registers, st.integers(0, 3)), max_size=6))
    mask, pause_ps = data.draw(st.sampled_from([-1, 1])), data.draw(st.integers(1 if sleep else 0, 60))
    timeout_ps, latency_ps = data.draw(st.integers(0, 700)), data.draw(st.integers(0, 20))
    switch, read = data.draw(st.integers(0, 30)), data.draw(st.integers(2, 60))
    first = Poll(DEVICE, 0, mask=mask, timeout_ps=timeout_ps, pause_ps=pause_ps, sleep=sleep)
    second = Poll(DEVICE + 4, 0, timeout_ps=0) if data.draw(st.booleans()) else None

    def run(body: Any) -> tuple[list[Any], tuple[int, str, int, int]]:
        timing = {"switch": f"{switch} ps", "mmio_read": f"{read} ps"}
        machine = Machine(executor=executor, timing=timing, **({"device": device} if device else {}))
        machine.device.latency_ps = latency_ps
        for time, offset, value in changes:
            machine.at(time, lambda offset=offset, value=value: machine.device.set(offset, value), Stage.COMMAND)
        return outcome(machine, body), machine.device.log[-1]

    op: Op[Any] = first if second is None else PollEither(first, second)
    assert run(awaited(op)) == run(polled(first, second))


def test_a_sleeper_sees_what_changes_at_the_very_instant_of_its_read() -> None:
    """It is awake one tick later, when the read is past, and makes it all the same."""

    def run(body: Callable[[Poll], Any]) -> list[Any]:
        machine = Machine(timing={"switch": "13 ps", "mmio_read": "58 ps"})
        machine.at(262, lambda: machine.device.set(0, 1), Stage.COMMAND)
        return outcome(machine, body(Poll(DEVICE, 0, timeout_ps=279, pause_ps=39, sleep=True)))

    assert run(awaited) == run(polled) == [1, 291]


@pytest.mark.parametrize("sleep", [False, True])
def test_polling_for_90_s_costs_a_handful_of_events(sleep: bool) -> None:
    machine = Machine()
    machine.cpu.start("t0", awaited(Poll(DEVICE, 0, timeout_ps=90 * S, pause_ps=10 * US, sleep=sleep))(machine))
    assert steps(machine) < 30
    assert machine.sim.now > 90 * S
    assert len(machine.device.log) == 2


def test_a_register_that_changes_does_not_disturb_who_has_the_cpu_instead_of_the_polling_loop() -> None:
    machine = Machine(timing={"switch": 0}, slice="1 us")
    spent: list[ThreadSpent] = []
    machine.sim.probe(ThreadSpent).watch(spent.append)
    machine.cpu.start("poll", awaited(Poll(DEVICE, 0, timeout_ps=1 * S))(machine))
    machine.cpu.start("work", awaited(Work(900 * NS))(machine))
    machine.at(1500 * NS, lambda: machine.device.set(0, 1))
    machine.run()
    assert [event.time - event.began for event in spent if event.who == "cpu0.work" and event.part == "cpu"] == [
        900 * NS
    ]
    assert machine.device.log[-1][3] == 1


@settings(derandomize=True, deadline=None, max_examples=20)
@given(interrupted=st.integers(1, 3000), changed=st.integers(1, 6000), pause=st.integers(0, 400))
def test_an_interrupt_delays_a_polling_loop_as_it_delays_the_loop_in_full(
    interrupted: int, changed: int, pause: int
) -> None:
    def run(body: Any) -> list[Any]:
        machine = Machine(timing={"switch": 0, "interrupt": "100 ps", "mmio_read": "300 ps"})

        async def handler() -> None:
            machine.cpu.wire(1, False)
            await Work(250)

        machine.cpu.interrupts.connect(1, handler)
        machine.at(interrupted, lambda: machine.cpu.wire(1, True), Stage.INTERRUPT)
        machine.at(changed, lambda: machine.device.set(0, 1), Stage.COMMAND)
        return outcome(machine, body)

    op = Poll(DEVICE, 0, timeout_ps=1 * S, pause_ps=pause)
    assert run(awaited(op)) == run(polled(op))


@settings(derandomize=True, deadline=None, max_examples=20)
@given(interrupted=st.integers(1, 300), changed=st.integers(1, 600), poll_ps=st.integers(2, 50))
@example(interrupted=51, changed=251, poll_ps=50)  # at the very instant of a poll, which then comes behind it
def test_an_interrupt_delays_a_spinning_thread_as_it_delays_the_loop_in_full(
    interrupted: int, changed: int, poll_ps: int
) -> None:
    def run(body: Any) -> list[Any]:
        machine = Machine(timing=FREE_SWITCH | {"interrupt": "100 ps"})

        async def handler() -> None:
            machine.cpu.wire(1, False)
            await Work(137)

        machine.cpu.interrupts.connect(1, handler)
        machine.at(interrupted, lambda: machine.cpu.wire(1, True), Stage.INTERRUPT)
        machine.at(changed, lambda: machine.memory.poke(X, 8, 1))
        return outcome(machine, body)

    async def loop(machine: Machine) -> bool:
        while True:
            await Work(poll_ps - 1)
            if await Load(X):
                return True

    assert run(awaited(Park(X, 0, poll_ps=poll_ps, spin=True))) == run(loop)
