"""Where a file that a topology names was looked for: one rule for recordings, for drivers and for objects."""

from __future__ import annotations

import os


def looked_for(path: str | os.PathLike[str]) -> str:
    """Where a file that is not there was looked for, as it is told behind that; nothing of an absolute path."""
    return "" if os.path.isabs(path) else f" in {os.getcwd()}, nor beside a topology file that names it"
