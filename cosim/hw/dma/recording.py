"""Recorded requests: a CSV file, read line by line, however long; `pattern: replay`."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import NamedTuple, TextIO

from cosim.spec.page import PAGE
from cosim.units.looked_for import looked_for

TIMES: Mapping[str, int] = {"time_ps": 1, "time_ns": 1_000, "time_us": 1_000_000}
"""What the column of times may be called, and picoseconds of its unit."""

COLUMNS = ("device", "iova", "size", "access")
WRITES: Mapping[str, bool] = {"read": False, "write": True, "r": False, "w": True}
LARGEST = 1 << 24
"""Bytes of a request, at most."""


class RecordingError(ValueError):
    """A file that holds no recorded requests, or none of a device: says which file, which line, and what is wrong."""


class Recorded(NamedTuple):
    """A request: its time in picoseconds, as recorded, and bytes `iova` .. `iova + size`."""

    time_ps: int
    device: str
    iova: int
    size: int
    write: bool


class Survey(NamedTuple):
    """What a file holds of a device: `base` is the page of its lowest IOVA, `span` the bytes from there to its highest.

    `first_ps` is the time of the first line, whatever its device.
    """

    first_ps: int
    base: int
    span: int
    requests: int


def read(path: str) -> Iterator[Recorded]:
    """The requests of a file in its order, which is that of their times. Raises RecordingError."""
    try:
        with open(path, encoding="utf-8", newline="") as file:
            yield from _rows(path, file)
    except (OSError, ValueError) as error:
        if isinstance(error, RecordingError):
            raise
        if isinstance(error, OSError):
            raise RecordingError(f"{path}: {(error.strerror or str(error)).lower()}") from None
        raise RecordingError(f"{path}: not UTF-8 text") from None


def survey(path: str, device: str) -> Survey:
    """What a file holds of a device; every line is checked. Raises RecordingError."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        raise RecordingError(f"{path}: no such file{looked_for(path)}") from None
    except (OSError, ValueError) as error:
        raise RecordingError(f"{path}: {(getattr(error, 'strerror', None) or str(error)).lower()}") from None
    surveys = _surveys(path, found.st_mtime_ns, found.st_size)
    if device not in surveys:
        there = ", ".join(sorted(surveys)[:8]) or "no request at all"
        raise RecordingError(f"{path}: no line is of device {device}; there are: {there}")
    return surveys[device]


@lru_cache(maxsize=4)
def _surveys(path: str, changed_ns: int, size: int) -> Mapping[str, Survey]:
    """That of each device; a file that has changed is read again."""
    lowest: dict[str, int] = {}
    highest: dict[str, int] = {}
    counts: dict[str, int] = {}
    first = -1
    for time_ps, device, iova, length, _ in read(path):
        if first < 0:
            first = time_ps
        counts[device] = counts.get(device, 0) + 1
        if iova < lowest.setdefault(device, iova):
            lowest[device] = iova
        if iova + length > highest.get(device, 0):
            highest[device] = iova + length
    bases = {device: iova & -PAGE for device, iova in lowest.items()}
    return {device: Survey(first, base, highest[device] - base, counts[device]) for device, base in bases.items()}


def _rows(path: str, file: TextIO) -> Iterator[Recorded]:
    lines = csv.reader(file, strict=True)

    def wrong(column: str, says: str) -> RecordingError:
        return RecordingError(": ".join(filter(None, [f"{path}:{max(1, lines.line_num)}", column, says])))

    try:
        names = [name.strip() for name in next(lines, [])]
        unit, order = _columns(names, wrong)
        at, of, where, large, how = order
        previous, before = -1, ""
        for fields in lines:
            if not fields:
                continue
            if len(fields) != len(names):
                raise wrong("", f"{len(fields)} fields, and the first line has {len(names)}: {', '.join(names)}")
            time_ps = _time(fields[at], unit, names[at], wrong)
            if time_ps < previous:
                raise wrong(names[at], f"{fields[at]} is before {before} of the line above; sort the lines by time")
            previous, before = time_ps, fields[at]
            iova = _number(fields[where], "iova", 0, (1 << 64) - 1, wrong)
            size = _number(fields[large], "size", 1, LARGEST, wrong)
            write = WRITES.get(fields[how].strip().lower())
            if write is None:
                raise wrong("access", f"{fields[how]!r} is neither read nor write")
            yield Recorded(time_ps, fields[of].strip(), iova, size, write)
    except csv.Error as error:
        raise wrong("", str(error)) from None


def _columns(names: list[str], wrong: Callable[[str, str], RecordingError]) -> tuple[int, list[int]]:
    """Picoseconds of the unit of times, and where the time and each of `COLUMNS` stand."""
    times = [name for name in names if name in TIMES]
    unknown = [name for name in names if name not in TIMES and name not in COLUMNS]
    missing = [name for name in COLUMNS if name not in names]
    if unknown or missing or len(times) != 1 or len(names) != len(COLUMNS) + 1:
        raise wrong(
            "", f"the first line is {','.join(names)!r}, and has to name the columns: time_ns,{','.join(COLUMNS)}"
        )
    return TIMES[times[0]], [names.index(name) for name in (times[0], *COLUMNS)]


def _time(text: str, unit: int, column: str, wrong: Callable[[str, str], RecordingError]) -> int:
    try:
        return int(text) * unit if text.isdecimal() else _exact(text, unit)
    except (InvalidOperation, ValueError, OverflowError):
        raise wrong(column, f"{text!r} is not a time, such as 1250 or 12.5, of whole picoseconds") from None


def _exact(text: str, unit: int) -> int:
    found = Decimal(text) * unit
    if found < 0 or found != int(found):
        raise ValueError(text)
    return int(found)


def _number(text: str, column: str, least: int, most: int, wrong: Callable[[str, str], RecordingError]) -> int:
    try:
        number = int(text, 0 if text.strip()[:2].lower() == "0x" else 10)
    except ValueError:
        number = -1
    if not least <= number <= most:
        raise wrong(column, f"{text!r} is not an integer from {least} to {most:#x}")
    return number
