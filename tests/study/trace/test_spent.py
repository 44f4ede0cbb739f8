"""Where the time of requests and threads goes is told in its order, without a gap, and nobody pays who does not ask."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

import cosim
from cosim import events
from cosim.sim.simulation import Sim
from cosim.study.run.run import Point, run

ONE_WALKER = Path(__file__).parent / "one_walker.yaml"


def told(*kinds: type, executor: str = "agenda") -> list[Any]:
    """The events of these kinds of a run in which requests wait for one walker, and threads for each other."""
    seen: list[Any] = []

    def watch(sim: Sim) -> None:
        for kind in kinds:
            sim.probe(kind).watch(seen.append)

    run(Point(cosim.load(ONE_WALKER, set={"run.executor": executor})), watchers=[watch])
    return seen


@pytest.mark.parametrize("executor", ["agenda", "plain"])
def test_what_a_request_spends_follows_from_its_issue_on_and_adds_up_to_its_parts(executor: str) -> None:
    spent: dict[tuple[str, int], list[events.DmaSpent]] = defaultdict(list)
    requests = 0
    for event in told(events.DmaSpent, events.DmaDone, executor=executor):
        steps = spent[event.who, event.sequence]
        if isinstance(event, events.DmaSpent):
            steps.append(event)
            continue
        requests += 1
        until = event.issued
        added: dict[str, int] = defaultdict(int)
        for step in steps:
            assert step.began == until
            until += step.ps
            added[step.part] += step.ps
        assert until == event.time
        assert added == event.parts
    assert requests > 20
    assert {step.part for steps in spent.values() for step in steps} > {"slot", "link", "walker_wait", "walk", "memory"}


@pytest.mark.slow
def test_both_executors_tell_the_same() -> None:
    kinds = (events.DmaSpent, events.ThreadSpent, events.WalkBegun, events.WalkJoined, events.WalkDone)
    assert told(*kinds) == told(*kinds, executor="plain")


def test_what_a_thread_spends_inside_a_call_adds_up_to_the_parts_of_the_call() -> None:
    spent: dict[str, list[events.ThreadSpent]] = defaultdict(list)
    calls = 0
    for event in told(events.ThreadSpent, events.CallDone):
        if isinstance(event, events.ThreadSpent):
            assert not spent[event.who] or spent[event.who][-1].time == event.began
            spent[event.who].append(event)
            continue
        calls += 1
        added: dict[str, int] = defaultdict(int)
        for step in spent[event.who]:
            if step.began >= event.began:
                added[step.part] += step.time - step.began
        assert added == event.parts
    assert calls > 5


def test_a_walk_names_the_request_that_it_is_for_and_whose_walk_is_waited_for() -> None:
    begun: dict[tuple[str, int], int] = {}
    joined = 0
    for event in told(events.WalkBegun, events.WalkJoined, events.WalkDone):
        if isinstance(event, events.WalkBegun):
            begun[event.by, event.sequence] = event.time
        elif isinstance(event, events.WalkDone):
            assert begun.pop((event.by, event.sequence)) == event.began
        else:
            joined += 1
            assert (event.by, event.sequence) != (event.behind, event.other)
    assert joined
    assert len(begun) <= 1  # a walk under way at the end


def test_a_register_tells_of_each_change_whoever_made_it() -> None:
    changes = told(events.RegisterChanged)
    heads = [event.value for event in changes if event.register == "cqh"]
    tails = [event.value for event in changes if event.register == "cqt"]
    assert heads == list(range(1, len(heads) + 1))
    assert set(heads) <= set(tails) | set(range(max(tails)))
    assert len(heads) > 10
    before: dict[str, int] = {}
    for event in changes:
        assert before.get(event.register) != event.value
        before[event.register] = event.value
