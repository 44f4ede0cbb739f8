"""What was read of debugging information, kept between runs under the digest of the files that it was read from."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cosim.object.dwarf import DebugInfo, Member, Structure, Variable

FORMAT = 2
"""To be counted up when what is kept changes."""


def folder() -> Path:
    """Where it is kept: ``$XDG_CACHE_HOME/cosim/objects``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cosim" / "objects"


def kept(digest: str, read: Callable[[], DebugInfo], *, unless: Sequence[str] = ()) -> DebugInfo:
    """What was kept for a digest; else ``read()``, which is kept from now on.

    It is not if `unless` then says what is wrong with it. A folder that cannot be written to keeps nothing.
    """
    path = folder() / f"{digest}.{FORMAT}.json"
    try:
        return _from_json(json.loads(path.read_text()))
    except (OSError, ValueError, KeyError, TypeError):
        found = read()
    if unless:
        return found
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}")
        part.write_text(json.dumps(asdict(found)))
        part.replace(path)
    except OSError:
        pass
    return found


def _from_json(data: dict[str, Any]) -> DebugInfo:
    structures = {
        name: Structure(one["name"], one["size"], {key: _member(value) for key, value in one["members"].items()})
        for name, one in data["structures"].items()
    }
    variables = [Variable(**one) for one in data["variables"]]
    return DebugInfo(structures, data["enumerators"], variables, data["addresses"], data["places"], data["senders"])


def _member(data: dict[str, Any]) -> Member:
    bits = data["bits"]
    return Member(**{**data, "bits": tuple(bits) if bits else None})
