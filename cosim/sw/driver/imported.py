"""A file of the user's as it stands, and what it imports from others of theirs: a driver is what is in all of them."""

from __future__ import annotations

import ast
import os
import sys
import sysconfig
from collections.abc import Iterator
from functools import lru_cache
from importlib.machinery import PathFinder
from importlib.util import resolve_name
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2]
"""The folder of cosim's own source."""
_INSTALLED = tuple(Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "purelib", "platlib"))
_PACKAGES = {"site-packages", "dist-packages"}
OURS = "cosim"

State = tuple[int, int]
"""When a file was changed last, in nanoseconds, and its size."""

_read: dict[str, State] = {}
"""The modules that files of the user's have imported, as their files were then."""


def imported(path: Path) -> dict[str, Path]:
    """The modules of the user's own that a file imports, directly or through one another, with their files, sorted.

    Only statements are seen, also those inside of functions. What has not been imported so far is looked for beside the
    file.
    """
    found: dict[str, Path] = {}
    left = [("", path)]
    while left:
        module, file = left.pop()
        for name in _names(file, module):
            if name not in found and (own := _own_file(name, path.parent)) is not None:
                found[name] = own
                left.append((name, own))
    return dict(sorted(found.items()))


def is_own(file: Path) -> bool:
    """Whether a file is the user's own: neither cosim's nor installed."""
    real = file.resolve()
    return _PACKAGES.isdisjoint(real.parts) and not any(real.is_relative_to(each) for each in (PACKAGE, *_INSTALLED))


def parsed(file: Path) -> ast.Module:
    """The tree of a file as it is now, which nobody may change. OSError, SyntaxError, ValueError."""
    return _parsed(file, state_of(file))


def state_of(file: Path) -> State:
    """What is another one once a file has been changed. OSError."""
    stat = os.stat(file)
    return stat.st_mtime_ns, stat.st_size


def anew(path: Path) -> None:
    """Before a file is run once more: forget what it has imported, if that has changed since.

    The file itself is read anew each time, and a sweep goes by what is in both.
    """
    if any(state_of(file) != _read.get(name) for name, file in imported(path).items() if name in sys.modules):
        for name in _read:
            sys.modules.pop(name, None)
        _read.clear()


def note(path: Path) -> None:
    """Behind that: note what it has imported now."""
    for name, file in imported(path).items():
        if name in sys.modules:
            _read.setdefault(name, state_of(file))


def _own_file(name: str, folder: Path) -> Path | None:
    """Where a module of the user's own is; None if it is none, or is not to be found."""
    if name.partition(".")[0] == OURS or name in sys.stdlib_module_names:
        return None
    if name in sys.modules:
        file = getattr(sys.modules[name], "__file__", None)
    else:
        file = _beside(name, folder)
    return Path(file) if file and Path(file).is_file() and is_own(Path(file)) else None


def _beside(name: str, folder: Path) -> str | None:
    places: list[str] | None = [str(folder)]
    origin, parts = None, name.split(".")
    for end in range(len(parts)):
        spec = PathFinder.find_spec(".".join(parts[: end + 1]), places) if places else None
        if spec is None:
            return None
        origin, places = spec.origin, spec.submodule_search_locations
    return origin


def _names(file: Path, module: str) -> Iterator[str]:
    """The modules that the statements of a file can mean, which is that of `module`."""
    try:
        statements = _statements(file, state_of(file))
    except (OSError, SyntaxError, ValueError):
        return
    package = module if file.stem == "__init__" else module.rpartition(".")[0]
    for name, members in statements:
        try:
            whole = resolve_name(name, package)
        except ImportError:
            continue
        parts = whole.split(".")
        yield from (".".join(parts[: end + 1]) for end in range(len(parts)))
        yield from (f"{whole}.{member}" for member in members)


@lru_cache(maxsize=32)
def _parsed(file: Path, _now: State) -> ast.Module:
    return ast.parse(file.read_bytes())


@lru_cache(maxsize=256)
def _statements(file: Path, _now: State) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """What a file imports, as it is written there, and the names that it takes from it."""
    found: list[tuple[str, tuple[str, ...]]] = []
    for node in ast.walk(parsed(file)):
        if isinstance(node, ast.Import):
            found += [(alias.name, ()) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append(("." * node.level + (node.module or ""), tuple(alias.name for alias in node.names)))
    return tuple(found)
