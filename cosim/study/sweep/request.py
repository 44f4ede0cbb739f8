"""What is asked of a sweep, beside its axes."""

from __future__ import annotations

from dataclasses import dataclass

FIRST = 3
"""So many replications there are before it can be told how surely a mean is known, if nothing else is asked for."""


@dataclass(frozen=True, slots=True)
class Request:
    """How often each point is run, and how runs are made."""

    reps: int = 1
    """So many replications of each point; with `ci`, so many at first."""
    ci: float = 0.0
    """Replicate until the 95 % interval of the first metric is at most this fraction of its mean, on either side."""
    most_reps: int = 200
    """With `ci`, no more than so many."""
    metrics: tuple[str, ...] = ()
    """The numbers that tables are of, by name or glob; without any, the mean latency of each device's requests."""
    independent: bool = False
    """Points do not share their random numbers."""
    jobs: int | None = None
    cluster: str = ""
    """The address of a Dask scheduler whose workers make the runs; none if processes here do."""
    host_limit: float = 600.0
    """How long one run may take here, in seconds; 0 for as long as it likes."""
    retry: bool = False
    """Run again what has come to no end: what was lost, raised an exception, or took too long."""

    @property
    def at_first(self) -> int:
        """So many replications of each point are run, whatever comes out."""
        return max(self.reps, FIRST) if self.ci else self.reps
