"""What CPUs do in time, under whatever latencies and schedule, is among what the search of their harts finds."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.hw.cpu.options import CpuOptions, CpuTiming
from cosim.hw.cpu.ordering import MODELS as RULES
from cosim.sim.agenda import Agenda
from cosim.sim.chooser import Chooser
from cosim.sim.plain import Plain
from cosim.study.conform.litmus import Test
from cosim.study.conform.litmus.programs import Outcome
from cosim.study.conform.litmus.search import Search
from tests.litmus.cases import FILES, MODELS, by_name, cases_in, length, random_test
from tests.litmus.machine import LitmusMachine


class Randomly(Chooser):
    """Answers half of all choices at random."""

    exploring = True

    def __init__(self, choose: random.Random) -> None:
        super().__init__()
        self.choose = choose

    def pick(self, n: int, name: str) -> int:
        return self.choose.randrange(n) if self.choose.random() < 0.5 else 0


def options(choose: random.Random, model: str) -> CpuOptions:
    costs = ("load", "store", "drain", "atomic", "fence", "mmio_read", "mmio_write", "mmio_arrival", "switch")
    timing = CpuTiming(**{cost: f"{choose.choice([0, 1, 3, 10, 40])} ps" for cost in costs})
    return CpuOptions(
        kind="cpu", memory_model=model, store_buffer=choose.choice([1, 2, 8]), history="1 us", timing=timing
    )


def runs(test: Test, model: str, choose: random.Random, count: int) -> set[Outcome]:
    """The outcomes of some runs, each with other latencies and another schedule."""
    found: set[Outcome] = set()
    for _ in range(count):
        machine = LitmusMachine(
            test,
            [options(choose, model) for _ in test.threads],
            chooser=Randomly(choose),
            executor=choose.choice([Plain, Agenda]),
            hold_ps=choose.choice([5, 50]),
            pauses=lambda: choose.choice([0, 0, 5, 20]),
        )
        if (outcome := machine.run()) is not None:
            found.add(outcome)
    return found


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("file", FILES)
def test_cpus_in_time_do_nothing_that_their_harts_do_not(file: str, model: str) -> None:
    choose = random.Random(f"{file} {model}")
    for test in choose.sample(cases_in(file), 6):
        if length(test) <= 8:
            assert runs(test, model, choose, 4) <= Search(test, RULES[model]).outcomes(), test.name


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("file", FILES)
def test_many_runs_of_all_tests_do_nothing_that_their_harts_do_not(file: str, model: str) -> None:
    choose = random.Random(f"{file} {model}")
    for test in cases_in(file):
        assert runs(test, model, choose, 10) <= Search(test, RULES[model]).outcomes(), test.name


@settings(derandomize=True, deadline=None, max_examples=10)
@given(st.integers(0, 2**32), st.sampled_from(MODELS))
def test_cpus_in_time_do_what_their_harts_do_with_a_random_program(seed: int, model: str) -> None:
    choose = random.Random(seed)
    test = random_test(choose, 2, 3)
    assert runs(test, model, choose, 8) <= Search(test, RULES[model]).outcomes()


@pytest.mark.parametrize(
    ("name", "model", "outcome"),
    [
        ("SB", "tso", (0, 0, 1, 1)),
        ("MP", "rvwmo", (1, 0, 1, 1)),
        ("2+2W", "rvwmo", (2, 2)),
        ("mmiowb+swap.rl+ctrl", "tso", (0, 1)),
        ("SB.io+po", "rvwmo", (0, 0)),
        ("zero-publish+cas.rlx+addr", "rvwmo", (1, 7, 1)),
    ],
)
def test_schedules_reach_the_weak_outcomes_on_whole_cpus(name: str, model: str, outcome: Outcome) -> None:
    assert outcome in runs(by_name()[name], model, random.Random(name), 150)


@pytest.mark.parametrize(("name", "stale"), [("dma-completion+addr", False), ("dma-completion+ctrl", True)])
def test_what_a_register_read_returns_orders_the_loads_whose_address_it_is_part_of(name: str, stale: bool) -> None:
    assert ((1, 0) in runs(by_name()[name], "rvwmo", random.Random(1), 150)) is stale
