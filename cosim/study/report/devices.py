"""What is to be known of devices beside what they got done: who got nothing, had too much to do, or dropped packets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cosim.study.run.overloaded import asks_for_more, carried_gbps
from cosim.study.run.result import Result
from cosim.study.run.starved import starved, under_way

SHOWN = 3
"""Devices of which the same is told one by one."""
FASTER = "requests come faster than they end"


def about_devices(result: Result) -> Iterator[str]:
    """One sentence for each device of which something is to be known, and one for all further ones of a kind."""
    got_nothing = starved(result.scalars) if result.ended else {}
    yield from _few([_starved(device, mean) for device, mean in got_nothing.items()])
    yield from _few([_overloaded(result.scalars, device) for device in _with(result.scalars, ".overloaded")])
    rings = [device for device in _with(result.scalars, ".dropped") if f"{device}.packets" in result.scalars]
    yield from _few([_dropped(result.scalars, device) for device in rings])


def _few(sentences: list[str]) -> list[str]:
    more = len(sentences) - SHOWN
    return [*sentences[:SHOWN], *([f"and so {'is' if more == 1 else 'are'} {more} more"] if more > 0 else [])]


def _with(scalars: Mapping[str, float], ending: str) -> list[str]:
    """The devices of which the scalar that ends so is not 0."""
    return [name.removesuffix(ending) for name, number in scalars.items() if name.endswith(ending) and number]


def _starved(device: str, mean: float) -> str:
    return f"no request of {device} ended in the window; {under_way(mean)}"


def _overloaded(scalars: Mapping[str, float], device: str) -> str:
    offered, carried = scalars.get(f"{device}.offered_gbps", 0.0), carried_gbps(scalars, device)
    rates = f"it asks for {offered:,.1f} Gb/s and gets {carried:,.1f}" if asks_for_more(scalars, device) else FASTER
    return (
        f"{device} is overloaded: {rates}, up to {scalars[f'{device}.backlog_max']:,.0f} have waited for a slot, and "
        "its latency grows with run.until"
    )


def _dropped(scalars: Mapping[str, float], device: str) -> str:
    dropped, moved = scalars[f"{device}.dropped"], scalars[f"{device}.packets"]
    return f"{device} dropped {dropped:,.0f} packets, which found no descriptor, and moved {moved:,.0f}"
