"""Which devices were given more requests than could be made, so that what waits grows, and with it their latency."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cosim.hw.dma.options import TrafficOptions

FEW = 32
"""Requests: a backlog that was never larger may come from a burst."""
GROWING = (0.4, 0.65)
"""The mean of a backlog over its largest: half, if it grows evenly; less, if it comes and goes; 1, if it stays."""
MORE = 1.05
"""Offered over carried, from which on a backlog that was there before the window still grows."""
SUFFIX = ".backlog_max"
FASTER = "requests come faster than they end"


def overloaded(scalars: Mapping[str, float], ran: Mapping[str, Any]) -> Iterator[str]:
    """One sentence for each device whose backlog has grown all through the measured window of what was `ran`.

    Behind a warm-up it is large from the beginning; then it grows if more is offered than is carried.
    """
    for name, most in scalars.items():
        if not name.endswith(SUFFIX) or most < FEW:
            continue
        device = name.removesuffix(SUFFIX)
        mean = scalars[f"{device}.backlog_mean"]
        offered = _offered_gbps(ran.get("parts", {}).get(device, {}))
        carried = sum(scalars.get(f"{device}.{way}_gbps", 0.0) for way in ("read", "written"))
        growing = mean <= GROWING[1] * most or offered > MORE * carried
        if mean >= GROWING[0] * most and growing:
            rates = f"it asks for {offered:,.1f} Gb/s and gets {carried:,.1f}" if offered > MORE * carried else FASTER
            yield (
                f"{device} is overloaded: {rates}, up to {most:,.0f} have waited for a slot, and its latency grows "
                "with run.until"
            )


def _offered_gbps(part: Mapping[str, Any]) -> float:
    """What a device asks for all the time at its `interval`; 0 if that cannot be said."""
    if part.get("kind") != "dma":
        return 0.0
    traffic = TrafficOptions.model_validate(part.get("traffic", {}))
    if traffic.interval is None or traffic.burst_off is not None or traffic.requests is not None:
        return 0.0
    return 8000 * traffic.mean_size / traffic.interval
