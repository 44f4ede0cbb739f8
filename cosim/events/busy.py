"""What any resource tells that serves one visitor at a time."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Busy:
    """A resource was used for `busy_ps`: ``iommu0.walkers``, ``dram0.port``; `by` is who has used a memory."""

    time: int
    who: str
    busy_ps: int
    by: str = ""
