"""The digest of a run: equal runs have equal digests, in every process and every version of Python."""

from __future__ import annotations

from functools import cache
from hashlib import sha256

_MASK = (1 << 64) - 1
_WHO, _WHICH, _WHEN, _WHAT, _SPREAD = (
    0x9E3779B97F4A7C15,
    0xC2B2AE3D27D4EB4F,
    0x165667B19E3779F9,
    0x27D4EB2F165667C5,
    0xFF51AFD7ED558CCD,
)


@cache
def number_of(text: str) -> int:
    """A number that stands for `text`: unlike ``hash()`` the same in every process."""
    return int.from_bytes(sha256(text.encode()).digest()[:8], "big")


class Digest:
    """Mixes integers, in the order in which they are added, into 64 bits. It is no cryptographic hash."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0

    def add(self, who: int, which: int, time: int, answer: int) -> None:
        """Mix in that the `which`-th thing that `who` did ended at `time` with `answer`."""
        value = (self.value ^ (who * _WHO + which * _WHICH + time * _WHEN + answer * _WHAT)) * _SPREAD & _MASK
        self.value = value ^ value >> 32

    def __str__(self) -> str:
        return f"{self.value:016x}"
