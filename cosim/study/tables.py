"""The tables of a report: each takes a result and gives lines, or none if there is nothing to say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich.text import Text

from cosim.sim.units import format_size
from cosim.study.columns import MANY, Columns, Family, Unit, apportion, bar, families, flow, own_unit, unit_for
from cosim.study.latency import Latency, share_out
from cosim.study.limit import SATURATED, is_access, percent, uses
from cosim.study.result import Result

SHOWN = 12
"""As many rows of a kind are shown; `--json` has all."""

TIMES = ("mean_ps", "p50_ps", "p95_ps", "p99_ps", "p999_ps", "max_ps")
TITLES = ("count", "mean", "p50", "p95", "p99", "p99.9", "max")

INNER = frozenset({"iotlb_inval", "cmd_sync"})
"""Calls that others make."""

NO_KINDS = frozenset(f"commands.{name}" for name in ("total", "utilisation", "busy_ps", "stalled_ps"))
"""What is counted of a command consumer besides the commands of each kind."""

OTHER_TAIL = 0.15
"""The tail is shown beside the mean if a part's share of it differs by more than this."""


@dataclass(frozen=True, slots=True)
class Page:
    """What is printed on: characters of a line, and whether it can show more than ASCII."""

    width: int = 80
    unicode: bool = True


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
        lines.append(Text(f"  {' and '.join(inner)} are counted in the calls that make them, too", "dim"))
    return lines


def masters(result: Result, page: Page) -> list[Text]:
    """What each master got done."""
    scalars = result.scalars
    table = Columns(("Masters", "reads", "writes", "Gb/s read", "written", "in flight", "faults"))
    groups = _groups(name.removesuffix(".bytes_read") for name in scalars if name.endswith(".bytes_read"))
    for family in groups[:SHOWN]:
        table.add(
            family.label,
            *(f"{_sum(scalars, family, counter):,}" for counter in ("reads", "writes")),
            *(f"{_sum(scalars, family, rate):,.2f}" for rate in ("read_gbps", "write_gbps", "in_flight_mean")),
            f"{_sum(scalars, family, 'faults'):,}",
        )
    return [*table.lines(page.width), *_more(len(groups))] if table else []


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
    return [*lines, *_more(len(names), MANY)]


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
    return [*lines, *_more(len(rows))]


def faults(result: Result, page: Page) -> list[Text]:
    """Faults by device and cause."""
    lines = [Text("Faults", "bold")] if result.faults else []
    groups = _groups(result.faults)
    for family in groups[:SHOWN]:
        causes: dict[str, int] = {}
        for device in family.members:
            for cause, count in result.faults[device].items():
                causes[cause] = causes.get(cause, 0) + count
        pieces = [Text(piece) for piece in _listed(f"{count:,} x {cause}" for cause, count in causes.items())]
        lines += flow(pieces, page.width, f"  {family.label}: ", "      ")
    return [*lines, *_more(len(groups))]


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
    lines = flow([Text(piece) for piece in _listed(pieces)], page.width, "Kernel memory: ", "  ")
    lines[0].stylize("bold red" if leaked else "bold", 0, len("Kernel memory"))
    return lines


def merged(latencies: Sequence[Latency]) -> Latency:
    """Several distributions as one: mean, parts and maximum are exact, quantiles are upper bounds (the largest)."""
    count = sum(latency.count for latency in latencies)
    sums: dict[str, int] = {}
    for latency in latencies:
        for part, ps in latency.parts.items():
            sums[part] = sums.get(part, 0) + ps * latency.count
    mean, parts = share_out(sums, count)
    largest = {name: max(getattr(latency, name) for latency in latencies) for name in TIMES if name != "mean_ps"}
    worst = max(latencies, key=lambda latency: latency.p99_ps)
    return Latency(count=count, mean_ps=mean, parts=parts, tail=worst.tail, **largest)


def _latencies(title: str, latencies: Mapping[str, Latency], page: Page) -> list[Text]:
    measured = {name: latency for name, latency in latencies.items() if latency.count}
    if not measured:
        return []
    groups = _groups(measured)
    times = [getattr(latency, time) for latency in measured.values() for time in ("mean_ps", "p50_ps", "max_ps")]
    unit = unit_for(times)
    table = Columns((f"{title}, {unit.name}" if unit else title, *TITLES))
    for family in groups[:SHOWN]:
        if len(family.members) == 1:
            _row(table, family.label, measured[family.members[0]], unit, page)
            continue
        _row(table, family.label, merged([measured[name] for name in family.members]), unit, page, bound=True)
        if len(groups) > SHOWN // 2:
            continue
        worst = max(family.members, key=lambda name: measured[name].p99_ps)
        _row(table, f"worst: {worst}", measured[worst], unit, page)
    lines = table.lines(page.width)
    if any(len(family.members) > 1 for family in groups):
        lines.append(Text(f"  {_most(page)} is the largest among them; count, mean, parts and max are exact", "dim"))
    return [*lines, *_more(len(groups))]


def _row(table: Columns, name: str, latency: Latency, unit: Unit | None, page: Page, bound: bool = False) -> None:
    cells = []
    for time in TIMES:
        ps = getattr(latency, time)
        text = unit.show(ps) if unit else f"{own_unit(ps).show(ps)} {own_unit(ps).name}"
        cells.append(_most(page) + text if bound and time.startswith("p") else text)
    table.add(name, f"{latency.count:,}", *cells, below=_parts(latency, unit, page))


def _parts(latency: Latency, unit: Unit | None, page: Page) -> list[Text]:
    """What the mean is made of, in terms that add up to it as it is printed; and the tail, if it is made of others."""
    shown = unit or own_unit(latency.mean_ps)
    suffix = "" if unit else f" {shown.name}"
    shares = apportion(latency.parts, shown.rounded(latency.mean_ps), shown.quantum_ps)
    pieces = []
    for index, (part, quanta) in enumerate(shares.items()):
        piece = Text(f"{'+ ' if index else ''}{part} {shown.spell(quanta)}{suffix} ")
        if index == 0:
            piece.append(f"({percent(latency.parts[part] / latency.mean_ps)}) ")
            piece.stylize("yellow")
        pieces.append(piece)
    lines = flow(pieces, page.width, "  = ", "    ") if pieces else []
    return [*lines, *_tail(latency, page)]


def _tail(latency: Latency, page: Page) -> list[Text]:
    total = sum(latency.tail.values())
    if not total or not latency.mean_ps:
        return []
    shares = {part: ps / total for part, ps in latency.tail.items()}
    usual = {part: latency.parts.get(part, 0) / latency.mean_ps for part in shares}
    if all(abs(shares[part] - usual[part]) <= OTHER_TAIL for part in shares):
        return []
    largest = sorted(shares, key=lambda part: -shares[part])[:4]
    pieces = _listed(f"{part} {percent(shares[part])}" for part in largest if shares[part] >= 0.01)
    return flow([Text(piece) for piece in pieces], page.width, "  from p99 on: ", "    ", "dim")


def _caches(own: Mapping[str, int | float]) -> Iterator[str]:
    texts = []
    for name in (name.removesuffix(".hits") for name in own if name.endswith(".hits")):
        hits = own[f"{name}.hits"]
        if lookups := hits + own.get(f"{name}.misses", 0):
            texts.append(f"{name} hit {percent(hits / lookups, 1)} of {lookups:,}")
    return _listed(texts or ["not used"])


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
    return _listed(texts or ["none"])


def _commands(own: Mapping[str, int | float]) -> Iterator[str]:
    kinds = {
        name.removeprefix("commands."): count
        for name, count in own.items()
        if name.startswith("commands.") and name not in NO_KINDS and count
    }
    yield f"{own.get('commands.total', 0):,} "
    for index, name in enumerate(sorted(kinds, key=lambda name: -kinds[name])):
        yield f"{'+' if index else '='} {name} {kinds[name]:,} "


def _queues(own: Mapping[str, int | float]) -> Iterator[str]:
    texts = []
    for name in (name.removesuffix(".depth_mean") for name in own if name.endswith(".depth_mean")):
        mean, most = own[f"{name}.depth_mean"], own.get(f"{name}.depth_max")
        at_most = f", {most:,} at most" if most is not None else ""
        texts.append(f"{name} {mean:.2f} deep on average{at_most}" if mean else f"{name} always empty")
    return _listed(texts)


def _listed(texts: Iterable[str]) -> Iterator[str]:
    """With commas between them, and a blank to go on after each."""
    found = list(texts)
    for index, text in enumerate(found):
        yield text + (", " if index + 1 < len(found) else "")


def _groups(names: Iterable[str]) -> list[Family]:
    """Like names taken together if they are many, or if there is no room for all."""
    names = list(names)
    groups = families(names)
    return groups if len(groups) <= SHOWN else families(names, many=1)


def _most(page: Page) -> str:
    return "≤" if page.unicode else "<="


def _sum(scalars: Mapping[str, int | float], family: Family, counter: str) -> int | float:
    return sum(scalars.get(f"{name}.{counter}", 0) for name in family.members)


def _more(rows: int, shown: int = SHOWN) -> list[Text]:
    return [Text(f"  and {rows - shown} more, which --json has", "dim")] if rows > shown else []
