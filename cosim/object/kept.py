"""What was read of objects, kept between runs under the digest of the files that it was read from."""

from __future__ import annotations

import hashlib
import os
import pickle
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

Read = TypeVar("Read")

READERS = ("object", "isa")
"""The packages that read objects: by another version of them they are read anew."""


def folder() -> Path:
    """Where it is kept: ``$XDG_CACHE_HOME/cosim/objects``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cosim" / "objects"


def kept(parts: Iterable[bytes], read: Callable[[], Read], *, unless: Sequence[str] = ()) -> Read:
    """What was kept for these bytes; else ``read()``, which is kept from now on.

    It is not if `unless` then says what is wrong with it. A folder that cannot be written to keeps nothing.
    """
    path = folder() / f"{_digest([_version(), *parts])}.pickle"
    try:
        found: Read = pickle.loads(path.read_bytes())
    except Exception:  # a file that is not there, or cut short, or anything else
        found = read()
    else:
        return found
    if unless:
        return found
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}")
        part.write_bytes(pickle.dumps(found, pickle.HIGHEST_PROTOCOL))
        part.replace(path)
    except OSError:
        pass
    return found


def _digest(parts: Iterable[bytes]) -> str:
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


@lru_cache(maxsize=1)
def _version() -> bytes:
    """What else the outcome depends on: the code that reads, and Python, whose translated code is kept."""
    cosim = Path(__file__).parents[1]
    sources = sorted(path for package in READERS for path in (cosim / package).glob("*.py"))
    return (sys.version + _digest(path.read_bytes() for path in sources)).encode()
