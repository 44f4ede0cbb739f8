"""What a signal means: that a run is to end, or, when it is over, nothing unless it comes again and again."""

from __future__ import annotations

import signal

from cosim.sim.simulation import Sim
from cosim.study.run.stop import PATIENCE, Stop


def test_a_signal_that_comes_when_a_run_is_over_is_only_noted_and_of_several_the_last_ends_the_process() -> None:
    ended: list[int] = []
    stop = Stop(lambda stop: ended.append(stop.signals))
    with stop.listening([signal.SIGUSR1]):
        with stop.simulating(Sim()):
            pass
        for _ in range(PATIENCE):
            assert not ended
            signal.raise_signal(signal.SIGUSR1)
            assert not stop.asked
    assert ended == [PATIENCE]


def test_a_signal_that_comes_before_a_run_ends_the_process() -> None:
    ended: list[int] = []
    stop = Stop(lambda stop: ended.append(stop.signals))
    with stop.listening([signal.SIGUSR1]):
        signal.raise_signal(signal.SIGUSR1)
    assert (ended, stop.reason) == ([1], "interrupted")
