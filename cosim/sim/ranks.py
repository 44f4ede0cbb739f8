"""Ranks: what orders things of the same time, so that no executor depends on the order of insertion."""

from __future__ import annotations

from enum import IntEnum

_INITIATOR_BITS, _SEQUENCE_BITS = 16, 42  # with a stage it stays below 62 bits, beyond which compiled numbers are slow


class Stage(IntEnum):
    """The first key of a rank: who goes first among things of the same time."""

    MEMORY = 1
    TRANSACTION = 2
    COMMAND = 3
    REGISTER = 4
    INTERRUPT = 5
    CPU = 6


class Initiator:
    """Whoever starts activities; hands out their ranks (stage, initiator, sequence), each once."""

    __slots__ = ("_first", "_next", "number")

    def __init__(self, path: str, number: int) -> None:
        if number >> _INITIATOR_BITS:
            raise OverflowError(f"{path}: no run has more than {1 << _INITIATOR_BITS} initiators")
        self.number = number
        self._first = [(stage << _INITIATOR_BITS | number) << _SEQUENCE_BITS for stage in range(len(Stage) + 1)]
        self._next = 0

    def rank(self, stage: Stage) -> int:
        """The next rank of this initiator: an int above 1, unique in the run."""
        self._next += 1
        return self._first[stage] + self._next
