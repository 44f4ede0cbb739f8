"""What is printed when code fails that should not: cosim's own, or a driver that the user has written."""

from __future__ import annotations

import platform
import sysconfig
import traceback
from pathlib import Path

PACKAGE = Path(__file__).parents[2]
LIBRARIES = tuple(Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib", "platlib"))


def describe(error: BaseException) -> str:
    """A few lines on an error: the innermost places, whose it is, and what a report of it needs."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f"{type(error).__name__}: {error}"
    if is_users(error):
        own = [f"  {frame.filename}:{frame.lineno} in {frame.name}" for frame in frames if _is_foreign(frame)]
        return "\n".join([f"your code has failed: {where}", *own])
    places = [f"  {frame.filename.split('/cosim/')[-1]}:{frame.lineno} in {frame.name}" for frame in frames[-6:]]
    return "\n".join(
        [
            f"cosim: internal error: {where}",
            *places,
            f"This is an error in cosim, not in your topology. Python {platform.python_version()}, "
            "please report it with the topology and the command.",
        ]
    )


def is_users(error: BaseException) -> bool:
    """Whether it came from, or through, a file that is neither cosim's nor a library's: a driver of the user's own."""
    return any(map(_is_foreign, traceback.extract_tb(error.__traceback__)))


def _is_foreign(frame: traceback.FrameSummary) -> bool:
    path = Path(frame.filename)
    return path.suffix == ".py" and not any(path.is_relative_to(known) for known in (PACKAGE, *LIBRARIES))
