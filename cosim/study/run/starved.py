"""Which devices got nothing at all: with requests under way all the time, none of which ended in the window."""

from __future__ import annotations

from collections.abc import Mapping

MARK = ".in_flight_mean"
"""What a device has among its scalars, and nothing else has."""
ONE = 0.95
"""With so many requests under way on average a device has had one nearly all the time."""


def starved(scalars: Mapping[str, int | float]) -> dict[str, float]:
    """How many requests each such device had under way on average, by its path."""
    found = {name.removesuffix(MARK): mean for name, mean in scalars.items() if name.endswith(MARK) and mean >= ONE}
    return {path: mean for path, mean in found.items() if not _ended(scalars, path)}


def under_way(mean: float) -> str:
    """``4 were under way on average``."""
    return f"{mean:,.0f} {'was' if round(mean) == 1 else 'were'} under way on average"


def _ended(scalars: Mapping[str, int | float], path: str) -> int | float:
    return sum(scalars[f"{path}.{what}"] for what in ("reads", "writes"))
