"""A wait of fixed length, which may be none."""

from __future__ import annotations

from cosim.sim.server import Server


def pause(part: str, duration_ps: int) -> Server | None:
    """A wait that counts for `part`; None if there is none."""
    return Server(0, part, latency_ps=duration_ps) if duration_ps else None
