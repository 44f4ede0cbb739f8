"""The pieces and the pace of a device's requests, and which of them write."""

from __future__ import annotations

from collections.abc import Callable, Sequence

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


def gaps(pace: PaceOptions, stream: Stream) -> Callable[[], int] | None:
    """A function that gives the time to the next request, in picoseconds; None if each waits for another's end."""
    interval = pace.interval
    if interval is None:
        return None
    if pace.arrivals == "poisson":
        return lambda: stream.exponential(interval)
    return lambda: interval
