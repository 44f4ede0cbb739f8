"""How a run is ended early, between two events of its simulation: by Ctrl-C, by SIGTERM, or by the host's clock."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

from cosim.sim.simulation import Sim

GRACE_S = 1.0
"""An event that takes longer than this after a stop was asked for is broken off: code that loops for ever."""

PATIENCE = 3
"""As many signals end a process at once that is writing what it has measured."""


class Broken(BaseException):
    """Raised inside of an event that does not end by itself."""


class Stop:
    """Whether a run is to end early, and why.

    A signal or the limit of the host's time means, by the state of the run:

    * *before*: nothing was measured yet; `at_once` ends the process, and without it the run ends where it begins;
    * *simulating*: the next event is the last, and if the present one does not end, it is broken off;
    * *over*: only noted, since what was measured is being written; the third signal ends the process.
    """

    def __init__(self, at_once: Callable[[Stop], object] | None = None) -> None:
        self.signals = 0
        """How often a signal has told the process to stop, whether or not that still mattered to the run."""
        self.interrupted = False
        """Whether a signal came while there was a run to end early."""
        self.limit_s: float | None = None
        self.limited = False
        """Whether the limit of the host's time was reached while it mattered."""
        self.broken = False
        """Whether an event was broken off, so that the parts' states do not fit together."""
        self._at_once = at_once
        self._sim: Sim | None = None
        self._over = False

    @property
    def asked(self) -> bool:
        """Whether the run is to end early."""
        return self.interrupted or self.limited

    @property
    def reason(self) -> str:
        """In words, why it ends early."""
        if self.interrupted:
            return "interrupted"
        return f"the host's time limit of {self.limit_s:g} s was reached" if self.limited else ""

    @contextmanager
    def listening(self, signals: Sequence[signal.Signals], limit_s: float | None = None) -> Iterator[None]:
        """Meanwhile answer `signals`, unless they are ignored, and the limit of the host's time, in seconds.

        Only the main thread can; in others nothing ends a run early.
        """
        self.limit_s = limit_s
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        heard = [number for number in signals if signal.getsignal(number) is not signal.SIG_IGN]
        before: dict[signal.Signals, Any] = {number: signal.signal(number, self._told) for number in heard}
        before[signal.SIGALRM] = signal.signal(signal.SIGALRM, self._late)
        if limit_s is not None:
            signal.setitimer(signal.ITIMER_REAL, max(limit_s, 1e-6))
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            for number, handler in before.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)

    @contextmanager
    def simulating(self, sim: Sim) -> Iterator[None]:
        """Meanwhile `sim` runs; what is broken off in it ends here."""
        try:
            self._sim = sim
            if self.asked:
                self._stop(sim)
            yield
        except Broken:
            pass
        finally:
            self._sim, self._over = None, True

    def _told(self, number: int, frame: FrameType | None) -> None:
        self.signals += 1
        if not self._over:
            self.interrupted = True
            self._ask()
        elif self.signals >= PATIENCE:
            self._end_at_once()

    def _late(self, number: int, frame: FrameType | None) -> None:
        if self.asked and self._sim is not None:
            self.broken = True
            raise Broken
        if not self._over:
            self.limited = True
            self._ask()

    def _ask(self) -> None:
        if self._sim is not None:
            self._stop(self._sim)
        else:
            self._end_at_once()

    def _end_at_once(self) -> None:
        if self._at_once is not None:
            self._at_once(self)

    def _stop(self, sim: Sim) -> None:
        sim.stop()
        signal.setitimer(signal.ITIMER_REAL, GRACE_S)
