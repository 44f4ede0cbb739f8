"""Files that are whole or are not there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """The file to write, which then takes the place of `path`, or of what a link there leads to.

    A pipe or a device is itself what is written to, and stays. Raises OSError, and leaves what is there as it is then.
    """
    if path.exists() and not path.is_file():
        yield path
        return
    target = path.resolve()
    unfinished = target.with_name(f"{target.name}.part")
    try:
        yield unfinished
        os.replace(unfinished, target)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise


def write_whole(path: Path, text: str) -> None:
    """Write `text` to a file in place of what is there. Raises OSError, and leaves that as it is then."""
    with whole(path) as file:
        file.write_text(text, encoding="utf-8")
