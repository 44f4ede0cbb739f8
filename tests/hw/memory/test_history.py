"""The past of a word: what it was for some time can be read, and what it was for none cannot."""

from __future__ import annotations

from cosim.hw.memory.history import ANCIENT, WHOLE, History


def test_a_state_that_lasted_for_no_time_was_never_there() -> None:
    history = History(1000)
    history.changed(0, 10, 1, 2, WHOLE)
    history.changed(0, 10, 2, 3, WHOLE)
    history.changed(0, 20, 3, 4, WHOLE)
    assert history.states(0, WHOLE, 20, ANCIENT) == [(20, 4), (10, 3), (ANCIENT, 1)]
