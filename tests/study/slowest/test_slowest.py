"""The slowest requests and calls say step by step what they waited for, and behind whom, which the events confirm."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

import cosim
from cosim.events import BootDone, CallBegun, CallDone, CommandSent, LockAsked, LockGiven, LockTaken, ThreadSpent
from cosim.sim.simulation import Sim
from cosim.study.run.result import Result
from cosim.study.run.window import Window
from cosim.study.slowest.calls import SlowCalls
from cosim.study.slowest.longest import Longest
from cosim.study.slowest.releases import Releases
from cosim.study.slowest.slow import Slow, Step, joined
from cosim.sw.runtime import Origin

ONE_WALKER = Path(__file__).parents[1] / "trace" / "one_walker.yaml"
ALL = 10_000

Run = tuple[Result, dict[str, list[dict[str, Any]]]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of which every request and call is told, and its events by kind."""
    path = tmp_path_factory.mktemp("slowest") / "t.jsonl"
    result = cosim.run(ONE_WALKER, trace=path, slowest=ALL)
    events = defaultdict(list)
    for line in path.read_text(encoding="utf-8").splitlines():
        event = json.loads(line)
        events[event["event"]].append(event)
    return result, events


def blamed(result: Result, part: str) -> list[tuple[Slow, Step]]:
    """The steps of a part that name somebody."""
    everything = (*result.slowest.requests, *result.slowest.calls)
    return [(slow, step) for slow in everything for step in slow.steps if step.part == part and step.behind]


def test_the_slowest_come_first_and_their_steps_add_up(run: Run) -> None:
    result, events = run
    window = result.window_ps[0]
    slow = result.slowest.requests
    assert len(slow) == sum(event["issued"] >= window for event in events["DmaDone"])
    assert [each.ps for each in slow] == sorted((each.ps for each in slow), reverse=True)
    assert max(latency.max_ps for name, latency in result.latencies.items() if name.endswith(".read")) == slow[0].ps
    for each in (*slow, *result.slowest.calls):
        at = each.began_ps
        for step in each.steps:
            assert step.began_ps == at
            at += step.ps
        assert at == each.began_ps + each.ps
    calls = {each.name for each in result.slowest.calls}
    assert calls == {f"cpu{n}.map-unmap.{call}" for n in (0, 1) for call in ("map", "unmap")}  # those of others are not


def test_asking_for_some_gives_those_and_changes_nothing_else(run: Run) -> None:
    result, _ = run
    few = cosim.run(ONE_WALKER, slowest=3)
    assert few.slowest.requests == result.slowest.requests[:3]
    assert few.slowest.calls == result.slowest.calls[:3]
    assert few.digest == result.digest


def test_what_began_before_the_window_is_not_among_them() -> None:
    result = cosim.run(ONE_WALKER, slowest=ALL, set={"run.warmup": "6 us"})
    assert result.slowest is not None
    begun = [slow.began_ps for slow in (*result.slowest.requests, *result.slowest.calls)]
    assert len(begun) > 20
    assert min(begun) >= result.window_ps[0]


def test_who_waits_for_a_walker_goes_on_when_the_named_walk_is_over(run: Run) -> None:
    result, events = run
    ends = {(event["by"], event["sequence"], event["time_ps"]) for event in events["WalkDone"]}
    waits = [step for _, step in blamed(result, "walker_wait")]
    assert len(waits) > 4
    assert len(waits) == sum(step.part == "walker_wait" for slow in result.slowest.requests for step in slow.steps)
    for step in waits:
        by, sequence = re.fullmatch(r"the walk of (\w+) #(\d+)", step.behind).groups()  # type: ignore[union-attr]
        assert (by, int(sequence), step.began_ps + step.ps - 1) in ends


@pytest.mark.slow
def test_who_waits_for_its_turn_names_the_request_before_it() -> None:
    ordered = {"iommu0.geometry.order": "device", "iommu0.geometry.iotlb_entries": 8, "nic0.traffic.pattern": "random"}
    result = cosim.run(ONE_WALKER, slowest=ALL, set=ordered)
    waits = blamed(result, "order")
    assert len(waits) > 4
    assert len(waits) == sum(step.part == "order" for slow in result.slowest.requests for step in slow.steps)
    for slow, step in waits:
        device, own = slow.name.partition(".")[0], int(re.match(r"#(\d+)", slow.what)[1])  # type: ignore[index]
        assert step.behind == f"{device} #{own - 1}"


def test_who_waits_for_a_walk_of_another_names_it(run: Run) -> None:
    result, events = run
    joins = {
        (f"{event['by']}.read", event["time_ps"]): f"the walk of {event['behind']} #{event['other']}"
        for event in events["WalkJoined"]
    }
    waits = blamed(result, "merge_wait")
    assert waits
    for slow, step in waits:
        assert joins[slow.name, step.began_ps] == step.behind


def test_who_waits_for_a_slot_goes_on_when_the_named_request_is_over(run: Run) -> None:
    result, events = run
    ends = {(event["who"], event["sequence"]): event["time_ps"] for event in events["DmaDone"]}
    waits = blamed(result, "slot")
    assert waits
    for slow, step in waits:
        device, sequence = step.behind.split(" #")
        assert device == slow.name.split(".")[0]
        assert ends[device, int(sequence)] == step.began_ps + step.ps - 1


def test_who_waits_for_its_turn_names_the_sender_before(run: Run) -> None:
    """A command's slot is its ticket here: the ring is larger than what is sent."""
    result, events = run
    sent = {(event["who"], event["index"]): event["time_ps"] for event in events["CommandSent"]}
    waits = blamed(result, "ticket")
    assert waits
    for slow, step in waits:
        thread, before = slow.name.rpartition(".")[0], step.behind.removesuffix(", which had the ticket before")
        index = max(index for (who, index), time in sent.items() if who == thread and time <= step.began_ps)
        assert (before, index - 1) in sent
        assert before != thread


def test_who_waits_for_a_fence_names_the_senders_of_what_is_executed_meanwhile(run: Run) -> None:
    result, events = run
    executed = [event["time_ps"] for event in events["CommandExecuted"]]
    waits = blamed(result, "fence")
    assert any("of cpu" in step.behind for _, step in waits)
    for _, step in waits:
        counted = sum(map(int, re.findall(r"(\d+) of", step.behind)))
        assert counted == sum(step.began_ps < time <= step.began_ps + step.ps for time in executed)


def test_who_waits_for_a_lock_names_who_had_it(run: Run) -> None:
    result, events = run
    given = [(event["who"], event["time_ps"]) for event in events["LockGiven"]]
    for slow, step in blamed(result, "lock"):
        who = step.behind.split(",")[0]
        assert not slow.name.startswith(f"{who}.")
        assert any(giver == who and step.began_ps <= time <= step.began_ps + step.ps for giver, time in given)


def waits_of(*told: Any) -> list[tuple[int, str]]:
    """When a call of cpu1.owl began to wait, and behind whom each time, after these events."""
    sim = Sim()
    calls = SlowCalls(sim, Window(sim, 0, Origin()), ALL)
    done = CallDone(9_000, "cpu1.owl", "unmap", 0, {}, "")
    for event in (BootDone(0), CallBegun(0, "cpu1.owl", "unmap", {}), *told, done):
        sim.probe(type(event))(event)
    [slow] = calls.found()
    return [(step.began_ps, step.behind) for step in slow.steps]


def test_who_waits_for_its_turn_names_nobody_if_the_sender_before_had_passed_it_on() -> None:
    ticket = [CommandSent(time, who, "iommu0", time, (0, 0)) for time, who in enumerate(("cpu0.fox", "cpu1.owl"))]
    wait = ThreadSpent(9, "cpu1.owl", "ticket", 5)
    passed_on = [ThreadSpent(2, "cpu0.fox", "mmio", 1), ThreadSpent(4, "cpu0.fox", "ticket", 2)]
    assert waits_of(*ticket, wait) == [(5, "cpu0.fox, which had the ticket before")]
    assert waits_of(*ticket, *passed_on, wait) == [(5, "")]


def test_who_waits_for_a_lock_names_nobody_who_gave_it_back_before() -> None:
    held = (LockTaken(1_000, "cpu0.fox", "Domain.lock", 64), LockGiven(5_000, "cpu0.fox", "Domain.lock", 64))
    asked = LockAsked(3_000, "cpu1.owl", "Domain.lock", 64, in_interrupt=False, interruptible=True)
    assert waits_of(*held, asked, ThreadSpent(6_000, "cpu1.owl", "lock", 3_000)) == [
        (3_000, "cpu0.fox, which had Domain.lock since 0.001 us")
    ]
    assert waits_of(*held, asked, ThreadSpent(9_000, "cpu1.owl", "lock", 6_000)) == [(6_000, "")]


def test_only_as_many_as_wanted_are_described() -> None:
    described: list[int] = []

    def slow(ps: int) -> Slow:
        described.append(ps)
        return Slow("nic0.read", f"#{ps}", 0, ps, ())

    longest = Longest(2)
    for ps in (5, 1, 1, 9, 5, 4):
        longest.offer(ps, lambda ps=ps: slow(ps))  # type: ignore[misc]
    assert [each.ps for each in longest.found()] == [9, 5]
    assert described == [5, 1, 9]


def test_who_goes_on_at_one_moment_follows_the_order_in_which_things_were_given_back() -> None:
    releases = Releases()
    for time, who in ((5, "fox"), (9, "hare"), (9, "owl")):
        releases.give("hole", time, who)
    assert [releases.taken("hole", 4, 10) for _ in range(2)] == ["hare", "owl"]
    assert releases.taken("hole", 4, 10) == "fox"
    assert releases.taken("hole", 6, 10) == ""


def test_neighbours_that_say_the_same_are_one_step() -> None:
    steps = [Step("walk", 0, 3), Step("walk", 3, 2), Step("slot", 5, 1, "nic0 #1"), Step("slot", 6, 1, "nic0 #2")]
    assert joined(steps) == (Step("walk", 0, 5), *steps[2:])
