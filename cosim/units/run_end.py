"""When a run ends: at a time, or so long after the end of its threads (`threads + 30 us`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

from cosim.units.quantities import NUMBER, TIME, UnitError, format_like, format_time, parse_time, show

THREADS = "threads"


@dataclass(frozen=True, slots=True)
class AfterThreads:
    """So many picoseconds after the last thread has ended."""

    time_ps: int = 0

    def __str__(self) -> str:
        return f"{THREADS} + {format_time(self.time_ps)}" if self.time_ps else THREADS


def parse_end(value: object) -> int | AfterThreads:
    """Picoseconds of `1 ms`, above 0, or what `threads` and `threads + 30 us` say. Raises UnitError."""
    if isinstance(value, AfterThreads):
        return value
    if isinstance(value, str) and THREADS[:-1] in value.lower():
        rest = value.strip().removeprefix(THREADS).strip()
        if not rest:
            return AfterThreads()
        if rest.startswith("+") and rest[1:].strip():
            return AfterThreads(parse_time(rest[1:].strip()))
        raise UnitError(f"{show(value)} is no end of a run; write a time, {THREADS}, or {THREADS} + 30 us")
    time_ps = parse_time(value)
    if not time_ps:
        zero = format_like(value, 0) if isinstance(value, str) else "0"
        raise UnitError(f"{show(value)} is out of bounds: it must be above {zero}")
    return time_ps


def format_end(end: int | AfterThreads) -> str:
    """As `parse_end` reads it."""
    return str(end) if isinstance(end, AfterThreads) else format_time(end)


_TIME = rf"{NUMBER}\s*({'|'.join(TIME.units)})"

End = Annotated[
    int | AfterThreads,
    PlainValidator(parse_end),
    PlainSerializer(format_end, return_type=str),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": f"^{_TIME}$"},
                {"type": "string", "pattern": rf"^{THREADS}(\s*\+\s*{_TIME})?$"},
            ],
            "examples": ["1 ms", f"{THREADS} + 30 us"],
        }
    ),
]
"""Picoseconds, above 0, or so many after the end of all threads."""
