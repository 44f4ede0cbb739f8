"""What is told once, when a run has come to its end: what is left that should not be."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Leaked:
    """Nothing points to an allocation any more, which `who` made at `allocated` for `purpose`, of `size` bytes."""

    time: int
    who: str
    address: int
    size: int
    purpose: str
    allocated: int


@dataclass(slots=True)
class RunEnded:
    """The run is over, and was not ended early: what has not happened by now does not happen."""

    time: int
