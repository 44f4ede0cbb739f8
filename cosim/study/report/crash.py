"""What is printed when code fails that should not: cosim's own, or a driver that the user has written."""

from __future__ import annotations

import platform
import sys
import traceback

from cosim.study.run.users_code import NeverAwaited, Place, is_users_file
from cosim.sw.contract import WrongAnswer
from cosim.sw.driver.own import OWN


def describe(error: BaseException) -> str:
    """A few lines on an error: the innermost places, whose it is, and what a report of it needs."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f"{type(error).__name__}: {error}"
    if is_users(error):
        places = [(frame.filename, frame.lineno, frame.name) for frame in frames if is_users_file(frame.filename)]
        if isinstance(error, NeverAwaited):
            places = list(error.places)
        elif isinstance(error, WrongAnswer):
            places = [_place(error), *places]
        own = [f"  {file}:{line} in {name}" for file, line, name in places]
        return "\n".join([f"your code has failed: {where}", *own])
    given = f"; or of what {', '.join(own)} has given it" if (own := _own_drivers()) else ""
    inner = [f"  {frame.filename.split('/cosim/')[-1]}:{frame.lineno} in {frame.name}" for frame in frames[-6:]]
    return "\n".join(
        [
            f"cosim: internal error: {where}",
            *inner,
            f"This is an error in cosim, not in your topology{given}. Python {platform.python_version()}, "
            "please report it with the topology and the command.",
        ]
    )


def is_users(error: BaseException) -> bool:
    """Whether it came from, or through, a file that is neither cosim's nor a library's: a driver of the user's own."""
    frames = traceback.extract_tb(error.__traceback__)
    if isinstance(error, WrongAnswer) and is_users_file(_place(error)[0]):
        return True
    return isinstance(error, NeverAwaited) or any(is_users_file(frame.filename) for frame in frames)


def _own_drivers() -> list[str]:
    """The files of the user's own drivers that this process has loaded: what they return goes a long way."""
    names = [str(getattr(module, "__file__", "")) for name, module in sys.modules.items() if name.startswith(OWN)]
    return sorted(names)


def _place(error: WrongAnswer) -> Place:
    """Where the method is written that has given a wrong answer."""
    code = getattr(error.method, "__code__", None)
    return (code.co_filename, code.co_firstlineno, code.co_name) if code else ("", 0, "")
