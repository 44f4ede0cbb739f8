"""Where in its window a DMA device's next request goes: the patterns, each a generator under its name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from cosim.hw.dma.zipf import Zipf
from cosim.sim.stream import Stream
from cosim.spec.page import PAGE


class Space(NamedTuple):
    """What a pattern works in, in bytes: requests of up to `size`, in a window that holds at least one of them.

    The others are the options of the same names, each for the patterns that heed it.
    """

    size: int
    window: int
    stride: int = PAGE
    hot: int = PAGE
    hot_share: float = 1.0
    exponent: float = 1.0

    @property
    def step(self) -> int:
        """The largest request's size, rounded up to a whole word."""
        return self.size + 7 & ~7

    @property
    def hot_places(self) -> int:
        """How many of those are hot."""
        return max(1, self.hot // self.step)

    @property
    def places(self) -> int:
        """How many requests lie beside each other in the window."""
        return max(1, self.window // self.step)


Offsets = Callable[[Space, Stream], Iterator[int]]
"""The offsets of all further requests into the window, each a multiple of 8."""


class Pattern(NamedTuple):
    """A pattern: what it says of itself, its offsets, and the options of `traffic:` that only some patterns heed.

    `offsets` is None for a device that never makes requests, or replays what was recorded. `begins` says whether boot
    gives the device a window and starts it; if not, it waits for a thread to do so.
    """

    says: str
    offsets: Offsets | None
    begins: bool = True
    heeds: frozenset[str] = frozenset()


PATTERNS: dict[str, Pattern] = {
    "none": Pattern("it never makes a request: a device to be attached, moved and taken away", None, begins=False),
    "replay": Pattern(
        "requests that the CSV file `file` has recorded, at their times, whatever they wait for",
        None,
        heeds=frozenset({"file", "queue"}),
    ),
}
"""Every pattern by its name in `traffic: {pattern: ...}`."""


def pattern(says: str, *, begins: bool = True, heeds: tuple[str, ...] = ()) -> Callable[[Offsets], Offsets]:
    """Register the decorated generator as the pattern of its name."""

    def register(offsets: Offsets) -> Offsets:
        PATTERNS[offsets.__name__] = Pattern(says, offsets, begins, frozenset(heeds))
        return offsets

    return register


@pattern("one address after the other, from the start of the window to its end and again")
def sequential(space: Space, stream: Stream) -> Iterator[int]:
    place = 0
    while True:
        yield place * space.step
        place = (place + 1) % space.places


@pattern("addresses at a stride, from the start of the window to its end and again", heeds=("stride",))
def strided(space: Space, stream: Stream) -> Iterator[int]:
    stride = space.stride + 7 & ~7
    offset = 0
    while True:
        yield offset
        offset += stride
        if offset + space.size > space.window:
            offset = 0


@pattern("addresses uniform over the window")
def random(space: Space, stream: Stream) -> Iterator[int]:
    while True:
        yield stream.below(space.places) * space.step


@pattern(
    "addresses uniform over the first `hot` bytes of the window, or with chance 1 - `hot_share` over the rest of it",
    heeds=("hot", "hot_share"),
)
def hot_cold(space: Space, stream: Stream) -> Iterator[int]:
    hot, places = space.hot_places, space.places
    while True:
        if stream.random() < space.hot_share:
            yield stream.below(hot) * space.step
        else:
            yield (hot + stream.below(places - hot)) * space.step


@pattern(
    "pages of 4 KiB by Zipf's law, the first one the most likely: the k-th in proportion to 1 / k^`exponent`; within a "
    "page uniform",
    heeds=("exponent",),
)
def zipf(space: Space, stream: Stream) -> Iterator[int]:
    block = max(PAGE, space.step)
    page, places = Zipf(max(1, space.window // block), space.exponent), max(1, min(block, space.window) // space.step)
    while True:
        yield page.draw(stream) * block + stream.below(places) * space.step


@pattern("idle until a thread tells the device of a buffer, then one address after the other there", begins=False)
def told(space: Space, stream: Stream) -> Iterator[int]:
    return sequential(space, stream)
