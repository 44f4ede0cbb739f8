"""How the place of an event in the source is told."""

from __future__ import annotations


def behind(place: str) -> str:
    """A place as it stands behind what was done there; "" for what has none."""
    return f" ({place})" if place else ""
