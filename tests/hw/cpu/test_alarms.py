"""Alarms go off at their times, in the order in which they were set, and those that were called off never do."""

from __future__ import annotations

import random
from functools import partial

import pytest

from cosim.hw.cpu.alarms import Alarm, Alarms
from cosim.sim.simulation import Sim
from cosim.units.quantities import S


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("called_off", [0, 60, 110, 180])
def test_what_is_not_called_off_goes_off_at_its_time_and_in_its_turn(seed: int, called_off: int) -> None:
    """Of 200 alarms, many of which are due at one time; some are set, and some called off, when others have rung."""
    chance, sim = random.Random(seed), Sim()
    alarms = Alarms(sim, sim.initiator("cpu0"))
    due = [chance.randrange(100, 160) for _ in range(200)]
    rung: list[tuple[int, int]] = []

    def ring(number: int) -> None:
        rung.append((sim.now, number))

    known = [alarms.set(time, partial(ring, number)) for number, time in enumerate(due)]
    gone = chance.sample(range(200), called_off)
    early = called_off if seed % 2 else called_off // 2
    for number in gone[:early]:
        alarms.call_off(known[number])
    sim.env.run(until=130)
    for number in gone[early:]:
        alarms.call_off(known[number])
    for number in range(200, 210):
        due.append(chance.randrange(130, 160))
        alarms.set(due[number], partial(ring, number))
    sim.env.run()
    late = {number for number in gone[early:] if due[number] < 130}
    assert rung == sorted((due[number], number) for number in range(210) if number not in gone or number in late)


def test_alarms_that_were_called_off_are_forgotten_before_their_time() -> None:
    """However many time-outs of 90 s were set, few are kept, and one event is set for all of them."""
    sim = Sim()
    alarms = Alarms(sim, sim.initiator("cpu0"))
    rung: list[int] = []
    for number in range(1000):
        alarms.call_off(alarms.set(90 * S + number, lambda: rung.append(sim.now)))
    assert len(alarms._heap) < 200
    assert len(alarms._events) == 1
    sim.env.run()
    assert not rung
    assert not alarms._heap


def test_alarms_that_are_called_off_while_others_ring_are_forgotten_as_well() -> None:
    """The others ring on, each once."""
    sim = Sim()
    alarms = Alarms(sim, sim.initiator("cpu0"))
    rung: list[int] = []

    def call_off(time_outs: list[Alarm]) -> None:
        for each in time_outs:
            alarms.call_off(each)

    for time in range(1, 50):
        alarms.set(time, partial(call_off, [alarms.set(90 * S, lambda: rung.append(0)) for _ in range(100)]))
        for _ in range(4):
            alarms.set(time, partial(rung.append, time))
        sim.env.run(until=time + 1)
    assert rung == [time for time in range(1, 50) for _ in range(4)]
    call_off([alarms.set(90 * S, lambda: rung.append(0)) for _ in range(150)])
    assert len(alarms._heap) < 150
