"""Which devices were given more requests than could be made, so that what waits grows, and with it their latency."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from cosim.study.run.latency import Latency
from cosim.study.run.uses import is_access

FEW = 32
"""Requests: a backlog that was never larger may come from a burst."""
GROWING = (0.4, 0.65)
"""The mean of a backlog over its largest: half, if it grows evenly; less, if it comes and goes; 1, if it stays."""
MORE = 1.05
"""Offered over carried, from which on a backlog that was there before the window still grows."""
SUFFIX = ".backlog_max"
NO_INTERVAL = "overloaded: the mean grows with run.until"
"""Why there is no interval of a latency that has no mean."""


def overloaded(scalars: Mapping[str, float]) -> dict[str, int]:
    """The scalar ``nic0.overloaded`` of each device: 1 if its backlog has grown all through the measured window.

    Behind a warm-up it is large from the beginning; then it grows if more is offered than is carried.
    """
    devices = [name.removesuffix(SUFFIX) for name in scalars if name.endswith(SUFFIX)]
    return {f"{device}.overloaded": int(_grows(scalars, device)) for device in devices}


def _grows(scalars: Mapping[str, float], device: str) -> bool:
    mean, most = scalars[f"{device}.backlog_mean"], scalars[f"{device}.backlog_max"]
    if most < FEW or mean < GROWING[0] * most:
        return False
    return mean <= GROWING[1] * most or asks_for_more(scalars, device)


def asks_for_more(scalars: Mapping[str, float], device: str) -> bool:
    """Whether a device asked for more than it got in the window."""
    return scalars.get(f"{device}.offered_gbps", 0.0) > MORE * carried_gbps(scalars, device)


def carried_gbps(scalars: Mapping[str, float], device: str) -> float:
    """What a device has read and written, over the window."""
    return sum(scalars.get(f"{device}.{way}_gbps", 0.0) for way in ("read", "written"))


def without_intervals(latencies: Mapping[str, Latency], scalars: Mapping[str, float]) -> dict[str, Latency]:
    """The same latencies, but none of an overloaded device with an interval of its mean."""
    return {
        name: replace(latency, ci95_ps=None, no_ci95=NO_INTERVAL)
        if is_access(name) and scalars.get(f"{name.rpartition('.')[0]}.overloaded")
        else latency
        for name, latency in latencies.items()
    }
