"""Runs each scene with one driver and with the other, and says where what they do parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, zip_longest
from textwrap import wrap

from cosim.config.source import Source
from cosim.study.conform.conform import Echo
from cosim.study.conform.drivers.compare import Difference, Handlers, compared
from cosim.study.conform.drivers.deed import Deed
from cosim.study.conform.drivers.record import Record
from cosim.study.conform.drivers.scenes import drawn, loaded, names
from cosim.study.run.run import Point, UnderWay

WIDTH = 118
"""Characters of a line in which both sides stand, or as many as the terminal has, if those are fewer."""
BESIDE = 70
"""In a line of fewer characters there is no room for one side beside the other: they stand one above the other."""


def judge(
    topologies: Sequence[str],
    *,
    driver: str,
    against: str,
    random: int,
    seed: int,
    verbose: bool,
    echo: Echo,
    width: int = WIDTH,
) -> int:
    """Compare two drivers and print where they part, in lines of `width`; the exit code: 0 if nowhere, else 1.

    Without topologies, and without random ones, in all that come with cosim for it. TopologyError for a driver that
    is none, or a topology that one of them cannot run.
    """
    asked = list(topologies) or ([] if random else names())
    scenes: Iterator[tuple[str, str | Source]] = chain(((name, name) for name in asked), drawn(seed, random))
    handlers = Handlers()
    equal = parted = 0
    for name, scene in scenes:
        left, right = deeds_of(scene, driver), deeds_of(scene, against)
        found = list(compared(left, right, handlers))
        for difference in found:
            for line in told(name, difference, driver, against, width):
                echo(line)
        parted += bool(found)
        equal += not found
        if verbose and not found:
            echo(f"{name}: equal, {sum(map(len, left.values()))} deeds of {len(left)} threads")
    steps = list(handlers.differences())
    for difference in steps:
        for line in told("over all scenes", difference, driver, against, width):
            echo(line)
    ends = f"; handlers take {len(handlers)} steps, {len(steps)} of them on one side alone" if len(handlers) else ""
    echo(f"{equal} equal, {parted} different{ends}")
    return int(bool(parted or steps))


def deeds_of(scene: str | Source, driver: str) -> Mapping[str, Sequence[Deed]]:
    """What each thread of a scene does with a driver. TopologyError."""
    run = UnderWay(Point(loaded(scene, driver)))
    try:
        record = Record(run.system)
        run.advance()
        return record.deeds
    finally:
        run.close()


def told(scene: str, difference: Difference, left: str, right: str, width: int = WIDTH) -> Iterator[str]:
    """A difference in lines: what both have done, and then each side, with where in its source that stands."""
    where = f"{difference.thread}, in {difference.call}" if difference.call else difference.thread
    why = f": {difference.why}" if difference.why else ""
    yield from _wrapped(f"{scene}: {where}, deed {difference.number}{why}", "", width, whole=True)
    for deed in difference.before:
        yield from _wrapped(str(deed), "    ", width)
    if width >= BESIDE:
        yield from _beside(difference, left, right, (width - 7) // 2)
        return
    for name, deeds in ((left, difference.left), (right, difference.right)):
        yield from _wrapped(f"{name}:", "  ", width)
        for text in map(_shown, deeds):
            yield from _wrapped(text, "    ", width)


def _beside(difference: Difference, left: str, right: str, half: int) -> Iterator[str]:
    rows = [(left, right), *zip_longest(map(_shown, difference.left), map(_shown, difference.right), fillvalue="-")]
    for ours, theirs in rows:
        columns = wrap(ours, half, break_long_words=True), wrap(theirs, half, break_long_words=True)
        for one, other in zip_longest(*columns, fillvalue=""):
            yield f"  {one:{half}} | {other}".rstrip()


def _wrapped(text: str, indent: str, width: int, *, whole: bool = False) -> list[str]:
    """A text in lines; in a `whole` one a word that has no room in a line, such as a path, is not broken."""
    return wrap(text, width, initial_indent=indent, subsequent_indent=f"{indent}  ", break_long_words=not whole)


def _shown(deed: Deed) -> str:
    return f"{deed}  [{deed.place}]" if deed.place else str(deed)
