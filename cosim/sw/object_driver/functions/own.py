"""Functions of the kernel that a file of the user's adds, or puts in the place of ours.

Such a file is Python. It has a dictionary `FUNCTIONS`: by the name of a symbol, a coroutine function of one argument,
the `Call`; what it returns goes into a0. It may have a dictionary `DATA`: bytes to leave for each variable, zeroes.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from cosim.object.errors import ObjectError
from cosim.sw.object_driver.call import Function
from cosim.units.nearest import nearest

FILE = ".py"
"""What tells such a file from an object."""


@dataclass(frozen=True, slots=True)
class Own:
    """What files add: functions, and sizes of variables in bytes, each with the file that it is from."""

    functions: Mapping[str, Function] = field(default_factory=dict)
    data: Mapping[str, int] = field(default_factory=dict)
    files: Mapping[str, Path] = field(default_factory=dict)

    def unasked(self, asked: Collection[str]) -> Iterator[str]:
        """What is wrong with names that no object asks for."""
        for name, path in self.files.items():
            if name not in asked:
                yield f"{path}: no object asks for {name}; {nearest(name, asked)}"


def read_own(paths: Sequence[Path]) -> Own:
    """What the files of the user's define; the last of several wins. ObjectError."""
    functions: dict[str, Function] = {}
    data: dict[str, int] = {}
    files: dict[str, Path] = {}
    for path in paths:
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ObjectError([f"{path}: {getattr(error, 'strerror', None) or error}"]) from None
        scope = _run(path, text)
        if problems := list(_wrong(path, scope)):
            raise ObjectError(problems)
        functions |= scope["FUNCTIONS"]
        data |= scope.get("DATA", {})
        files |= dict.fromkeys([*scope["FUNCTIONS"], *scope.get("DATA", {})], path)
    return Own(functions, data, files)


@lru_cache(maxsize=8)
def _run(path: Path, text: str) -> dict[str, Any]:
    scope: dict[str, Any] = {"__name__": f"cosim_kernel_{path.stem}", "__file__": str(path)}
    try:
        exec(compile(text, str(path), "exec"), scope)
    except (Exception, SystemExit) as error:
        place = f"{path}:{error.lineno}" if isinstance(error, SyntaxError) else str(path)
        raise ObjectError([f"{place} does not load: {type(error).__name__}: {error}"]) from error
    return scope


def _wrong(path: Path, scope: Mapping[str, Any]) -> Iterator[str]:
    functions, data = scope.get("FUNCTIONS"), scope.get("DATA", {})
    if not isinstance(functions, dict):
        yield f"{path}: FUNCTIONS is missing: a dictionary of coroutine functions, by the kernel's names for them"
        return
    for name, function in functions.items():
        if not isinstance(name, str) or not name.isidentifier():
            yield f"{path}: FUNCTIONS: {name!r} is no name of a function of the kernel"
        elif not inspect.iscoroutinefunction(function):
            yield f"{path}: {name} is no coroutine function; write `async def`, with one argument, the call"
        elif not _takes_one(function):
            yield f"{path}:{function.__code__.co_firstlineno}: {name} must take one argument, the call"
    if not isinstance(data, dict):
        yield f"{path}: DATA is no dictionary of sizes in bytes, by the kernel's names of variables"
        return
    for name, size in data.items():
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            yield f"{path}: DATA: {name} has the size {size!r}; it is a number of bytes"


def _takes_one(function: Function) -> bool:
    try:
        inspect.signature(function).bind(None)
    except TypeError:
        return False
    return True
