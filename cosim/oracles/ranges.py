"""Ranges that ascend and do not overlap, and which of them have something of another one."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Protocol


class Range(Protocol):
    """From `start` to `end` (exclusive)."""

    @property
    def start(self) -> int: ...

    @property
    def end(self) -> int: ...


def overlapped(used: Sequence[Range], start: int, end: int) -> tuple[int, int]:
    """Which of `used` have something of `start` .. `end` (exclusive): from an index to before another."""
    first = bisect_right(used, start, key=lambda one: one.end)
    last = first
    while last < len(used) and used[last].start < end:
        last += 1
    return first, last
