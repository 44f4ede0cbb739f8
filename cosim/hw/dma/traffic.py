"""Where in its window a DMA master's next request goes, and when: patterns and pace."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from cosim.hw.dma.options import TrafficOptions
from cosim.sim.stream import Stream
from cosim.spec.pagetable import PAGE


def split(iova: int, size: int) -> Sequence[tuple[int, int]]:
    """The pieces (iova, size) of a request: none crosses a 4 KiB boundary (as PCIe demands, 2.2.7 "TLP rules")."""
    room = PAGE - iova % PAGE
    if size <= room:
        return ((iova, size),) if size else ()
    return [(iova, room), *((iova + at, min(PAGE, size - at)) for at in range(room, size, PAGE))]


def offsets(options: TrafficOptions, stream: Stream) -> Callable[[], int]:
    """A function that gives the offset of each next request into the window, a multiple of 8."""
    size, window = options.size + 7 & ~7, max(options.window, options.size)
    places = max(1, window // size)

    def sequential() -> Iterator[int]:
        place = 0
        while True:
            yield place * size
            place = (place + 1) % places

    def strided() -> Iterator[int]:
        stride = options.stride + 7 & ~7
        offset = 0
        while True:
            yield offset
            offset += stride
            if offset + options.size > window:
                offset = 0

    def random() -> Iterator[int]:
        while True:
            yield stream.below(places) * size

    return {"sequential": sequential, "strided": strided, "random": random}[options.pattern]().__next__


def writes(options: TrafficOptions, stream: Stream) -> Callable[[], bool]:
    """A function that says of each next request whether it writes; chance is drawn only where both occur."""
    if options.read in (0.0, 1.0):
        return lambda: options.read == 0.0
    return lambda: stream.random() >= options.read


def gaps(options: TrafficOptions, stream: Stream) -> Callable[[], int] | None:
    """A function that gives the time to the next request, in picoseconds; None if each waits for another's end."""
    interval = options.interval
    if interval is None:
        return None
    if options.arrivals == "poisson":
        return lambda: stream.exponential(interval)
    return lambda: interval
