"""The table of an exploration: by topology, each driver with what was found in it, or how far it is clean."""

from __future__ import annotations

import io
import shlex
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import TextIO

from rich.console import Console
from rich.text import Text

from cosim.study.explore.row import Found, Row
from cosim.study.report.actions_list import held_in_c
from cosim.study.report.page import Page, words
from cosim.study.report.terminal import console_on
from cosim.sw.driver.compiled import without_folders

NAMED = 3
"""As many drivers that were found are named behind one that is clean, and signatures behind one that was not found."""
SHOWN_MESSAGES = 3
WIDEST_DRIVER = 34
"""Characters of a driver's name that still stand in the first column, where a line has twice as many."""
NARROW = 60
"""In a line of fewer characters there is no room beside the names of drivers: what is said of one stands below it."""


def print_rows(rows: Sequence[Row], file: TextIO | None = None, *, more: bool = False) -> None:
    """Print the table to `file` (standard output if not given), and an empty line if there will be `more`."""
    console = console_on(file)
    for line in table(rows, Page(min(110, max(40, console.width)))):
        console.print(line, soft_wrap=True)
    if more:
        console.print()


def as_text(rows: Sequence[Row], width: int = 80) -> str:
    """The table as plain text."""
    text = io.StringIO()
    console = Console(file=text, width=width, color_system=None, force_terminal=False, markup=False, highlight=False)
    for line in table(rows, Page(width)):
        console.print(line, soft_wrap=True)
    return text.getvalue()


def table(rows: Sequence[Row], page: Page) -> Iterable[Text]:
    """Each topology under its heading."""
    for number, (_, group) in enumerate(groupby(rows, key=lambda row: row.name)):
        if number:
            yield Text("")
        yield from _topology(list(group), page)


def _topology(rows: list[Row], page: Page) -> Iterable[Text]:
    first = rows[0]
    about = f" ({first.remark})" if first.remark else ""
    reached = f", reached by {', '.join(first.reached_by)}" if first.reached_by else ""
    yield from words(f"{first.name}{about}{reached}", page, "bold", "", "  ")
    yield from words(f"{_bound(first)}", page, "dim", "  ", "  ")
    widest = min(WIDEST_DRIVER, page.width // 2 - 4) if page.width >= NARROW else 0
    names = _names([row.driver for row in rows], page.width - 2)
    room = min(widest, max(map(len, names.values()))) + 2
    for row in rows:
        indent, name = " " * (2 + room), names[row.driver]
        begins = f"  {name:{room}}"
        if len(name) > widest:
            yield Text(f"  {name}")
            begins = indent
        style = "bold red" if not row.as_wanted else "yellow" if row.found is None and row.stopped else "green"
        yield from words(_verdict(row), page, style, begins, indent)
        for note in _notes(row, rows, names):
            yield from words(note, page, "", f"{indent}  ", f"{indent}  ")
        if row.found is not None and not row.as_wanted:
            yield from _unwanted(row.found, page, indent)


def _names(drivers: Sequence[str], width: int) -> dict[str, str]:
    """What drivers are called: objects without their folders where these have no room and make no difference."""
    short = {name: without_folders(name) for name in drivers}
    if max(map(len, drivers)) <= width or len(set(short.values())) < len(short):
        return {name: name for name in drivers}
    return short


def _unwanted(found: Found, page: Page, indent: str) -> Iterable[Text]:
    """What was seen that should not have been, in words, and how to see it again."""
    for message in found.messages[:SHOWN_MESSAGES]:
        for line in message.splitlines():
            yield from words(line, page, "", "    ", "      ")
    yield from held_in_c(found.held, page, "    ")
    if found.path:
        yield Text(f"    to see it: cosim replay --picture {shlex.quote(found.path)}")
    yield Text(f"    to run it: {found.point.command}")


def _bound(row: Row) -> str:
    cells = f"{row.cells} combinations of hold and starts" if row.cells > 1 else "one hold, one start"
    drawn = {"pct": ", drawn of those in conflict", "random": ", drawn of all"}.get(row.strategy, "")
    return f"{row.strategy}, at most {row.deviations} deviation{'s' * (row.deviations != 1)}{drawn}; {cells}"


def _verdict(row: Row) -> str:
    found = row.found
    if found is not None:
        missing = " and should be clean" if row.wanted == "" else ""
        return f"found after {found.n:,}, k={found.deviations}{missing}: {found.sign}"
    if row.nothing:
        return "nothing to explore: no effect is in conflict with another thread's, device's or IOMMU's"
    should = f"not found, and should be ({row.wanted}): " if row.wanted else ""
    whole = row.strategy == "bounded" and not row.stopped
    return f"{should or ('clean: ' if whole else 'nothing found: ')}{_extent(row)}"


def _extent(row: Row) -> str:
    """How far a search without a find has come."""
    runs = _count(row.runs, "schedule")
    if row.strategy != "bounded":
        return _count(row.runs, "drawn schedule")
    if not row.stopped and row.complete >= row.deviations:
        kept = " that were not skipped" if row.skipped else ""
        all_of_them = f"all {runs}" if row.runs > 1 else "the only schedule"
        return f"{all_of_them}{kept} of k <= {row.deviations}"
    if row.stopped == "late":
        return f"{runs}, {row.late:,} of which came to no end"
    ends = {"time": "the time was over", "schedules": "as many were asked for", "interrupted": "interrupted"}
    part = f"all of k <= {row.complete}" if row.complete >= 0 else "not all unperturbed runs"
    level = f", {row.by_level[-1]:,} of {row.next_level:,} of k = {len(row.by_level) - 1}" if row.next_level else ""
    return f"{runs}, {part}{level} ({ends.get(row.stopped, row.stopped)})"


def _notes(row: Row, rows: list[Row], names: Mapping[str, str]) -> Iterable[str]:
    if row.found is None:
        yield from _inactive(row)
        if row.others:
            shown = [f"{sign} (after {hit.n:,})" for sign, hit in row.others.items()]
            more = [f"and {len(shown) - NAMED} more"] if len(shown) > NAMED else []
            yield f"it shows instead: {'; '.join([*shown[:NAMED], *more])}"
        if not row.nothing and row.complete >= 0:
            yield f"{_span(row.actions, 'action')}, {_span(row.conflicts)} in conflict"
            if not row.mutants and not _seen(row):
                yield _proof(row, rows, names)
        if row.mutants:
            yield from _mutants(row.mutants)
    if row.skipped:
        yield f"skipped what follows {_count(row.skipped, 'schedule')} whose partial order had been seen"
    elif row.orders:
        yield _count(row.orders, "partial order")
    if row.alike and not row.stopped:
        yield f"{row.alike} of the combinations of starts make no difference: the run is that of another one"
    if row.late:
        yield f"{row.late:,} took longer than a run may on this computer: --host-limit gives more time"
    elif row.unknown and row.stopped in _MORE:
        unperturbed = "its unperturbed run" if row.cells == 1 else f"all {row.cells:,} unperturbed runs"
        yield f"nothing is known of it without {unperturbed}: {_MORE[row.stopped]}"
    if row.idle and row.runs:
        yield f"no run came to {', '.join(row.idle)}, which was taken out"
    if row.unreached:
        yield f"no run came to the step of {len(row.unreached)} more: {', '.join(row.unreached)}"
    if row.lost:
        yield f"{_count(row.lost, 'run')} died, or raised an exception"


def _seen(row: Row) -> bool:
    """Whether a search has seen something go wrong, be it what it looked for or not; a crash is nothing that it saw."""
    found = [*([row.found] if row.found else ()), *row.others.values()]
    return not all(one.crashed for one in found)


def _inactive(row: Row) -> Iterable[str]:
    """Which threads had no part in what was searched."""
    for name, one in row.inactive.items():
        where = f"in {one.cells} of {row.cells} combinations " if row.cells > 1 else ""
        yield f"? {where}{name} {one.why}"


def _proof(row: Row, rows: list[Row], names: Mapping[str, str]) -> str:
    """What shows that a search which found nothing could have."""
    found = [other for other in rows if other is not row and _seen(other)]
    if len(found) > NAMED:
        own = [other for other in found if other.driver.startswith(f"{row.driver} ")]
        of_them = f", {len(own)} of them {row.driver} with a change" if own else ""
        return f"the same search finds {len(found)} other drivers{of_them}"
    if found:
        return f"the same search finds {', '.join(names[other.driver] for other in found)}"
    left = row.defects - sum(bool(other.wanted) for other in rows)
    if row.chosen_by and left > 0:
        return f"not searched: {_count(left, 'driver')} that the file names to be found; leave {row.chosen_by} out"
    if not row.with_mutants:
        return f"{_BLIND}; --mutants takes steps out of the driver"
    if row.stopped:
        return f"{_BLIND}; --mutants takes no step out of a driver whose search has not come to its end"
    return f"{_BLIND}; --mutants finds no step that it could take out of the driver"


def _mutants(mutants: Sequence[Row]) -> Iterable[str]:
    """Which of the drivers with a step less the same search finds, and which not."""
    seen = [f"{mutant.step} ({mutant.found.n:,})" for mutant in mutants if mutant.found and not mutant.found.crashed]
    of_them = f"of {_count(len(mutants), 'driver')} with a step less it finds"
    yield f"{of_them} {len(seen)}: {', '.join(seen)}" if seen else f"{of_them} none: {_BLIND}"
    missed = [mutant for mutant in mutants if mutant.found is None]
    for said, steps in (
        ("not found", [mutant.step for mutant in missed if not mutant.stopped]),
        ("not searched to the end", [mutant.step for mutant in missed if mutant.stopped]),
        ("died, or raised an exception", [one.step for one in mutants if one.found and one.found.crashed]),
    ):
        if steps:
            yield f"{said}: {', '.join(steps)}"


_MORE = {"time": "--time gives more time", "schedules": "--schedules allows more"}
"""What lets a search make more runs, by what has stopped it."""
_BLIND = "nothing shows that this search could have found anything"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"


def _span(numbers: tuple[int, int], noun: str = "") -> str:
    low, high = numbers
    text = f"{low:,}" if low == high else f"{low:,} to {high:,}"
    return f"{text} {noun}{'s' * (high != 1)}" if noun else text
