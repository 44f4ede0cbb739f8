"""The table of DMA masters: what each got done."""

from __future__ import annotations

from collections.abc import Mapping

from rich.text import Text

from cosim.study.report.columns import Columns
from cosim.study.report.families import SHOWN, Family, grouped, more
from cosim.study.report.page import Page
from cosim.study.run.result import Result

MARK = ".in_flight_mean"
"""What a DMA master has among its scalars, and nothing else has."""


def masters(result: Result, page: Page) -> list[Text]:
    """What each master got done."""
    scalars = result.scalars
    table = Columns(("Masters", "reads", "writes", "Gb/s read", "written", "in flight", "failed"))
    groups = grouped(name.removesuffix(MARK) for name in scalars if name.endswith(MARK))
    for family in groups[:SHOWN]:
        table.add(
            family.label,
            *(f"{_sum(scalars, family, counter):,}" for counter in ("reads", "writes")),
            *(f"{_sum(scalars, family, rate):,.2f}" for rate in ("read_gbps", "written_gbps", "in_flight_mean")),
            f"{_sum(scalars, family, 'failed'):,}",
        )
    return [*table.lines(page.width), *more(len(groups))] if table else []


def _sum(scalars: Mapping[str, int | float], family: Family, counter: str) -> int | float:
    return sum(scalars[f"{name}.{counter}"] for name in family.members)
