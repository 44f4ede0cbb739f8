"""Memory in pages of 2 MiB instead of 4 KiB: a fork has few entries of page tables to copy, and an exit to drop.

What a child then writes to is copied in small pages, as ever. This is a hint: where there is no Linux, or one that does
not know MADV_COLLAPSE (before 6.1), nothing is different.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

HUGE = 2 << 20
_MADV_COLLAPSE = 25
_MAPS = Path("/proc/self/maps")


def collapse() -> None:
    """Have what this process has written be huge pages, as far as it fills such."""
    with suppress(OSError, AttributeError):
        madvise = ctypes.CDLL(None).madvise
        for begin, end in whole(_MAPS.read_text(encoding="ascii", errors="replace").splitlines()):
            madvise(ctypes.c_void_p(begin), ctypes.c_size_t(end - begin), _MADV_COLLAPSE)


def whole(maps: Iterable[str]) -> Iterator[tuple[int, int]]:
    """From the lines of /proc/PID/maps, begin and end of what huge pages can fill: private, written, and of no file."""
    for line in maps:
        span, rights, _, _, inode, *name = line.split(maxsplit=5)
        if rights != "rw-p" or inode != "0" or (name and name[0].strip() != "[heap]"):
            continue
        begin, end = (int(bound, 16) for bound in span.split("-"))
        begin, end = -(-begin // HUGE) * HUGE, end // HUGE * HUGE
        if begin < end:
            yield begin, end
