"""Which devices were given more requests than could be made, so that what waits grows, and with it their latency."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

FEW = 32
"""Requests: a backlog that was never larger may come from a burst."""
GROWING = (0.4, 0.65)
"""The mean of a backlog over its largest: half, if it grows evenly; less, if it comes and goes; 1, if it stays."""
SUFFIX = ".backlog_max"


def overloaded(scalars: Mapping[str, float]) -> Iterator[str]:
    """One sentence for each device whose backlog has grown all through the measured window."""
    for name, most in scalars.items():
        if not name.endswith(SUFFIX) or most < FEW:
            continue
        device = name.removesuffix(SUFFIX)
        mean = scalars[f"{device}.backlog_mean"]
        if GROWING[0] * most <= mean <= GROWING[1] * most:
            yield (
                f"{device} is overloaded: requests come faster than they end, up to {most:,.0f} have waited for a "
                "slot, and its latency grows with run.until"
            )
