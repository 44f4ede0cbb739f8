"""Places in the source: where a coroutine or a generator is suspended, under a name that outlives edits elsewhere.

A place is the module without its package, the qualified name of the innermost function, and the line relative to the
function's first one: ``policies.bonds.GroupedBonds.link+7``. It is the same in every run and every version of Python.
Nothing is kept for it but the names of places that were asked for: the frames are looked at when somebody asks.
"""

from __future__ import annotations

import gc
from types import AsyncGeneratorType, CodeType, CoroutineType, FrameType, GeneratorType

from cosim.sim.operations.op import Op

_PACKAGES = ("cosim.sw.driver.", "cosim.sw.", "cosim.")
"""What is left out at the beginning of a module's name: the first of these that it has."""
_AWAITS_ONE = Op.__await__.__code__
_NAMES: dict[tuple[CodeType, int, CodeType, str], str] = {}
"""The names of places: by the code and the instruction that is suspended, the function around it, and its module."""


def place_of(waiting: object) -> str:
    """Where a coroutine or a generator waits: in what it awaits or yields from, as far inside as there is a source.

    Empty for one that has not begun, has ended, or is no coroutine or generator of Python's.
    """
    inner: object = waiting
    frames: list[FrameType] = []
    while True:
        if isinstance(inner, CoroutineType):
            suspended, frame, inner = inner.cr_suspended, inner.cr_frame, inner.cr_await
        elif isinstance(inner, GeneratorType):
            if inner.gi_code is _AWAITS_ONE:
                break
            suspended, frame, inner = inner.gi_suspended, inner.gi_frame, inner.gi_yieldfrom
        elif isinstance(inner, AsyncGeneratorType):
            suspended, frame, inner = True, inner.ag_frame, inner.ag_await
        elif type(inner).__name__ in ("async_generator_asend", "async_generator_athrow"):
            inner = next((held for held in gc.get_referents(inner) if isinstance(held, AsyncGeneratorType)), None)
            continue
        else:
            break
        if frame is None or not suspended:
            break
        frames.append(frame)
    return _named(frames) if frames else ""


def place_of_caller(frame: FrameType) -> str:
    """Where the function of `frame` stands now."""
    return _named([frame])


def _named(frames: list[FrameType]) -> str:
    """The place of the innermost frame; a comprehension belongs to the function around it (as from 3.12 on)."""
    innermost = frames[-1]
    function = next((frame for frame in reversed(frames) if frame.f_code.co_name[0] != "<"), innermost)
    module = str(function.f_globals.get("__name__", ""))
    key = (innermost.f_code, innermost.f_lasti, function.f_code, module)
    if key not in _NAMES:
        _NAMES[key] = _name(innermost, function, module)
    return _NAMES[key]


def _name(innermost: FrameType, function: FrameType, module: str) -> str:
    for package in _PACKAGES:
        if module.startswith(package):
            module = module.removeprefix(package)
            break
    return f"{module}.{function.f_code.co_qualname}+{innermost.f_lineno - function.f_code.co_firstlineno}"
