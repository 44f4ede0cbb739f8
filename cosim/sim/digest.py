"""The digest of a run: equal runs have equal digests, in every process and every version of Python."""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from typing import Final

from mypy_extensions import i64

from cosim.sim.heap import COMPILED

_ALL: Final = (1 << 64) - 1


def word(number: int) -> int:
    """`number` modulo 2**64. Compiled it is a machine word with a sign, and the arithmetic of these wraps by itself."""
    kept = number & _ALL
    return kept - (1 << 64) if COMPILED and kept >> 63 else kept


_WHO: Final = 0x9E3779B97F4A7C15
_WHAT: Final = 0x27D4EB2F165667C5
_WHICH: Final[i64] = word(0xC2B2AE3D27D4EB4F)
_WHEN: Final[i64] = word(0x165667B19E3779F9)
_SPREAD: Final[i64] = word(0xFF51AFD7ED558CCD)
_WORD: Final[i64] = word(_ALL)
_HALF: Final[i64] = (1 << 32) - 1


@cache
def number_of(text: str) -> int:
    """A number that stands for `text`: unlike ``hash()`` the same in every process."""
    return int.from_bytes(sha256(text.encode()).digest()[:8], "big")


def mixed(who: int, answer: int) -> int:
    """What `Digest.mix` takes for both: it is the same for many entries."""
    return word(who * _WHO + answer * _WHAT)


class Digest:
    """Mixes integers, in the order in which they are added, into 64 bits. It is no cryptographic hash."""

    __slots__ = ("_state",)

    def __init__(self) -> None:
        self._state: i64 = 0

    def add(self, who: int, which: int, time: int, answer: int) -> None:
        """Mix in that the `which`-th thing that `who` did ended at `time` with `answer`."""
        self.mix(mixed(who, answer), word(which), time)

    def mix(self, both: i64, which: i64, time: i64) -> None:
        """The same; `both` is who and answer, ``mixed(who, answer)``."""
        state = (self._state ^ (both + which * _WHICH + time * _WHEN)) * _SPREAD & _WORD
        self._state = state ^ (state >> 32 & _HALF)

    @property
    def value(self) -> int:
        """The 64 bits."""
        return int(self._state) & _ALL

    def __str__(self) -> str:
        return f"{self.value:016x}"
