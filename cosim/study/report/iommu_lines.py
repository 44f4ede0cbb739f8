"""The lines on each IOMMU: its caches, walks, commands and queues."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rich.text import Text

from cosim.study.report.families import MANY, more
from cosim.study.report.page import Page, flow, listed
from cosim.study.run.named import Named
from cosim.study.run.result import Result
from cosim.study.run.uses import percent
from cosim.units.quantities import format_time

NO_KINDS = frozenset({"total", "utilisation", "busy_ps", "stalled_ps"})
"""What is counted of a command consumer besides the commands of each kind."""

NOT_DONE: Mapping[str, str] = {"illegal": "of an illegal command", "memory_faults": "that memory refused"}
"""Tries of commands that did not take hold, and are in no total."""

FAULTS: Mapping[str, str] = {
    "fq.recorded": "recorded",
    "fq.lost": "lost",
    "fq.kept_back": "kept back by DTF",
}
"""What becomes of a fault."""

HARDLY = 0.01
"""A cache with less than this fraction of the busiest one's look-ups is not shown."""


def iommus(result: Result, page: Page) -> list[Text]:
    """A block for each IOMMU: caches, walks, commands, faults, queues."""
    names = [name.removesuffix(".walks") for name in result.scalars if name.endswith(".walks")]
    lines = []
    for name in names[:MANY]:
        own = Named(
            (key.removeprefix(f"{name}."), value) for key, value in result.scalars.items() if key.startswith(f"{name}.")
        )
        lines.append(Text(name, "bold"))
        for title, pieces in (
            ("caches", _caches(own)),
            ("walks", _walks(own)),
            ("commands", _commands(own)),
            ("faults", _faults(own)),
            ("queues", _queues(own)),
        ):
            found = [Text(piece) for piece in pieces]
            lines += [] if not found else flow(found, page.width, f"  {title:<10}", " " * 12)
    return [*lines, *more(len(names), MANY)]


def _caches(own: Mapping[str, int | float]) -> Iterator[str]:
    names = [name.removesuffix(".hits") for name in own if name.endswith(".hits")]
    lookups = {name: own[f"{name}.hits"] + own[f"{name}.misses"] for name in names}
    least = max(lookups.values(), default=0) * HARDLY
    used = sorted((name for name in names if lookups[name] > least), key=lambda name: (-lookups[name], name))
    texts = [f"{name} hit {percent(own[f'{name}.hits'] / lookups[name], 1)} of {lookups[name]:,}" for name in used]
    return listed(texts or ["not used"])


def _walks(own: Mapping[str, int | float]) -> Iterator[str]:
    texts = []
    for what, walks, reads in (("page table", "walks", "walk_reads"), ("directory", "ddt_walks", "ddt_reads")):
        if count := own[walks]:
            texts.append(f"{what} {count:,} of {own[reads] / count:.2f} reads")
    for what, counter in (
        ("waits for another's walk", "merged"),
        ("overtaken by an invalidation", "overtaken"),
        ("updates of A and D", "ad_updates"),
    ):
        if count := own[counter]:
            texts.append(f"{count:,} {what}")
    return listed(texts or ["none"])


def _commands(own: Mapping[str, int | float]) -> Iterator[str]:
    """Commands that took hold, by kind, and beside them the tries that did not."""
    tried = {name.removeprefix("commands."): n for name, n in own.items() if name.startswith("commands.") and n}
    kinds = {name: count for name, count in tried.items() if name not in NO_KINDS and name not in NOT_DONE}
    not_done = [
        f"{tried[name]:,} {'try' if tried[name] == 1 else 'tries'} {words} "
        for name, words in NOT_DONE.items()
        if name in tried
    ]
    yield from _sum(kinds)
    for index, text in enumerate(not_done):
        yield f"{'and ' if index else 'besides '}{text}"
    if stalled := own["commands.stalled_ps"]:
        yield f"(stood still for {format_time(int(stalled), 3)})"


def _faults(own: Mapping[str, int | float]) -> Iterator[str]:
    """What became of the faults found; nothing if there were none."""
    parts = {words: own[name] for name, words in FAULTS.items() if own[name]}
    if parts:
        yield from _sum(parts)


def _sum(parts: Mapping[str, int | float]) -> Iterator[str]:
    """A total and what it is the sum of, the largest part first."""
    yield f"{sum(parts.values()):,} "
    for index, name in enumerate(sorted(parts, key=lambda name: -parts[name])):
        yield f"{'+' if index else '='} {name} {parts[name]:,} "


def _queues(own: Mapping[str, int | float]) -> Iterator[str]:
    texts = []
    for name in (name.removesuffix(".depth_mean") for name in own if name.endswith(".depth_mean")):
        mean, most = own[f"{name}.depth_mean"], own[f"{name}.depth_max"]
        texts.append(f"{name} {mean:.2f} deep on average, {most:,} at most" if mean else f"{name} always empty")
    return listed(texts)
