"""Every executor makes the same run: the same order, digests, latencies and final state, whatever ties there are."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections import Counter
from functools import partial
from typing import Any

import pytest

from cosim.sim.agenda import Agenda
from cosim.sim.heap import Entry, Heap
from cosim.sim.plain import Plain
from tests.seeds import seeds
from tests.sim.machine import Machine, Outcome
from tests.sim.naive import Naive


def run(seed: int, executor: Any, **options: Any) -> Outcome:
    machine = Machine(seed, executor, **options)
    machine.sim.env.run()
    assert machine.occupancy.inside == 0
    integral, residence = machine.occupancy.law(machine.sim.now)
    assert integral == residence
    return machine.outcome()


@pytest.mark.parametrize("seed", seeds(range(400), 140))
def test_the_agenda_equals_the_plain_executor(seed: int) -> None:
    assert run(seed, Agenda) == run(seed, Plain)


@pytest.mark.parametrize("seed", seeds(range(400, 600), 70))
def test_the_agenda_equals_the_plain_executor_where_no_thread_stops_it(seed: int) -> None:
    assert run(seed, Agenda, threads=False) == run(seed, Plain, threads=False)


@pytest.mark.parametrize("seed", seeds(range(400), 70))
def test_the_agenda_is_the_same_with_either_heap(seed: int) -> None:
    """Tuples in one of Python's, and entries in one of its own."""
    of_tuples, of_entries = (partial(Agenda, own_heap=own_heap) for own_heap in (False, True))
    share = 0.2 * (seed % 2)
    assert run(seed, of_entries, share=share) == run(seed, of_tuples, share=share)


def test_a_heap_gives_back_what_is_due_first() -> None:
    draw = random.Random(1)
    heap = Heap()
    for rank in draw.sample(range(1000), 1000):
        heap.push(Entry(draw.randrange(30), rank, 0))
    taken = [heap.pop() for _ in range(1000)]
    assert [(each.time, each.rank) for each in taken] == sorted((each.time, each.rank) for each in taken)
    assert heap.first is None


@pytest.mark.parametrize("seed", seeds(range(600, 800), 70))
def test_actions_that_are_held_are_held_alike(seed: int) -> None:
    assert run(seed, Agenda, share=0.3) == run(seed, Plain, share=0.3)


@pytest.mark.parametrize("seed", seeds(range(800, 950), 60))
def test_both_equal_an_executor_that_searches_a_list(seed: int) -> None:
    share = 0.2 * (seed % 2)
    naive = run(seed, Naive, share=share)
    assert run(seed, Agenda, share=share) == naive
    assert run(seed, Plain, share=share) == naive


def test_the_random_machines_are_full_of_ties_and_of_all_that_can_happen() -> None:
    """Else their equality says little."""
    ties, happened, parts = 0, set(), set()
    for seed in range(100):
        outcome = run(seed, Agenda)
        times = Counter(time for time, _ in outcome.steps)
        ties += sum(count > 1 for count in times.values())
        happened |= {word for _, what in outcome.steps for word in what.split()}
        parts |= {part for spans in outcome.latencies.values() for _, spent in spans for part in spent}
    assert ties > 500
    assert parts == {"iotlb", "link", "memory", "merge_wait", "queue", "walk", "walker_wait"}
    assert {"filled", "found", "dropped", "loads", "got", "READ", "WRITE", "CAS", "timer0", "cpu0"} <= happened


@pytest.mark.slow
def test_a_run_does_not_depend_on_the_hash_seed() -> None:
    program = (
        "from cosim.sim.agenda import Agenda\n"
        "from tests.sim.test_executors import run\n"
        "print([run(seed, Agenda, share=0.2).digest for seed in range(5)])\n"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert printed == {f"{[run(seed, Agenda, share=0.2).digest for seed in range(5)]}\n"}
