"""Which line of the driver an instruction comes from, if its own line is one of a header that was inlined there."""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any, NamedTuple

HEADER = ".h"
FOREIGN = "include"
"""A folder of headers that are not the driver's own."""

Spot = tuple[str, int]
"""A file with its folder, and a line."""


SENDS = ("_send", "_sync")
"""Ends of the names of functions by which a driver sends commands, and waits for what it has sent."""


class Call(NamedTuple):
    """Where a function was inlined: its addresses, where it was called, how deep it lies in others, and its name."""

    start: int
    end: int
    caller: Spot
    depth: int
    name: str


class Told(NamedTuple):
    """What a row of a line table is told as: its spot; and where commands are sent from, if a sender is inlined."""

    address: int
    spot: Spot
    sent: Spot | None


def calls(info: Any, unit: Any, files: Sequence[str]) -> Iterator[Call]:
    """The inlined calls of a compilation unit; `files` are those that its line table numbers, from 0."""
    ranges, base = info.range_lists(), 0
    top = unit.get_top_DIE()
    if "DW_AT_low_pc" in top.attributes:
        base = top.attributes["DW_AT_low_pc"].value
    stack = [(die, 0) for die in top.iter_children() if die.tag == "DW_TAG_subprogram" and _has_code(die)]
    while stack:
        die, depth = stack.pop()
        if die.tag == "DW_TAG_inlined_subroutine" and "DW_AT_call_line" in die.attributes:
            number = die.attributes["DW_AT_call_file"].value
            caller = (files[number] if number < len(files) else "", die.attributes["DW_AT_call_line"].value)
            depth += 1
            for start, end in _spans(die, ranges, unit, base):
                yield Call(start, end, caller, depth, _name(die))
        stack += [
            (child, depth)
            for child in die.iter_children()
            if child.tag in ("DW_TAG_inlined_subroutine", "DW_TAG_lexical_block")
        ]


def _has_code(die: Any) -> bool:
    return "DW_AT_low_pc" in die.attributes or "DW_AT_ranges" in die.attributes


def _name(die: Any) -> str:
    of = die.get_DIE_from_attribute("DW_AT_abstract_origin")
    name = of.attributes.get("DW_AT_name")
    return name.value.decode() if name is not None else ""


def sends(name: str) -> bool:
    """Whether a function of this name sends commands; a compiler adds to names behind a dot."""
    return name.partition(".")[0].endswith(SENDS)


def _spans(die: Any, ranges: Any, unit: Any, base: int) -> Iterator[tuple[int, int]]:
    """The addresses of a DIE, as beginnings and ends."""
    attributes = die.attributes
    if "DW_AT_ranges" in attributes:
        if ranges is None:
            return
        for entry in ranges.get_range_list_at_offset(attributes["DW_AT_ranges"].value, cu=unit):
            if hasattr(entry, "base_address"):
                base = entry.base_address
            elif entry.begin_offset < entry.end_offset:
                offset = 0 if getattr(entry, "is_absolute", False) else base
                yield entry.begin_offset + offset, entry.end_offset + offset
    elif "DW_AT_low_pc" in attributes:
        start, high = attributes["DW_AT_low_pc"].value, attributes["DW_AT_high_pc"]
        yield start, high.value if high.form == "DW_FORM_addr" else start + high.value


def told(own: Spot, callers: Sequence[Spot]) -> Spot:
    """The spot to tell of an instruction: the innermost that is not in a header, else not in one of `FOREIGN`.

    `callers` are where its functions were inlined, the innermost first. A driver may be made of headers alone.
    """
    spots = [own, *callers]
    plain = (spot for spot in spots if spot[0] and not spot[0].endswith(HEADER))
    near = (spot for spot in spots if spot[0] and FOREIGN not in PurePosixPath(spot[0]).parts[:-1])
    return next(plain, None) or next(near, own)


def with_callers(rows: Sequence[tuple[int, Spot]], inlined: Sequence[Call]) -> Iterator[Told]:
    """The rows of a line table, by address, as they are told; rows are added where an inlined call begins or ends."""
    starts = [address for address, _ in rows]
    begins = sorted(inlined, key=lambda call: call.start)
    active: list[Call] = []
    upcoming = 0
    for address in sorted({*starts, *(edge for call in inlined for edge in (call.start, call.end))}):
        while upcoming < len(begins) and begins[upcoming].start <= address:
            active.append(begins[upcoming])
            upcoming += 1
        active = [call for call in active if call.end > address]
        index = bisect.bisect_right(starts, address) - 1
        if index < 0:
            continue
        own = rows[index][1]
        around = sorted(active, key=lambda call: -call.depth) if own[0] else []
        senders = [call.caller for call in around if sends(call.name)]
        yield Told(address, told(own, [call.caller for call in around]), senders[-1] if senders else None)
