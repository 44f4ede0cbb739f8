"""Which requests failed in the whole run: refused by an IOMMU, or on the bus; by device and cause."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from rich.text import Text

from cosim.study.report.families import SHOWN, Family, grouped, more
from cosim.study.report.page import Page, flow
from cosim.study.run.failed_requests import ByDevice
from cosim.study.run.result import Result


def failed_requests(result: Result, page: Page) -> list[Text]:
    """A line for each device whose requests failed, as sums, and for each IOMMU that had faults of its own."""
    groups = grouped(dict.fromkeys((*result.faults, *result.bus_errors)))
    lines = [Text("Failed requests, in the whole run", "bold")] if groups else []
    for family in groups[:SHOWN]:
        pieces = [Text(f"{piece} ") for piece in _pieces(result, family)]
        lines += flow(pieces, page.width, f"  {family.label}  ", "      ")
    return [*lines, *more(len(groups))]


def _pieces(result: Result, family: Family) -> Iterator[str]:
    """``198 of 813 = refused 18 (ddt_not_valid 18) + on the bus 180 (access_fault 180)``, where a line may break."""
    kinds = {"refused": _whys(result.faults, family), "on the bus": _whys(result.bus_errors, family)}
    ended = sum(result.requests.get(device, 0) for device in family.members)
    yield f"{sum(whys.total() for whys in kinds.values()):,}" + (f" of {ended:,}" if ended else " of its own")
    sign = "="
    for kind, whys in kinds.items():
        if whys:
            yield f"{sign} {kind} {whys.total():,}"
            parts = [f"{why} {count:,}" for why, count in whys.most_common()]
            yield f"({parts[0]}" + ("" if parts[1:] else ")")
            for index, part in enumerate(parts[1:], 2):
                yield f"+ {part}" + (")" if index == len(parts) else "")
            sign = "+"


def _whys(found: ByDevice, family: Family) -> Counter[str]:
    """Numbers of requests of a family by why they failed."""
    whys: Counter[str] = Counter()
    for device in family.members:
        whys.update(found.get(device, {}))
    return whys
