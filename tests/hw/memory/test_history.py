"""The past of a word: what it was for some time can be read, and what it was for none cannot."""

from __future__ import annotations

import pytest

from cosim.hw.memory.history import ANCIENT, WHOLE, History
from cosim.hw.memory.memory import Memory
from cosim.hw.memory.options import MemoryOptions
from cosim.sim.simulation import Sim
from cosim.spec.page import PAGE
from cosim.study.conform.litmus.search import StillExecutor


def test_a_state_that_lasted_for_no_time_was_never_there() -> None:
    history = History(1000)
    history.changed(0, 10, 1, 2, WHOLE)
    history.changed(0, 10, 2, 3, WHOLE)
    history.changed(0, 20, 3, 4, WHOLE)
    assert history.states(0, WHOLE, 20, ANCIENT) == [(20, 4), (10, 3), (ANCIENT, 1)]


def test_what_is_written_to_both_halves_at_one_instant_is_a_state_of_either() -> None:
    low, high = 0xFFFF_FFFF, WHOLE ^ 0xFFFF_FFFF
    for first, second in ((low, high), (high, low)):
        history = History(1000)
        history.changed(0, 10, 0, first & 0x5_0000_0006, first)
        history.changed(0, 10, first & 0x5_0000_0006, 0x5_0000_0006, second)
        assert history.states(0, low, 20, ANCIENT) == [(10, 0x5_0000_0006), (ANCIENT, 0)]
        assert history.states(0, high, 20, ANCIENT) == [(10, 0x5_0000_0006), (ANCIENT, 0)]


@pytest.mark.parametrize("size", [8, PAGE])
def test_what_is_zeroed_by_the_page_has_the_states_of_what_is_zeroed_by_the_word(size: int) -> None:
    """Also again, and though it had no past before."""
    sim = Sim(executor=StillExecutor)
    memory = Memory(sim, "dram0", MemoryOptions(kind="memory", base=0, size="1 MiB"))
    memory.remember(1000)
    for word, value in ((0, 7), (8, 0)):
        memory.poke(word, 8, value)
    for now in (10, 20):
        sim.now = now
        memory.write_block(0, (0,) * (size // 8))
    assert list(memory.states(0, 8, ANCIENT)) == [(20, 0), (10, 0), (ANCIENT, 7)]
    assert list(memory.states(8, 8, ANCIENT)) == [(ANCIENT, 0)], "nobody could tell one from another"


@pytest.mark.parametrize("start", [0, 4])
def test_what_is_changed_as_if_it_had_always_been_so_has_no_past_in_any_of_its_words(start: int) -> None:
    """Words that the change reaches in part are such, and those beside them keep their past."""
    sim = Sim(executor=StillExecutor)
    memory = Memory(sim, "dram0", MemoryOptions(kind="memory", base=0, size="1 MiB"))
    memory.remember(1000)
    sim.now = 10
    memory.write_block(0, (1, 1, 1, 1))
    sim.now = 20
    memory.poke(start, 16, 0)
    touched = 3 if start else 2
    for word in range(4):
        past = [began for began, _ in memory.states(8 * word, 8, ANCIENT)]
        assert past == ([ANCIENT] if word < touched else [10, ANCIENT])


@pytest.mark.parametrize("asked", [(100, 1000), (1000, 100)])
def test_the_past_is_kept_for_whoever_needs_the_most_of_it(asked: tuple[int, int]) -> None:
    sim = Sim(executor=StillExecutor)
    memory = Memory(sim, "dram0", MemoryOptions(kind="memory", base=0, size="1 MiB"))
    for keep_ps in asked:
        memory.remember(keep_ps)
    for now, value in ((10, 1), (20, 2), (900, 3)):
        sim.now = now
        memory.write(0, 8, value)
    assert list(memory.states(0, 8, ANCIENT)) == [(900, 3), (20, 2), (10, 1), (ANCIENT, 0)]


def test_what_was_known_at_a_snapshot_is_forgotten_in_its_time_by_who_goes_back_to_it() -> None:
    history = History(100)
    history.changed(0, 10, 0, 1, WHOLE)
    kept = history.snapshot()
    history.changed(8, 20, 0, 1, WHOLE)
    history.restore(kept)
    history.changed(16, 50, 0, 1, WHOLE)
    assert list(history.words) == [0, 16]
    history.changed(24, 120, 0, 1, WHOLE)
    assert list(history.words) == [16, 24]
