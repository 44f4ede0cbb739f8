"""What a result is to hold besides what every result holds: it changes nothing else of a run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Keep:
    """What a result holds besides: every latency, numbers for each step of so many picoseconds, if not 0, and what the
    `slowest` requests and calls waited for, so many of each."""

    samples: bool = False
    step_ps: int = 0
    slowest: int = 0


NO_MORE = Keep()
"""What every result holds."""
