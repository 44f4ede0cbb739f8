"""What code of the user's own gets wrong without an error of Python's: a forgotten `await`, an end of the process."""

from __future__ import annotations

import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from cosim.study.run.forgotten import forgotten
from cosim.sw.driver.imported import PACKAGE, is_own
from cosim.system.driver_options import DriverOptions

_FORGOTTEN = r"coroutine '.*' was never awaited"

Place = tuple[str, int, str]
"""A file, a line and a function."""


class NeverAwaited(RuntimeError):
    """Methods were called without `await`, so that nothing was done; `places` are where."""

    def __init__(self, methods: Sequence[str], places: Sequence[Place]) -> None:
        super().__init__(f"{', '.join(methods)}: called without await, which does nothing")
        self.places = places


class Exited(RuntimeError):
    """Code of the user's own has called `sys.exit`, which would end cosim as if it were done."""


def is_users_file(name: str) -> bool:
    """Whether a file, as a frame names it, is neither cosim's nor a library's."""
    return name.endswith(".py") and is_own(_file(name))


def _file(name: str) -> Path:
    """The file of a frame: the compiled core names its own from the folder that cosim is in."""
    inside = (PACKAGE.parent / name).resolve()
    return inside if inside.is_relative_to(PACKAGE) and inside.is_file() else Path(name).resolve()


@contextmanager
def told_as_errors(driver: DriverOptions) -> Iterator[None]:
    """Around what runs a driver: NeverAwaited and Exited for what its user has forgotten, or should not do.

    An operation that nobody awaits is told before anything runs, by what is written in the file: there is nothing to
    watch. Nothing is done for a driver that names no file of Python: to watch coroutines costs time.
    """
    if not any(".py" in str(each) for each in (driver.variant, *driver.cells.values())):
        yield
        return
    if operations := forgotten(driver):
        raise NeverAwaited(list(dict.fromkeys(name for name, _ in operations)), [place for _, place in operations])
    try:
        with _awaited():
            yield
    except SystemExit as ended:
        if _is_users_exit(ended.__traceback__):
            raise Exited(f"it has called sys.exit({ended.code!r})").with_traceback(ended.__traceback__) from None
        raise  # a signal has told the process to end


def _is_users_exit(trace: TracebackType | None) -> bool:
    """Whether the user's code ends the process, and not what a signal calls in the middle of that code."""
    files = [frame.filename for frame in traceback.extract_tb(trace)]
    return any(map(is_users_file, files)) and not _file(files[-1]).is_relative_to(PACKAGE)


@contextmanager
def _awaited() -> Iterator[None]:
    """NeverAwaited if a coroutine that a user's file has made is gone at the end, and nobody has awaited it."""
    before = sys.get_coroutine_origin_tracking_depth()
    sys.set_coroutine_origin_tracking_depth(1)  # each knows where it was made: it may be gone only much later
    try:
        with warnings.catch_warnings(record=True) as found:
            warnings.filterwarnings("default", _FORGOTTEN, RuntimeWarning)  # once from each place
            yield
    finally:
        sys.set_coroutine_origin_tracking_depth(before)
    methods: dict[str, None] = {}
    places: dict[Place, None] = {}
    for each in found:
        origin = getattr(each.source, "cr_origin", None)
        if origin and is_users_file(origin[0][0]):
            methods[str(getattr(each.source, "__qualname__", ""))] = None
            places[origin[0]] = None
        else:
            warnings.showwarning(each.message, each.category, each.filename, each.lineno, each.file, each.line)
    if places:
        raise NeverAwaited(list(methods), list(places))
