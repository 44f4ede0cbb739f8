"""The effects of an unperturbed run, as a schedule names them."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass

from cosim.sim.footprints import Every
from cosim.study.explore.cells import Cell
from cosim.study.explore.conflicts import in_conflict
from cosim.study.pool import Pool
from cosim.study.report.ordering.recording import lines_of_c


@dataclass(frozen=True, slots=True)
class Listed:
    """An effect: when it took hold, its name, what it touches, and whether a bounded search holds it.

    `line` is that of a compiled driver that has asked for it, with its function; empty if none has.
    """

    time_ps: int
    name: str
    touches: tuple[str, ...]
    changes: bool
    asks: bool
    in_conflict: bool
    line: str


def listing(cell: Cell) -> Iterator[Listed]:
    """Every effect of the unperturbed run, in order. RuntimeError if that run does not come to its end."""
    point = cell.point(("nobody#0:0",))
    with Pool(1, actions=True) as pool:
        ((_, record),) = pool.runs([point])
    if record.outcome in ("error", "late", "lost", "void"):
        raise RuntimeError("; ".join(record.failures))
    held = {taken.name for taken in in_conflict(record.actions, cell.hold_ps)}
    lines = lines_of_c(point)
    for taken in record.actions:
        touches = tuple(map(spelled, taken.footprint))
        line = lines.get(taken.name, "")
        yield Listed(taken.time, taken.name, touches, taken.changes, taken.asks, taken.name in held, line)


def spelled(key: Hashable) -> str:
    """A key of a footprint for people: an address, a range of them, or a path; ``*`` is all there is below it."""
    if isinstance(key, range):
        return f"{key.start:#x}..{key.stop - 1:#x}"
    if isinstance(key, Every):
        return ".".join([*map(str, key.names), "*"])
    if isinstance(key, tuple):
        return ".".join(map(str, key))
    return f"{key:#x}" if isinstance(key, int) else str(key)
