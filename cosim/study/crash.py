"""What is printed when cosim itself fails: where, and what a report of it needs."""

from __future__ import annotations

import platform
import traceback


def describe(error: BaseException) -> str:
    """A few lines on an error inside cosim: the innermost places, and the versions."""
    frames = traceback.extract_tb(error.__traceback__)
    places = [f"  {frame.filename.split('/cosim/')[-1]}:{frame.lineno} in {frame.name}" for frame in frames[-6:]]
    return "\n".join(
        [
            f"cosim: internal error: {type(error).__name__}: {error}",
            *places,
            f"This is an error in cosim, not in your topology. Python {platform.python_version()}, "
            "please report it with the topology and the command.",
        ]
    )
