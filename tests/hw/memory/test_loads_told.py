"""Loads that are told of, from pages of which somebody wants to know."""

from __future__ import annotations

import pytest

from cosim.events import FreedTouched, LoadSeen
from cosim.hw.memory.memory import Memory
from cosim.sim.operations import Load, Store
from cosim.sim.simulation import Sim
from cosim.sim.transport import AccessKind
from cosim.spec.page import PAGE
from tests.hw.cpu.test_cpu import MODELS
from tests.hw.machines import Machine, timed
from tests.hw.memory.test_memory import BASE, committed


@pytest.fixture
def seen(sim: Sim) -> list[LoadSeen | FreedTouched]:
    seen: list[LoadSeen | FreedTouched] = []
    sim.probe(LoadSeen).watch(seen.append)
    sim.probe(FreedTouched).watch(seen.append)
    return seen


@pytest.mark.parametrize("model", MODELS)
def test_each_load_of_a_thread_is_told_and_no_store(model: str) -> None:
    machine = Machine(memory_model=model)
    seen: list[tuple[str, int]] = []
    machine.sim.probe(LoadSeen).watch(lambda event: seen.append((event.who, event.address - BASE)))
    machine.memory.tell_of_loads(BASE + PAGE, PAGE)
    places = [BASE + offset for offset in (PAGE - 8, PAGE, 2 * PAGE - 4, 2 * PAGE)]
    timed(machine, *(Load(place, 4) for place in places), Store(places[1] + 8, 1), Load(places[1] + 8))
    assert seen == [("cpu0.t0", PAGE), ("cpu0.t0", 2 * PAGE - 4), ("cpu0.t0", PAGE + 8)]


def test_hardware_reads_without_a_word(memory: Memory, seen: list[LoadSeen | FreedTouched]) -> None:
    memory.tell_of_loads(BASE, PAGE)
    memory.poison(BASE + PAGE, PAGE, "cpu0.t", "queue page")
    committed(memory, AccessKind.READ, BASE, 8)
    memory.judge("cpu0.t", BASE, 8, write=True)
    assert not seen


def test_a_page_is_told_of_whatever_is_freed_there(memory: Memory, seen: list[LoadSeen | FreedTouched]) -> None:
    memory.tell_of_loads(BASE + 8, 2 * PAGE - 8)
    memory.poison(BASE, PAGE, "cpu0.t", "queue page")
    memory.judge("cpu0.a", BASE, 8, write=False)
    assert [type(each) for each in seen] == [FreedTouched, LoadSeen]
    memory.unpoison(BASE, PAGE)
    seen.clear()
    memory.judge("cpu0.b", BASE, 8, write=False)
    memory.judge("cpu0.c", BASE + PAGE, 8, write=False)
    memory.judge("cpu0.d", BASE + 2 * PAGE, 8, write=False)
    assert seen == [LoadSeen(0, "cpu0.b", BASE), LoadSeen(0, "cpu0.c", BASE + PAGE)]
