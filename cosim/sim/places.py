"""Places in the source: where a coroutine or a generator is suspended, under a name that outlives edits elsewhere.

A place is the module without its package, the qualified name of the innermost function, and the line relative to the
function's first one: ``policies.bonds.GroupedBonds.link+7``. It is the same in every run and every version of Python.
Nothing is kept for it but the names of places that were asked for: the frames are looked at when somebody asks.
"""

from __future__ import annotations

import gc
from types import AsyncGeneratorType, CodeType, CoroutineType, FrameType, GeneratorType
from typing import Any

from cosim.sim.operations.op import Op

_PACKAGES = ("cosim.sw.driver.", "cosim.sw.", "cosim.")
"""What is left out at the beginning of a module's name, the longest first."""
_AWAITS_ONE = Op.__await__.__code__
_FRAMES = {CoroutineType: "cr_frame", GeneratorType: "gi_frame", AsyncGeneratorType: "ag_frame"}
_NAMES: dict[tuple[CodeType, int, CodeType, str], str] = {}
"""The names of places: by the code and the instruction that is suspended, the function around it, and its module."""


def place_of(waiting: object) -> str:
    """Where a coroutine or a generator waits: in what it awaits or yields from, as far inside as there is a source.

    Empty for one that has not begun, has ended, or is no coroutine or generator of Python's.
    """
    stack, _ = _suspended(waiting)
    if not stack:
        return ""
    innermost = frame = _frame_of(stack.pop())
    while stack and frame.f_code.co_name[0] == "<":
        frame = _frame_of(stack.pop())
    return _named(innermost, frame)


def awaits(waiting: object) -> tuple[list[FrameType], Op[Any] | None]:
    """The frames in which a coroutine waits, the innermost first, and the operation that it awaits there, if any."""
    stack, inner = _suspended(waiting)
    frame = inner.gi_frame if type(inner) is GeneratorType else None
    op = frame.f_locals["self"] if frame is not None and frame.f_code is _AWAITS_ONE else None
    return [_frame_of(each) for each in reversed(stack)], op


def _suspended(waiting: object) -> tuple[list[Any], Any]:
    """What waits for one another, as far inside as there is a source, and what the innermost of it awaits."""
    inner: Any = waiting
    stack: list[Any] = []
    while True:
        kind = type(inner)
        if kind is CoroutineType:
            if not inner.cr_suspended:
                break
            stack.append(inner)
            inner = inner.cr_await
        elif kind is GeneratorType:
            if not inner.gi_suspended or inner.gi_code is _AWAITS_ONE:
                break
            stack.append(inner)
            inner = inner.gi_yieldfrom
        elif kind is AsyncGeneratorType:
            if inner.ag_frame is None:
                break
            stack.append(inner)
            inner = inner.ag_await
        elif kind.__name__ in ("async_generator_asend", "async_generator_athrow"):
            inner = next((held for held in gc.get_referents(inner) if isinstance(held, AsyncGeneratorType)), None)
        else:
            break
    return stack, inner


def _frame_of(suspended: object) -> FrameType:
    """Its frame, which Python makes when it is asked for: that costs as much as to go past several without."""
    frame: FrameType = getattr(suspended, _FRAMES[type(suspended)])
    return frame


def place_of_caller(frame: FrameType) -> str:
    """Where the function of `frame` stands now."""
    return _named(frame, frame)


def _named(innermost: FrameType, function: FrameType) -> str:
    """The place of the innermost frame; a comprehension belongs to the `function` around it (as from 3.12 on)."""
    module = str(function.f_globals.get("__name__", ""))
    key = (innermost.f_code, innermost.f_lasti, function.f_code, module)
    if key not in _NAMES:
        _NAMES[key] = _name(innermost, function, module)
    return _NAMES[key]


def _name(innermost: FrameType, function: FrameType, module: str) -> str:
    for package in _PACKAGES:
        module = module.removeprefix(package)
    return f"{module}.{function.f_code.co_qualname}+{innermost.f_lineno - function.f_code.co_firstlineno}"
