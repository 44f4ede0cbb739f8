"""The pieces, the sizes and the pace of a device's requests, and which of them write."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate

from cosim.hw.dma.bursts import Bursts
from cosim.hw.dma.options import PaceOptions
from cosim.sim.stream import Stream
from cosim.spec.pagetable import PAGE


def split(iova: int, size: int) -> Sequence[tuple[int, int]]:
    """The pieces (iova, size) of a request: none crosses a 4 KiB boundary (as PCIe 2.2.7 "TLP rules" demands)."""
    room = PAGE - iova % PAGE
    if size <= room:
        return ((iova, size),) if size else ()
    return [(iova, room), *((iova + at, min(PAGE, size - at)) for at in range(room, size, PAGE))]


def writes(read: float, stream: Stream) -> Callable[[], bool]:
    """A function that says of each next request whether it writes; chance is drawn only where both occur."""
    if read in (0.0, 1.0):
        return lambda: read == 0.0
    return lambda: stream.random() >= read


def sizes(size: int, mix: Mapping[int, int], stream: Stream) -> Callable[[], int]:
    """A function that gives the bytes of the next request: `size`, or where there is a `mix`, each by its weight."""
    if len(mix) < 2:
        size = next(iter(mix), size)
        return lambda: size
    found, sums = list(mix), list(accumulate(mix.values()))
    return lambda: found[bisect_right(sums, stream.below(sums[-1]))]


def gaps(pace: PaceOptions, stream: Stream, bursts: Bursts | None = None) -> Callable[[], int] | None:
    """A function that gives the time to the next request, in picoseconds; None if each waits for another's end."""
    interval = pace.interval
    if interval is None:
        return None

    def gap() -> int:
        found = stream.exponential(interval) if pace.arrivals == "poisson" else interval
        return found if bursts is None else bursts.stretched(found)

    return gap
