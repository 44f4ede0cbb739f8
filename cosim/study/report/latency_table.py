"""The latency tables of a report: for each operation its distribution, and parts that add up to its mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.text import Text

from cosim.study.report.columns import Columns
from cosim.study.report.families import SHOWN, grouped, more
from cosim.study.report.page import Page, flow, listed, words
from cosim.study.report.parts import parts_of
from cosim.study.report.rounding import Unit, own_unit, unit_for
from cosim.study.run.latency import Latency, share_out
from cosim.study.run.result import Result
from cosim.study.run.uses import is_access, percent
from cosim.system.number_names import QUANTILES

TIMES = ("mean_ps", *QUANTILES, "max_ps")
TITLES = ("count", "mean", "p50", "p95", "p99", "p99.9", "max")

INNER = frozenset({"iotlb_inval", "cmd_sync"})
"""Calls that others make."""

UNLIKE = 0.15
"""Two latencies are made of different things if a part's share differs by more than this."""


def accesses(result: Result, page: Page) -> list[Text]:
    """The latency of each master's requests."""
    found = {name: latency for name, latency in result.latencies.items() if is_access(name)}
    return _latencies("DMA requests", found, page)


def calls(result: Result, page: Page) -> list[Text]:
    """The latency of each operation of the driver and the DMA API, those first that took most time in all."""
    found = {name: latency for name, latency in result.latencies.items() if not is_access(name)}
    by_time = sorted(found, key=lambda name: -found[name].count * found[name].mean_ps)
    lines = _latencies("Driver calls", {name: found[name] for name in by_time}, page)
    if inner := sorted({name.rpartition(".")[2] for name in found} & INNER):
        are, them = ("are", "them") if inner[1:] else ("is", "it")
        text = f"{' and '.join(inner)} {are} counted in the calls that make {them}, too"
        lines += words(text, page, "dim", "  ", "  ")
    return lines


def merged(latencies: Sequence[Latency]) -> Latency:
    """Several distributions as one: mean, parts and maximum are exact, quantiles are bounds (the largest), no tail."""
    count = sum(latency.count for latency in latencies)
    sums: dict[str, int] = {}
    for latency in latencies:
        for part, ps in latency.parts.items():
            sums[part] = sums.get(part, 0) + ps * latency.count
    mean, parts = share_out(sums, count)
    largest = {name: max(getattr(latency, name) for latency in latencies) for name in TIMES if name != "mean_ps"}
    error = max(latency.relative_error for latency in latencies)
    return Latency(count=count, mean_ps=mean, parts=parts, tail={}, relative_error=error, **largest)


def _latencies(title: str, latencies: Mapping[str, Latency], page: Page) -> list[Text]:
    measured = {name: latency for name, latency in latencies.items() if latency.count}
    if not measured:
        return []
    groups = grouped(measured)
    times = [getattr(latency, time) for latency in measured.values() for time in ("mean_ps", "p50_ps", "max_ps")]
    unit = unit_for(times)
    table = Columns((f"{title}, {unit.name}" if unit else title, *TITLES))
    for family in groups[:SHOWN]:
        if len(family.members) == 1:
            _row(table, family.label, measured[family.members[0]], unit, page)
            continue
        together = merged([measured[name] for name in family.members])
        _row(table, family.label, together, unit, page, bound=_most(page))
        name = max(family.members, key=lambda name: _slowness(measured[name]))
        worst = measured[name]
        if len(groups) <= SHOWN // 2:
            below = _parts(worst, unit, page) if _unlike(worst.parts, together.parts) else []
            below += _tail(worst, page)
            table.add(f"worst: {name}", f"{worst.count:,}", *_times(worst, unit), below=below)
    lines = table.lines(page.width)
    if any(latency.relative_error for latency in measured.values()):
        error = max(latency.relative_error for latency in measured.values())
        lines += words(
            f"~ is right to {100 * error:.1f} %: there are more than a million samples", page, "dim", "  ", "  "
        )
    if any(len(family.members) > 1 for family in groups):
        lines += words(
            f"{_most(page)} is the largest among them; count, mean, parts and max are exact", page, "dim", "  ", "  "
        )
    return [*lines, *more(len(groups))]


def _row(table: Columns, name: str, latency: Latency, unit: Unit | None, page: Page, bound: str = "") -> None:
    below = [*_parts(latency, unit, page), *_tail(latency, page)]
    table.add(name, f"{latency.count:,}", *_times(latency, unit, bound), below=below)


def _times(latency: Latency, unit: Unit | None, bound: str = "") -> list[str]:
    cells = []
    for time in TIMES:
        ps = getattr(latency, time)
        text = unit.show(ps) if unit else f"{own_unit(ps).show(ps)} {own_unit(ps).name}"
        about = "~" if latency.relative_error and not bound else ""
        cells.append(bound + about + text if time.startswith("p") else text)
    return cells


def _parts(latency: Latency, unit: Unit | None, page: Page) -> list[Text]:
    return parts_of(latency.mean_ps, latency.parts, unit, page)


def _tail(latency: Latency, page: Page) -> list[Text]:
    """What the slowest samples are made of, if that is something else."""
    if not _unlike(latency.tail, latency.parts):
        return []
    total = sum(latency.tail.values())
    shares = {part: ps / total for part, ps in latency.tail.items()}
    largest = sorted(shares, key=lambda part: -shares[part])[:4]
    pieces = listed(f"{part} {percent(shares[part])}" for part in largest if shares[part] >= 0.01)
    return flow([Text(piece) for piece in pieces], page.width, "  from p99 on: ", "    ", "dim")


def _unlike(one: Mapping[str, int], other: Mapping[str, int]) -> bool:
    """Whether a part's share of one sum is much larger or smaller than its share of another."""
    first, second = sum(one.values()), sum(other.values())
    if not first or not second:
        return False
    return any(abs(one.get(part, 0) / first - other.get(part, 0) / second) > UNLIKE for part in {**one, **other})


def _most(page: Page) -> str:
    return "≤" if page.unicode else "<="


def _slowness(latency: Latency) -> tuple[int, ...]:
    """Which of several is the worst: of few samples several may have one p99."""
    return latency.p99_ps, latency.p999_ps, latency.max_ps, latency.mean_ps
