"""JSON Lines, the form of what the model is held against: a record a line, in files that may be compressed."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cosim.config.source import unreadable


class UnreadableError(Exception):
    """A file cannot be read: the text says which, and why."""


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a file, numbered from 1, but empty ones; a name ending in .gz is decompressed."""
    n = 0
    try:
        # Opening a pipe that nobody writes to would wait for ever, without a word.
        if path.exists() and not path.is_file() and not path.is_dir():
            raise UnreadableError(f"{path}: a pipe or a device, not a file")
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            for line in file:
                n += 1
                if line.strip():
                    yield n, line.decode("utf-8")
    except UnicodeDecodeError as error:
        found = f"the byte {error.object[error.start]:#04x} cannot stand here"
        raise UnreadableError(f"{path}:{n}:{error.start + 1}: not UTF-8 text: {found}") from None
    except gzip.BadGzipFile:
        raise UnreadableError(f"{path}: not compressed by gzip, as its name says") from None
    except OSError as error:
        raise UnreadableError(f"{path}: {unreadable(str(path), error)}") from None
    except (EOFError, zlib.error):
        raise UnreadableError(f"{path}: the compressed file is damaged, or ends too early") from None


def json_value(text: str) -> Any:
    """The JSON value of a line; ValueError says what is wrong with it."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"column {error.colno}: not JSON: {error.msg}") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except ValueError:
        raise ValueError("a number in it is too long") from None
