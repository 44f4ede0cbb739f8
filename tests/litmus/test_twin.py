"""Three ways to say what a program may do agree: herd's tables, the axioms by brute force, and the modelled harts."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.hw.cpu.ordering import MODELS as RULES
from cosim.study.conform.litmus.programs import Instruction
from cosim.study.conform.litmus.search import Search
from tests.litmus.axiomatic import Twin
from tests.litmus.cases import FILES, MODELS, cases_in, length, random_test

HERD = [file for file in FILES if file not in ("own.jsonl", "reasoned.jsonl")]


def disagreements(file: str, longest: int) -> list[tuple[str, str]]:
    return [
        (test.name, model)
        for test in cases_in(file)
        for model in MODELS
        if length(test) <= longest and Twin(test, model).outcomes() != test.allowed[model]
    ]


@pytest.mark.parametrize("file", HERD)
def test_the_axioms_are_those_of_herd_on_small_tests(file: str) -> None:
    assert not disagreements(file, 4)


@pytest.mark.slow
@pytest.mark.parametrize("file", HERD)
def test_the_axioms_are_those_of_herd(file: str) -> None:
    assert not disagreements(file, 100)


def agree(seed: int, threads: int, longest: int) -> None:
    test = random_test(random.Random(seed), threads, longest)
    for model in MODELS:
        reached, allowed = Search(test, RULES[model]).outcomes(), Twin(test, model).outcomes()
        assert reached <= allowed, [test.show(outcome) for outcome in reached - allowed]
        if model != "rvwmo":
            assert reached == allowed, [test.show(outcome) for outcome in allowed - reached]


@settings(derandomize=True, deadline=None, max_examples=25)
@given(st.integers(0, 2**32))
def test_harts_do_what_the_axioms_allow_of_a_random_program(seed: int) -> None:
    agree(seed, 2, 3)


@pytest.mark.slow
@settings(derandomize=True, deadline=None, max_examples=400)
@given(st.integers(0, 2**32), st.sampled_from([(2, 4), (3, 2)]))
def test_harts_do_what_the_axioms_allow_of_longer_random_programs(seed: int, shape: tuple[int, int]) -> None:
    agree(seed, *shape)


@settings(derandomize=True, deadline=None, max_examples=25)
@given(st.integers(0, 2**32))
def test_leaving_out_the_past_that_no_load_asks_for_changes_no_outcome(seed: int) -> None:
    """Under Ztso only a load behind a register read asks for it; one that no other thread sees brings it back."""
    test = random_test(random.Random(seed), 2, 3)
    reader = (Instruction("mmio_load", "device.a", "r0"),)
    asking = replace(test, threads=(*test.threads, reader), initial={**test.initial, "device.a": 0})
    short, long = Search(test, RULES["tso"]), Search(asking, RULES["tso"])
    assert short.outcomes() == long.outcomes()
    assert short.states <= long.states


def test_the_axioms_see_each_rule_that_only_they_state() -> None:
    """A load that a store of its own stands between is ordered by rule 12 behind the store's sources, or is not."""
    allowed = {test.name: test for test in cases_in("own.jsonl") if test.shape == "MP"}
    for name, stale in [("data", False), ("addr", False), ("ctrl", True)]:
        test = allowed[f"MP+fence.rw.rw+{name}-rfi-addr"]
        assert Twin(test, "rvwmo").outcomes() == test.allowed["rvwmo"]
        assert any(outcome[:3] == (1, 1, 0) for outcome in test.allowed["rvwmo"]) is stale
