"""Schedules: actions have stable names, wait when they are told to, and never longer than the hold."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.hw.bus.bus import Bus
from cosim.sim.actions import Action, Taken
from cosim.sim.agenda import Agenda
from cosim.sim.chooser import Chooser, Scheduled
from cosim.sim.executor import Executor
from cosim.sim.footprints import Every, Footprint, meet, words
from cosim.sim.plain import Plain
from cosim.sim.ranks import Stage
from cosim.sim.simulation import Sim
from cosim.sim.spent import NAMES, Parts
from cosim.sim.transport import Access, AccessKind, CountsFor, Target

BOTH = pytest.mark.parametrize("executor", [Plain, Agenda])
HOLD = 100


class Scene:
    """Agents that take actions at given times, under a schedule."""

    def __init__(self, schedule: dict[str, int], executor: type[Executor] = Agenda, hold_ps: int = HOLD) -> None:
        self.chooser = Scheduled(0, schedule)
        self.sim = Sim(self.chooser, executor=executor, hold_ps=hold_ps)
        self.sim.explore()
        self.taken: list[Taken] = []
        self.sim.actions.watchers.append(self.taken.append)

    def act(self, agent: str, time: int, *footprint: int, changes: bool = True, owner: str = "") -> None:
        action = Action(agent, owner or agent, footprint, changes, lambda: self._again(action))
        self.sim.at(time, self.sim.initiator(agent).rank(Stage.CPU), lambda: self.sim.actions.attempt(action))

    def _again(self, action: Action) -> None:
        self.sim.actions.attempt(action)

    def run(self) -> dict[str, int]:
        """When each action took hold, by the name of its last question."""
        self.sim.env.run()
        return {taken.name: taken.time for taken in self.taken}


def test_the_unperturbed_run_holds_nothing_and_counts_each_agents_actions() -> None:
    scene = Scene({})
    for time in (3, 5):
        scene.act("cpu0.t0.st", time, 0x10)
        scene.act("nic0.dma", time, 0x10)
    assert scene.run() == {"cpu0.t0.st#0": 3, "nic0.dma#0": 3, "cpu0.t0.st#1": 5, "nic0.dma#1": 5}


def test_without_a_schedule_every_choice_is_the_usual_one() -> None:
    chooser = Chooser()
    assert {chooser.pick(n, "cpu1.t0.ld#0.past") for n in (1, 2, 3)} == {chooser.hold("cpu0.t0.st#0")} == {0}


def test_an_action_that_is_held_waits_for_the_hold_and_keeps_its_name() -> None:
    scene = Scene({"cpu0.st#0": 2})
    scene.act("cpu0.st", 5, 0x10)
    scene.act("cpu1.st", 20, 0x10)
    assert scene.run() == {"cpu1.st#0": 20, "cpu0.st#0": 5 + HOLD}
    assert scene.chooser.used == {"cpu0.st#0"}


def test_a_hold_of_no_length_is_one_tick_long() -> None:
    scene = Scene({"cpu0.st#0": 2}, hold_ps=0)
    scene.act("cpu0.st", 5, 0x10)
    assert scene.run() == {"cpu0.st#0": 6}


def test_an_action_told_to_wait_for_a_conflict_goes_right_after_it() -> None:
    scene = Scene({"cpu0.st#0": 1})
    scene.act("cpu0.st", 5, 0x10)
    scene.act("cpu1.st", 20, 0x10)
    scene.act("cpu1.st", 30, 0x10)
    assert scene.run() == {"cpu1.st#0": 20, "cpu0.st#0": 21, "cpu1.st#1": 30}


@pytest.mark.parametrize(
    "other",
    [
        {"footprint": 0x18},
        {"footprint": 0x10, "owner": "cpu0.st"},
    ],
    ids=["another word", "the same agent"],
)
def test_what_does_not_conflict_releases_nobody(other: dict[str, Any]) -> None:
    scene = Scene({"cpu0.st#0": 1})
    scene.act("cpu0.st", 5, 0x10)
    scene.act("cpu1.st", 20, other.pop("footprint"), **other)
    assert scene.run()["cpu0.st#0"] == 5 + HOLD


@pytest.mark.parametrize(("first", "second", "conflict"), [(0, 0, False), (0, 1, True), (1, 0, True), (1, 1, True)])
def test_two_actions_conflict_if_one_of_them_changes_what_both_touch(first: int, second: int, conflict: bool) -> None:
    scene = Scene({"cpu0.ld#0": 1})
    scene.act("cpu0.ld", 5, 0x10, changes=bool(first))
    scene.act("cpu1.ld", 20, 0x10, changes=bool(second))
    assert scene.run()["cpu0.ld#0"] == (21 if conflict else 5 + HOLD)


def test_any_word_of_a_footprint_makes_a_conflict_and_only_the_first_one_counts() -> None:
    scene = Scene({"nic0.dma#0": 1})
    scene.act("nic0.dma", 5, 0x10, 0x18)
    scene.act("cpu0.st", 20, 0x18)
    scene.act("cpu1.st", 20, 0x10)
    assert scene.run()["nic0.dma#0"] == 21


@pytest.mark.parametrize("conflict", range(HOLD - 2, HOLD + 3))
def test_the_end_of_the_hold_and_a_conflict_may_fall_on_any_ticks(conflict: int) -> None:
    scene = Scene({"cpu0.st#0": 1})
    scene.act("cpu0.st", 5, 0x10)
    scene.act("cpu1.st", 5 + conflict, 0x10)
    assert scene.run()["cpu0.st#0"] == min(5 + HOLD, 5 + conflict + 1)


def test_of_several_that_wait_for_a_conflict_each_goes_after_its_own() -> None:
    """Also behind one whose hold has ended without any: at 105 ps, where that of the others lasts longer."""
    waiting = {"cpu0.st": (5, 0x10), "cpu1.st": (50, 0x20), "cpu2.st": (60, 0x30), "cpu3.st": (70, 0x20)}
    scene = Scene({f"{agent}#0": 1 for agent in waiting})
    for agent, (time, word) in waiting.items():
        scene.act(agent, time, word)
    scene.act("cpu4.ld", 110, 0x20, changes=False)
    scene.act("cpu4.ld", 120, 0x30, changes=False)
    times = scene.run()
    assert [times[f"{agent}#0"] for agent in waiting] == [5 + HOLD, 111, 121, 111]


def test_an_action_may_be_held_again_and_again_until_its_schedule_ends() -> None:
    scene = Scene({"cpu0.st#0": 2, "cpu0.st#0.1": 2, "cpu0.st#0.2": 2})
    scene.act("cpu0.st", 5, 0x10)
    assert scene.run() == {"cpu0.st#0": 5 + 3 * HOLD}
    (taken,) = scene.taken
    assert (taken.asked, taken.holds) == (5, 3)


def test_a_hold_renames_nothing_else_not_even_what_its_agent_does_meanwhile() -> None:
    names = []
    for schedule in ({}, {"cpu0.st#0": 2}, {"cpu0.st#0": 2, "cpu0.st#0.1": 1, "cpu0.st#1": 2}):
        scene = Scene(schedule)
        for number, time in enumerate((5, 10, 500)):
            scene.act("cpu0.st", time, 0x10 + 8 * number)
        scene.run()
        assert not scene.chooser.unasked
        names.append({taken.name: taken.footprint for taken in scene.taken})
    assert names == [{f"cpu0.st#{number}": (0x10 + 8 * number,) for number in range(3)}] * 3


def test_what_a_schedule_answers_and_nobody_has_asked_is_told_unless_it_is_the_usual_answer() -> None:
    scene = Scene({"cpu0.st#0": 2, "cpu0.st#7": 1, "nic0.dma#3": 0})
    scene.act("cpu0.st", 5, 0x10)
    scene.run()
    assert scene.chooser.unasked == ["cpu0.st#7:1"]


@pytest.mark.parametrize("answer", [3, -1])
def test_a_schedule_that_answers_what_nobody_asks_is_refused(answer: int) -> None:
    scene = Scene({"cpu0.st#0": answer})
    scene.act("cpu0.st", 5, 0x10)
    with pytest.raises(ValueError, match=rf"schedule: cpu0\.st#0:{answer}: this choice has the answers 0 to 2"):
        scene.run()


@BOTH
@settings(derandomize=True, deadline=None, max_examples=40)
@given(
    answers=st.dictionaries(st.tuples(st.integers(0, 2), st.integers(0, 5)), st.integers(1, 2), max_size=6),
    plan=st.lists(st.tuples(st.integers(0, 2), st.integers(1, 30), st.integers(0, 1)), max_size=8),
    hold=st.integers(1, 12),
)
def test_every_action_takes_hold_once_and_no_later_than_its_holds(
    executor: type[Executor], answers: dict[tuple[int, int], int], plan: list[tuple[int, int, int]], hold: int
) -> None:
    schedule = {
        f"cpu{agent}.st#{number // 2}{'.1' * (number % 2)}": answer for (agent, number), answer in answers.items()
    }
    scene = Scene(schedule, executor, hold)
    for agent, time, word in plan:
        scene.act(f"cpu{agent}.st", time, word)
    taken = scene.run()
    assert len(taken) == len(plan)
    latest = max((time for _, time, _ in plan), default=0)
    assert all(time <= latest + hold * len(scene.chooser.used) for time in taken.values())
    assert sum(scene.sim.actions.counts.values()) == len(plan)
    assert sum(each.holds for each in scene.taken) == len(scene.chooser.used)


def test_what_asks_nobody_ends_the_holds_that_it_conflicts_with_and_cannot_be_held() -> None:
    scene = Scene({"nic0.dma#0": 1})
    scene.act("nic0.dma", 5, 0x1010, changes=False)
    pages = (range(0x1000, 0x2000, 8),)
    scene.sim.at(20, 2, lambda: scene.sim.actions.announce("cpu0.alloc", "cpu0", pages, True))
    assert scene.run() == {"cpu0.alloc#0": 20, "nic0.dma#0": 21}
    assert [each.asks for each in scene.taken] == [False, True]
    scene.sim.actions.announce("cpu0.alloc", "cpu0", pages, True)
    assert scene.sim.actions.taken == "nic0.dma#0", "the last one that has asked"
    told = Scene({"cpu0.alloc#0": 1})
    with pytest.raises(ValueError, match=r"schedule: cpu0\.alloc#0:1: no schedule holds this effect"):
        told.sim.actions.announce("cpu0.alloc", "cpu0", pages, True)


def test_a_footprint_that_changes_while_an_action_waits_is_looked_up_anew() -> None:
    """Held till the first conflict, it touches another word by then, and waits for that one's."""
    scene, word = Scene({"cpu0.st#0": 1, "cpu0.st#0.1": 1}), [0x10]
    action = Action("cpu0.st", "cpu0.st", (), True, lambda: scene._again(action), touches=lambda: (word[0],))
    scene.sim.at(5, 2, lambda: scene.sim.actions.attempt(action))
    scene.sim.at(10, 2, lambda: word.__setitem__(0, 0x20))
    for time, other in ((15, 0x10), (20, 0x10), (30, 0x20)):
        scene.act("cpu1.st", time, other)
    assert scene.run()["cpu0.st#0"] == 31
    assert scene.taken[-1].footprint == (0x20,)


@pytest.mark.parametrize(
    ("first", "second", "common"),
    [
        (words(0x1000, 8), words(0x1004, 4), True),
        (words(0x1000, 8), words(0x1008, 8), False),
        (words(0x1004, 8), words(0x1008, 4), True),
        (words(0x1000, 4096), words(0x1FF8, 8), True),
        (words(0x1000, 4096), words(0x2000, 64), False),
        (words(0x1000, 4096), words(0x1FC0, 128), True),
        (words(0x1000, 64), (("iommu0", "cqt"),), False),
        ((("iommu0", "cqt"), ("iommu0", "cqh")), (("iommu0", "cqh"),), True),
        ((), words(0, 8), False),
        ((Every("iommu0", "iotlb"),), (("iommu0", "iotlb", -1, 3),), True),
        ((Every("iommu0", "iotlb"),), (("iommu0", "ddtc", 3),), False),
        ((Every("iommu0", "iotlb"),), (Every("iommu0", "iotlb"),), True),
        ((Every("iommu0", "iotlb"),), (Every("iommu0"),), True),
        ((Every("iommu0", "iotlb"),), (Every("iommu1", "iotlb"),), False),
        ((Every("iommu0", "iotlb"),), words(0x1000, 64) + words(0, 8), False),
    ],
)
def test_footprints_meet_in_any_word_or_name_that_they_share(first: Footprint, second: Footprint, common: bool) -> None:
    assert meet(first, second) is common
    assert meet(second, first) is common


def test_an_access_touches_the_words_that_its_bytes_are_in() -> None:
    assert words(0x1000, 8) == words(0x1004, 4) == (0x1000,)
    assert words(0x1004, 8) == words(0x1000, 16) == (range(0x1000, 0x1010, 8),)
    assert meet(words(0x1004, 8), words(0x1008, 4))


# --- Accesses and routines as actions --------------------------------------------------------------------------------


class Cell(Target):
    """One word of memory, a tick away."""

    def __init__(self) -> None:
        self.value = 0

    def arrive(self, access: Access, now: int) -> int:
        return now + 1

    def commit(self, access: Access) -> None:
        if access.kind is AccessKind.WRITE:
            self.value = access.words[0]
        else:
            access.words = (self.value,)

    def peek(self, address: int, size: int) -> int:
        return self.value

    def poke(self, address: int, size: int, value: int) -> None:
        self.value = value


@BOTH
@pytest.mark.parametrize(("answer", "read"), [(0, 0), (1, 7), (2, 7)])
def test_a_held_read_returns_what_was_written_meanwhile(executor: type[Executor], answer: int, read: int) -> None:
    scene = Scene({"iommu0.walk#0": answer}, executor)
    sim = scene.sim
    bus = Bus(sim)
    bus.attach(0x1000, 0x1000, Cell(), "cell")
    port = bus.port("iommu0", 3)
    seen: list[tuple[int, int]] = []

    def reader() -> Generator[Any, Any, None]:
        access = Access(port, AccessKind.READ, 0x1000, 8, CountsFor("walk", hop_part="link"), agent="iommu0.walk")
        yield access
        seen.append((access.value, sim.now))

    def writer() -> Generator[Any, Any, None]:
        yield Access(port, AccessKind.WRITE, 0x1000, 8, CountsFor("memory"), (7,), owner="cpu0")

    spent = [0] * len(NAMES)
    sim.start(reader(), sim.initiator("iommu0").rank(Stage.TRANSACTION), spent)
    sim.start(writer(), sim.initiator("cpu0").rank(Stage.CPU), delay_ps=10)
    sim.env.run()
    ((value, time),) = seen
    assert value == read
    parts = Parts(spent)
    assert parts == {"link": 6, "walk": time - 1 - 6}
    assert parts["walk"] == {0: 1, 1: 12, 2: 1 + HOLD + 1}[answer]


@BOTH
@pytest.mark.parametrize("kind", AccessKind)
def test_every_access_but_a_read_changes_the_words_that_it_touches(executor: type[Executor], kind: AccessKind) -> None:
    """Also a compare-and-swap, whatever it finds. A read that is held goes as soon as its word has changed."""
    scene = Scene({"iommu0.walk#0": 1}, executor)
    bus = Bus(scene.sim)
    bus.attach(0x1000, 0x1000, Cell(), "cell")

    def access(kind: AccessKind, address: int, agent: str) -> Generator[Any, Any, None]:
        yield Access(bus.port(agent), kind, address, 8, CountsFor("walk"), (0, 0), owner=agent, agent=agent)

    routines = (access(AccessKind.READ, 0x1008, "iommu0.walk"), access(kind, 0x100C, "iommu1.ad"))
    for number, routine in enumerate(routines):
        rank = scene.sim.initiator(str(number)).rank(Stage.TRANSACTION)
        scene.sim.start(routine, rank, delay_ps=10 * number)
    took_hold = scene.run()
    assert [(taken.changes, taken.size) for taken in scene.taken if taken.agent == "iommu1.ad"] == [
        (kind is not AccessKind.READ, 8)
    ]
    assert (took_hold["iommu0.walk#0"] < HOLD) == (kind is not AccessKind.READ)


@BOTH
@pytest.mark.parametrize(
    ("agent", "owner", "names"),
    [
        ("", "", ("iommu0", "iommu0")),
        ("iommu0.walk", "", ("iommu0.walk", "iommu0")),
        ("", "iommu0.ddtc", ("iommu0", "iommu0.ddtc")),
        ("iommu0.walk", "iommu0.ddtc", ("iommu0.walk", "iommu0.ddtc")),
    ],
    ids=["neither", "agent", "owner", "both"],
)
def test_an_access_is_named_and_owned_by_its_port_unless_it_says_more(
    executor: type[Executor], agent: str, owner: str, names: tuple[str, str]
) -> None:
    """So that two accesses of one port are in no conflict, whatever they are called."""
    scene = Scene({}, executor)
    bus = Bus(scene.sim)
    bus.attach(0x1000, 0x1000, Cell(), "cell")

    def access() -> Generator[Any, Any, None]:
        yield Access(bus.port("iommu0"), AccessKind.READ, 0x1000, 8, CountsFor("walk"), agent=agent, owner=owner)

    scene.sim.start(access(), scene.sim.initiator("iommu0").rank(Stage.TRANSACTION))
    scene.run()
    assert [(taken.agent, taken.owner) for taken in scene.taken] == [names]


@BOTH
def test_a_routine_asks_for_an_effect_that_is_no_access(executor: type[Executor]) -> None:
    scene = Scene({"iommu0.exec#0": 2}, executor)
    done: list[int] = []

    def consumer() -> Generator[Any, Any, None]:
        for _ in range(2):
            yield from scene.sim.actions.ask("iommu0.exec", "iommu0", ("tag",), True, "order")
            done.append(scene.sim.now)

    spent = [0] * len(NAMES)
    scene.sim.start(consumer(), scene.sim.initiator("iommu0").rank(Stage.COMMAND), spent)
    scene.sim.env.run()
    assert done == [1 + HOLD + 1] * 2
    assert Parts(spent) == {"order": HOLD + 1}
