"""The table of a sweep: a row for each point, with each mean and its interval."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import inf, isfinite
from typing import TextIO

from rich.text import Text

from cosim.study.report.columns import Columns
from cosim.study.report.page import Page, words
from cosim.study.report.terminal import console_on
from cosim.study.results.estimate import Estimate, Mean
from cosim.units.time_names import is_time

MOST_METRICS = 6
"""As many columns of numbers, beside those that somebody has asked for by name."""
NOT_MEASURED = "-"
"""What stands for a mean that there is none of."""
OVERLOADED = "^"
"""What stands behind a number of a device that is overloaded."""
GROWS = f"{OVERLOADED} overloaded: it grows with run.until, so that there is no mean of it"
TIME = ("_ps", 1e-3, "ns")
UNITS = (TIME, ("_gbps", 1.0, "Gb/s"), ("_rate", 100.0, "%"), ("utilisation", 100.0, "%"))
"""What numbers whose names end so are multiplied with, and the unit that they are in then."""


def print_table(estimates: Sequence[Estimate], metrics: Sequence[str] = (), file: TextIO | None = None) -> None:
    """Print the table to `file` (standard output if not given); `metrics` are names and globs that were asked for."""
    console = console_on(file)
    for line in table(estimates, Page(max(40, console.width)), metrics):
        console.print(line, soft_wrap=True)


def table(estimates: Sequence[Estimate], page: Page, metrics: Sequence[str] = ()) -> Iterator[Text]:
    """The lines of the table, and what of it is not known surely.

    Where the page is too narrow for all columns, numbers stand in blocks one below the other, each with its axes.
    """
    if not estimates:
        return
    paths = list(dict.fromkeys(path for each in estimates for path in each.settings))
    known = list(dict.fromkeys(name for each in estimates for name in each.means))
    names = [name for number, name in enumerate(known) if number < MOST_METRICS or name in metrics]
    blocks, left_out = [_columns(estimates, paths, names, page)], ""
    if blocks[0].folds(page.width):
        apart = _apart(estimates, paths)
        blocks, left_out = _blocks(estimates, apart, names, page), _left_out(estimates, paths, apart)
    for number, block in enumerate(blocks):
        if number:
            yield Text()
        yield from block.lines(page.width)
    if left_out:
        yield from words(left_out, page)
    if len(known) > len(names):
        yield from words(f"and {len(known) - len(names)} more numbers, which --json and --csv have", page)
    for remark in remarks(estimates, names):
        yield from words(remark, page)
    if any(not mean.overloaded for each in estimates for mean in each.means.values()):
        yield from words(_note(estimates), page)
    if len({each.point for each in estimates}) < len(estimates):
        yield from words("rows of equal configurations share their runs", page)


def remarks(estimates: Sequence[Estimate], names: Sequence[str]) -> Iterator[str]:
    """What marks in the cells of these numbers mean, if there are any."""
    if any(name not in each.means for each in estimates for name in names):
        yield f"{NOT_MEASURED} is not measured: no run of this point that ended well has this number"
    if any(_of_few(each.means.get(name), each.good) for each in estimates for name in names):
        yield "a mean with (N runs) is of so many: the others that ended well have no such number"
    if any(mean.overloaded for each in estimates for name, mean in each.means.items() if name in names):
        yield GROWS


def _blocks(estimates: Sequence[Estimate], paths: Sequence[str], names: Sequence[str], page: Page) -> list[Columns]:
    """The table as few tables that fit, if that is possible: with as many of the numbers as there is room for."""
    blocks: list[Columns] = []
    block: list[str] = []
    for name in names:
        wider = _columns(estimates, paths, [*block, name], page, first=len(blocks) <= 1)
        if block and not wider.folds(page.width):
            block.append(name)
            blocks[-1] = wider
        else:
            block = [name]
            blocks.append(_columns(estimates, paths, block, page, first=not blocks))
    return blocks or [_columns(estimates, paths, names, page)]


def _columns(
    estimates: Sequence[Estimate], paths: Sequence[str], names: Sequence[str], page: Page, *, first: bool = True
) -> Columns:
    """A block of the table; the `first` one says how many runs there are, and why some have failed."""
    columns = Columns((*short(paths), *(["runs"] if first else []), *(heading(name) for name in names)))
    for each in estimates:
        runs = f"{each.good} of {each.replications}" if each.failed else f"{each.good}"
        columns.add(
            *(each.settings.get(path, "-") for path in paths),
            *([runs] if first else []),
            *(spelled(name, each.means.get(name), each.good) for name in names),
            below=words(each.reason, page, "", "  ", "  ") if first and each.failed else [],
        )
    return columns


def _apart(estimates: Sequence[Estimate], paths: Sequence[str]) -> list[str]:
    """Those of `paths` that tell rows apart, or one: none that is the same in all rows, or goes with another one."""
    found: list[str] = []
    for path in paths:
        if len({each.settings.get(path) for each in estimates}) > 1 and not _goes_with(estimates, path, found):
            found.append(path)
    return found or list(paths[:1])


def _goes_with(estimates: Sequence[Estimate], path: str, others: Sequence[str]) -> str | None:
    """Which other axis says what `path` is, and is said by it, as axes of one --zip do."""
    for other in others:
        pairs = {(each.settings.get(other), each.settings.get(path)) for each in estimates}
        if len(pairs) == len({one for one, _ in pairs}) == len({two for _, two in pairs}):
            return other
    return None


def _left_out(estimates: Sequence[Estimate], paths: Sequence[str], apart: Sequence[str]) -> str:
    """What there is no column of."""
    names = dict(zip(paths, short(paths), strict=True))
    said = []
    for path in paths:
        if path not in apart:
            other = _goes_with(estimates, path, apart) if len(estimates) > 1 else None
            value = estimates[0].settings.get(path, "-")
            said.append(f"{names[path]} goes with {names[other]}" if other else f"{names[path]} is {value}")
    return f"not shown: {', '.join(said)}" if said else ""


def short(paths: Sequence[str]) -> list[str]:
    """The last names of paths, or as much of them as tells them apart."""
    return [next(end for end in _ends(path) if _only(end, paths)) for path in paths]


def _ends(path: str) -> Iterator[str]:
    parts = path.split(".")
    return (".".join(parts[-count:]) for count in range(1, len(parts) + 1))


def _only(end: str, paths: Sequence[str]) -> bool:
    return end in paths or sum(path.endswith(f".{end}") for path in paths) == 1


def heading(name: str) -> str:
    """A number's name and unit: ``gpu0.read.mean ns``."""
    ending, _, unit = _unit(name)
    plain = name.removesuffix(ending) if ending == "_ps" else name
    return f"{plain.removesuffix('_gbps')} {unit}".strip()


def spelled(name: str, mean: Mean | None, runs: int = 0) -> str:
    """A mean and half its interval, with as many digits as the interval has any meaning in.

    Where `runs` have ended well and fewer have this number, it says how many.
    """
    if mean is None:
        return NOT_MEASURED
    of = f" ({mean.count} run{'s' * (mean.count != 1)})" if _of_few(mean, runs) else ""
    _, factor, _ = _unit(name)
    value, half = mean.value * factor, mean.half * factor
    if not isfinite(half):
        return f"{value:,.{_decimals(value, 0.0)}f}{f' {OVERLOADED}' * mean.overloaded}{of}"
    decimals = _decimals(value, half)
    return f"{value:,.{decimals}f} ± {half:,.{decimals}f}{of}"


def _of_few(mean: Mean | None, runs: int) -> bool:
    return mean is not None and mean.count < runs


def factor_of(name: str) -> float:
    """What a number is multiplied with to be in the unit of its heading."""
    return _unit(name)[1]


def _decimals(value: float, half: float) -> int:
    """So that two digits of the interval are seen, or four of the value."""
    of, digits = (half, 2) if half else (abs(value), 4)
    for decimals in range(5):
        if of * 10**decimals >= 10 ** (digits - 1):
            return decimals
    return 1 if not of else 4


def _unit(name: str) -> tuple[str, float, str]:
    if is_time(name):
        return TIME
    return next((unit for unit in UNITS if name.endswith(unit[0])), ("", 1.0, ""))


def _note(estimates: Sequence[Estimate]) -> str:
    means = [mean for each in estimates for mean in each.means.values() if not mean.overloaded]
    unknown = sum(mean.half == inf for mean in means)
    known = "± is half of the 95 % interval of the mean"
    if unknown == len(means):
        return "no intervals: each point has one run, which cannot tell; --reps 5 makes more"
    if unknown:
        return f"{known}; where there is none, one run cannot tell: --reps 5 makes more"
    return known
