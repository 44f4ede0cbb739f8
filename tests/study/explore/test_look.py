"""What a search reads back of a run: what may be added to its schedule."""

from __future__ import annotations

from pathlib import Path

import pytest

import cosim
from cosim.events import BootDone
from cosim.sim.simulation import Sim
from cosim.study.explore.look import Look, Looking
from cosim.study.run.run import Point, UnderWay

TINY = Path(__file__).parents[2] / "tiny.yaml"
HELD = "cpu0.map-unmap.st#5:1"


def looked(looking: Looking, *schedule: str, asks: tuple[tuple[int, str], ...] = ()) -> Look | None:
    """What is read back of a run, in which there are the choices `asks`, too: each among so many, with its name."""
    topology = cosim.load(TINY, until="6 us", set={"threads.0.count": 1, "nic0.traffic.pattern": "none"})
    point = Point(topology, schedule=schedule)

    def watch(sim: Sim) -> None:
        sim.probe(BootDone).watch(booted)

    def booted(_: BootDone) -> None:
        run.follow(point, looking.chooser(point))
        ends.append(looking.begin(run))

    ends: list[object] = []
    run = UnderWay(Point(topology), [watch])
    run.advance()
    for n, name in asks:
        run.system.sim.chooser.pick(n, name)
    found = ends[0]()  # type: ignore[operator]
    run.close()
    assert found is None or isinstance(found, Look)
    return found


def test_every_other_answer_of_a_choice_may_be_added() -> None:
    plain = looked(Looking(1))
    look = looked(Looking(1), asks=((4, "x.past#0"), (2, "y.more#3"), (1, "z#0"), (2, "x.alloc#0")))
    assert plain is not None
    assert look is not None
    assert look.added == (*plain.added, "x.past#0:1", "x.past#0:2", "x.past#0:3", "y.more#3:1")
    assert look.choices == plain.choices + 2
    assert (look.actions, look.conflicts) == (plain.actions, plain.conflicts)


def test_an_allocation_is_a_choice_if_that_is_asked() -> None:
    without, look = looked(Looking(1)), looked(Looking(1, allocations=True))
    assert without is not None
    assert look is not None
    assert {*look.added} - {*without.added} == {answer for answer in look.added if ".alloc#" in answer} != set()


def test_each_effect_may_be_held_until_a_conflict_or_for_a_hold() -> None:
    look = looked(Looking(1, everything=True))
    assert look is not None
    for answers, effects in ((look.asked, look.actions), (look.added, look.conflicts)):
        names = [answer.rpartition(":")[0] for answer in answers]
        assert list(answers) == [f"{name}:{answer}" for name in dict.fromkeys(names) for answer in (1, 2)]
        assert len(answers) == 2 * effects
    assert look.actions > look.conflicts > look.choices == 0
    assert {*look.added} < {*look.asked}


@pytest.mark.parametrize(("schedule", "adds"), [((HELD,), True), ((HELD, "nobody#0:1"), False)])
def test_nothing_is_added_to_a_schedule_with_as_many_deviations_as_may_be(
    schedule: tuple[str, ...], adds: bool
) -> None:
    look = looked(Looking(2, orders=True), *schedule)
    assert look is not None
    assert bool(look.added) is bool(look.conflicts) is adds
    assert look.actions
    assert look.order
    assert (looked(Looking(2), *schedule) is None) is not adds


def test_an_effect_that_was_held_is_asked_again_under_its_next_name() -> None:
    look = looked(Looking(2, everything=True), HELD)
    assert look is not None
    name = HELD.partition(":")[0]
    again = [answer for answer in look.asked if answer.startswith((f"{name}:", f"{name}."))]
    assert again == [f"{name}.1:1", f"{name}.1:2"]
