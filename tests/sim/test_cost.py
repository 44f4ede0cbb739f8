"""What a transaction costs in events and activations, with the real IOMMU: counts, since host time is no test."""

from __future__ import annotations

import gc
from collections.abc import Generator
from typing import Any

import pytest
from simpy.events import Event

from benchmarks.bench import STRIDES, Counts, Rig
from cosim.sim.agenda import Agenda
from cosim.sim.ranks import Stage

TRANSACTIONS = 160


def counted(masters: int, misses: int, every_ps: int | None = None) -> tuple[Counts, int]:
    """What a run of the benchmark's rig took, and how often a thread woke up meanwhile, every so many picoseconds."""
    rig = Rig(Agenda, masters, misses, TRANSACTIONS)
    sim = rig.sim
    woken = 0

    def thread() -> Generator[Event, Any, None]:
        nonlocal woken
        while sum(sum(master.requests) for master in rig.masters) < TRANSACTIONS:
            assert every_ps is not None
            yield sim.moment(sim.now + every_ps, sim.initiator("cpu0").rank(Stage.CPU))
            woken += 1

    if every_ps is not None:
        sim.env.process(thread())
    sim.env.run()
    return rig.counts(), woken


@pytest.mark.parametrize("masters", [1, 8])
@pytest.mark.parametrize("misses", STRIDES)
def test_all_transactions_of_a_run_take_one_activation(masters: int, misses: int) -> None:
    counts, _ = counted(masters, misses)
    assert counts.transactions == TRANSACTIONS
    assert counts.activations == 1


@pytest.mark.parametrize("masters", [1, 8])
def test_beside_a_thread_run_ahead_goes_as_far_as_its_next_step(masters: int) -> None:
    """Two activations for each transaction would be what an agenda for each IOMMU gives: no gain."""
    counts, woken = counted(masters, 0, every_ps=500_000)
    assert 0 < counts.activations <= 1 + woken
    assert counts.activations < 0.5 * counts.transactions


def test_a_hit_takes_eight_events_and_a_miss_that_reads_one_entry_thirteen() -> None:
    """Start, link, look-up, hop, memory, hop, link, and the next request's issue; then a walker, and three a read."""
    hits, _ = counted(1, 0)
    misses, _ = counted(1, 100)
    assert hits.events <= 8 * TRANSACTIONS + 40
    assert misses.walks == TRANSACTIONS
    assert misses.events <= 13 * TRANSACTIONS + 40


def test_a_request_that_missed_leaves_nothing_for_the_collector() -> None:
    """A miss knows its walk and a walk its miss: of each million they were six million objects to be found."""
    rig = Rig(Agenda, 1, 100, TRANSACTIONS)
    while gc.collect():  # what other tests have left may take several turns
        pass
    gc.disable()
    try:
        rig.sim.env.run()
        assert gc.collect() < TRANSACTIONS
    finally:
        gc.enable()


@pytest.mark.parametrize(("misses", "least", "most"), [(0, 0, 0.01), (1, 0.01, 0.03), (10, 0.1, 0.13), (100, 0.99, 1)])
def test_the_benchmark_misses_as_often_as_it_says(misses: int, least: float, most: float) -> None:
    counts, _ = counted(1, misses)
    assert least <= counts.walks / counts.transactions <= most
