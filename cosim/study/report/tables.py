"""The tables of a report: each takes a result and gives lines, or none if there is nothing to say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rich.text import Text

from cosim.study.report.columns import MANY, Columns, Family, bar, families, flow
from cosim.study.report.page import SHOWN, Page, grouped, listed, more
from cosim.study.run.limit import SATURATED, percent, uses
from cosim.study.run.result import Result
from cosim.units.quantities import format_size, format_time

NO_KINDS = frozenset(f"commands.{name}" for name in ("total", "utilisation", "busy_ps", "stalled_ps"))
"""What is counted of a command consumer besides the commands of each kind."""

HARDLY = 0.01
"""A cache with less than this fraction of the busiest one's look-ups is not shown."""


def masters(result: Result, page: Page) -> list[Text]:
    """What each master got done."""
    scalars = result.scalars
    table = Columns(("Masters", "reads", "writes", "Gb/s read", "written", "in flight", "faults"))
    groups = grouped(name.removesuffix(".bytes_read") for name in scalars if name.endswith(".bytes_read"))
    for family in groups[:SHOWN]:
        table.add(
            family.label,
            *(f"{_sum(scalars, family, counter):,}" for counter in ("reads", "writes")),
            *(f"{_sum(scalars, family, rate):,.2f}" for rate in ("read_gbps", "write_gbps", "in_flight_mean")),
            f"{_sum(scalars, family, 'faults'):,}",
        )
    return [*table.lines(page.width), *more(len(groups))] if table else []


def iommus(result: Result, page: Page) -> list[Text]:
    """A block for each IOMMU: caches, walks, commands, queues."""
    names = [name.removesuffix(".walks") for name in result.scalars if name.endswith(".walks")]
    lines = []
    for name in names[:MANY]:
        own = {
            key.removeprefix(f"{name}."): value for key, value in result.scalars.items() if key.startswith(f"{name}.")
        }
        lines.append(Text(name, "bold"))
        for title, pieces in (
            ("caches", _caches(own)),
            ("walks", _walks(own)),
            ("commands", _commands(own)),
            ("queues", _queues(own)),
        ):
            found = [Text(piece) for piece in pieces]
            lines += [] if not found else flow(found, page.width, f"  {title:<10}", " " * 12)
    return [*lines, *more(len(names), MANY)]


def busy(result: Result, page: Page) -> list[Text]:
    """How busy each resource was that was used at all, the busiest first; many alike as the busiest of them."""
    fraction = {use.of: use.fraction for use in uses(result.scalars) if use.fraction}
    rows = []
    for family in families(fraction):
        most = max(family.members, key=lambda name: fraction[name])
        rows.append((family.label if family.members == (most,) else f"{most} (most of {len(family.members)})", most))
    rows.sort(key=lambda row: -fraction[row[1]])
    width = max((len(label) for label, _ in rows[:SHOWN]), default=0)
    lines = [Text("Busy", "bold")] if rows else []
    for label, name in rows[:SHOWN]:
        use = fraction[name]
        drawn = bar(use, max(0, min(40, page.width - width - 12)), page.unicode)
        style = "red" if use > SATURATED else "cyan"
        lines.append(Text.assemble(f"  {label:<{width}} {percent(use):>7}  ", (drawn, style)))
    return [*lines, *more(len(rows))]


def faults(result: Result, page: Page) -> list[Text]:
    """Faults by device and cause."""
    lines = [Text("Faults", "bold")] if result.faults else []
    groups = grouped(result.faults)
    for family in groups[:SHOWN]:
        causes: dict[str, int] = {}
        for device in family.members:
            for cause, count in result.faults[device].items():
                causes[cause] = causes.get(cause, 0) + count
        pieces = [Text(piece) for piece in listed(f"{count:,} x {cause}" for cause, count in causes.items())]
        lines += flow(pieces, page.width, f"  {family.label}: ", "      ")
    return [*lines, *more(len(groups))]


def pages(result: Result, page: Page) -> list[Text]:
    """What the modelled kernel has allocated at the end, by purpose, and what leaked of it."""
    prefix = "kernel.pages."
    purposes = {name.removeprefix(prefix): int(n) for name, n in result.scalars.items() if name.startswith(prefix)}
    objects = sum(size for purpose, size in purposes.items() if purpose[:1].isupper())
    sizes = [(purpose, size) for purpose, size in purposes.items() if not purpose[:1].isupper()]
    sizes = sorted(sizes, key=lambda item: -item[1]) + ([("objects", objects)] if objects else [])
    pieces = [f"{purpose} {format_size(size)}" for purpose, size in sizes if size]
    leaked = result.scalars.get("kernel.leaked_pages")
    if leaked is not None:
        pieces.append(f"leaked pages {leaked:,}")
    if not pieces:
        return []
    lines = flow([Text(piece) for piece in listed(pieces)], page.width, "Kernel memory: ", "  ")
    lines[0].stylize("bold red" if leaked else "bold", 0, len("Kernel memory"))
    return lines


def _caches(own: Mapping[str, int | float]) -> Iterator[str]:
    names = [name.removesuffix(".hits") for name in own if name.endswith(".hits")]
    lookups = {name: own[f"{name}.hits"] + own.get(f"{name}.misses", 0) for name in names}
    least = max(lookups.values(), default=0) * HARDLY
    used = sorted((name for name in names if lookups[name] > least), key=lambda name: (-lookups[name], name))
    texts = [f"{name} hit {percent(own[f'{name}.hits'] / lookups[name], 1)} of {lookups[name]:,}" for name in used]
    return listed(texts or ["not used"])


def _walks(own: Mapping[str, int | float]) -> Iterator[str]:
    texts = []
    for what, walks, reads in (("page table", "walks", "walk_reads"), ("directory", "ddt_walks", "ddt_reads")):
        if count := own.get(walks, 0):
            texts.append(f"{what} {count:,} of {own.get(reads, 0) / count:.2f} reads")
    for what, counter in (
        ("waits for another's walk", "merged"),
        ("overtaken by an invalidation", "overtaken"),
        ("updates of A and D", "ad_updates"),
    ):
        if count := own.get(counter, 0):
            texts.append(f"{count:,} {what}")
    return listed(texts or ["none"])


def _commands(own: Mapping[str, int | float]) -> Iterator[str]:
    kinds = {
        name.removeprefix("commands."): count
        for name, count in own.items()
        if name.startswith("commands.") and name not in NO_KINDS and count
    }
    yield f"{own.get('commands.total', 0):,} "
    for index, name in enumerate(sorted(kinds, key=lambda name: -kinds[name])):
        yield f"{'+' if index else '='} {name} {kinds[name]:,} "
    if stalled := own.get("commands.stalled_ps"):
        yield f"(stood still for {format_time(int(stalled), 3)})"


def _queues(own: Mapping[str, int | float]) -> Iterator[str]:
    texts = []
    for name in (name.removesuffix(".depth_mean") for name in own if name.endswith(".depth_mean")):
        mean, most = own[f"{name}.depth_mean"], own.get(f"{name}.depth_max")
        at_most = f", {most:,} at most" if most is not None else ""
        texts.append(f"{name} {mean:.2f} deep on average{at_most}" if mean else f"{name} always empty")
    return listed(texts)


def _sum(scalars: Mapping[str, int | float], family: Family, counter: str) -> int | float:
    return sum(scalars.get(f"{name}.{counter}", 0) for name in family.members)
