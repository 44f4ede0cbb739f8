"""How busy each resource was, as a sentence tells it, and what the names of latencies say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from cosim.system.number_names import ACCESSES

SATURATED = 0.9
"""A resource that was busy for more than this fraction of the window is a bottleneck."""

WORDS: Mapping[str, str] = {
    r"\.port": "port",
    r"\.port\d+": "port",
    r"\.link_up": "link up to the IOMMU",
    r"\.link_down": "link down from the IOMMU",
    r"\.lookup": "look-up",
    r"\.places": "places",
    r"\.walkers": "walkers",
    r"\.table_reads": "table reads",
    r"\.fq": "fault recorder",
    r"\.commands": "command consumer",
}
"""What a resource is called in a sentence, by how its path ends."""


@dataclass(frozen=True, slots=True)
class Use:
    """How busy one resource was: `of` is its path, `fraction` of the window."""

    of: str
    fraction: float

    @property
    def is_cpu(self) -> bool:
        """Whether it is a CPU, whose path is one word."""
        return "." not in self.of

    @property
    def is_consumer(self) -> bool:
        """Whether it is an IOMMU's command consumer."""
        return self.of.endswith(".commands")

    @property
    def known(self) -> bool:
        """Whether a sentence has words for it."""
        return self.is_cpu or self._ending != ""

    @property
    def owner(self) -> str:
        """The part that it belongs to."""
        return re.sub(self._ending + "$", "", self.of) if self._ending else self.of

    @property
    def _ending(self) -> str:
        return next((ending for ending in WORDS if re.search(ending + "$", self.of)), "")

    def __str__(self) -> str:
        words = WORDS.get(self._ending)
        return were(f"{self.owner}'s {words}" if words else self.of, self.fraction)


def uses(scalars: Mapping[str, int | float]) -> list[Use]:
    """Every resource of which `scalars` holds the utilisation, the busiest first."""
    found = [Use(name[: -len(_USE)], use) for name, use in scalars.items() if name.endswith(_USE)]
    return sorted(found, key=lambda use: -use.fraction)


_USE = ".utilisation"


def were(what: str, fraction: float) -> str:
    """``iommu0's walkers were 98 % busy``."""
    return f"{what} {'were' if what.endswith('s') else 'was'} {percent(fraction)} busy"


def is_access(name: str) -> bool:
    """Whether a latency of this name is that of a DMA device's requests, not of a driver's calls."""
    return name.rpartition(".")[2] in ACCESSES


def percent(fraction: float, decimals: int = 0) -> str:
    """`98 %`, and never `100 %` of what was not complete, nor `0 %` of something."""
    least = 10**-decimals
    if 0 < fraction <= least / 200:
        return f"< {least:.{decimals}f} %"
    if 1 - least / 200 <= fraction < 1:
        return f"> {100 - least:.{decimals}f} %"
    return f"{fraction * 100:.{decimals}f} %"
