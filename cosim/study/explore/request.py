"""What is asked of a search."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Strategy = Literal["bounded", "pct", "random"]


@dataclass(frozen=True, slots=True)
class Request:
    """How to search; what is None is what each topology's `explore:` says, or a default."""

    strategy: Strategy = "bounded"
    """*bounded*: every schedule of at most `deviations`, fewest first. *pct*: so many holds of effects in conflict,
    drawn evenly. *random*: of any effects."""
    deviations: int | None = None
    holds: tuple[int, ...] | None = None
    starts: Mapping[str, tuple[int, ...]] | None = None
    schedules: int | None = None
    """As many are run for each driver, at most; drawn ones, 1,000 if absent."""
    seconds: float = float("inf")
    """How long each driver may take."""
    jobs: int | None = None
    cluster: str = ""
    """The address of a Dask scheduler whose workers make the runs; none if processes here do."""
    first_cell: bool = False
    """Only the first hold and the first starts."""
    skip_equal: bool = False
    """Do not add to a schedule whose partial order another one had, with the same hold and starts."""
    allocations: bool = False
    """Let allocations fail, too."""
    seed: int = 0
    """What drawn schedules derive from."""
    go_on: bool = False
    """Do not stop at the first find of each driver."""
    host_limit: float = 60.0
    """How long one run may take here, in seconds."""
    mutants: bool = False
    """Also search with each step of a clean driver taken out, one at a time: could the search have found anything?"""
    shrink: bool = True
    """Make what should not have been found as small as that is possible, before it is kept."""
    drivers: tuple[str, ...] = field(default=())


DRAWN = 1000
"""As many schedules are drawn, if nothing else is asked for."""
