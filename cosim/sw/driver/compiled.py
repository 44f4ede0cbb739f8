"""The name of a driver that a kernel's tree has compiled: its objects, in place of a row of policies."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

COMPILED = "object:"
"""What such a name begins with; the paths follow, with commas between them."""
WITHOUT = "-"
"""What stands before a line among the paths: ``-iommu.c:453`` takes out the order that is made there."""


def paths_of(name: str) -> tuple[Path, ...]:
    """The objects that the name of a driver lists; none if it is the name of another driver."""
    if not name.startswith(COMPILED):
        return ()
    return tuple(Path(part.strip()) for part in name.removeprefix(COMPILED).split(","))


def name_of(paths: Iterable[object]) -> str:
    """The name of the driver that these objects are."""
    return COMPILED + ",".join(map(str, paths))


def without_folders(name: str) -> str:
    """The name of a driver as a title has it: objects without where they are."""
    return name_of(path.name for path in paths_of(name)) if name.startswith(COMPILED) else name


def in_short(name: str) -> str:
    """The name of a driver as messages have it: of several objects the first alone."""
    first, *more = paths_of(name) or (None,)
    return f"{COMPILED}{first},..." if first and more else name
