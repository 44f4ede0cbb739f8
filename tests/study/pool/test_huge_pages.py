"""A process that forks often has its memory in huge pages, where there are such, and runs are the same."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Callable
from pathlib import Path

import pytest

from cosim.study.pool import Pool
from cosim.study.pool.huge_pages import _MADV_COLLAPSE, HUGE, collapse, whole
from cosim.study.pool.prepared import SEVERAL
from cosim.study.run.run import UnderWay
from tests.study.pool.systems import TINY, loaded, numbered

MAPS = """\
00400000-00a00000 rw-p 00000000 00:00 0                                  [heap]
00c00001-01000000 r-xp 00000000 00:00 0
01100000-01900000 rw-p 00000000 00:00 0
02000000-02800000 rw-s 00000000 00:00 0
03000000-03800000 rw-p 00001000 08:01 4711                               /usr/lib/lib c.so
04100000-043fffff rw-p 00000000 00:00 0
7f000000-7f800000 rw-p 00000000 00:00 0                                  [stack]
"""


def huge_kib() -> int:
    """How much of this process's own memory is in huge pages."""
    lines = Path("/proc/self/smaps_rollup").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("AnonHugePages:"))


def can_collapse() -> bool:
    """Whether this computer does so at all."""
    try:
        size = 2 * HUGE
        with mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
            memory[:] = b"x" * size
            first = ctypes.c_char.from_buffer(memory)
            begin = -(-ctypes.addressof(first) // HUGE) * HUGE
            del first
            return ctypes.CDLL(None).madvise(ctypes.c_void_p(begin), ctypes.c_size_t(HUGE), _MADV_COLLAPSE) == 0
    except (OSError, AttributeError):
        return False


def test_only_what_huge_pages_fill_of_private_written_memory_is_taken() -> None:
    assert list(whole(MAPS.splitlines())) == [(0x0040_0000, 0x00A0_0000), (0x0120_0000, 0x0180_0000)]


def test_what_is_written_stays_so() -> None:
    size = 4 * HUGE
    with mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        memory[:] = bytes(range(256)) * (size // 256)
        collapse()
        assert memory[:] == bytes(range(256)) * (size // 256)


def test_the_runs_after_several_fork_from_huge_pages_and_are_the_same(tmp_path: Path) -> None:
    def also(_: UnderWay) -> Callable[[], int]:
        return huge_kib

    if not can_collapse():
        pytest.skip("no huge pages here")
    with Pool(1, also=also) as pool:
        records = [record for _, record in pool.runs(numbered(loaded(tmp_path, TINY), SEVERAL + 2))]
    assert records[SEVERAL].also > records[SEVERAL - 1].also
    assert len({record.digest for record in records}) == 1
