"""Which numbers of a result are times, in picoseconds: their names say so."""

from __future__ import annotations

PART = ".parts."
"""What stands before a part in the name of a number, in picoseconds; a part that is not there is 0 if its mean is."""


def is_time(name: str) -> bool:
    """Whether a number of this name is picoseconds, or all are that a glob like this matches."""
    return name.endswith("_ps") or PART in name
