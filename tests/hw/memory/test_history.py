"""The past of a word: what it was for some time can be read, and what it was for none cannot."""

from __future__ import annotations

from cosim.hw.memory.history import ANCIENT, WHOLE, History


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
