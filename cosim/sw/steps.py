"""Steps of a policy: what it does for the sake of order or of another thread, each to be taken out alone, by its name.

A step is a method under ``@step()``: a barrier, a command, a wait, a section under a lock, a reference. Taken out, it
does nothing and answers what `step` was given: `UNGUARDED` for a section, True for a wait, False for a question that
decides between two ways of doing one thing.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from copy import copy
from functools import cache
from typing import Any, NamedTuple, TypeVar, cast

from cosim.sw.kernel.locks import Unguarded

F = TypeVar("F", bound=Callable[..., Any])
P = TypeVar("P")

UNGUARDED = Unguarded()
"""The section that a lock leaves behind when it is taken out."""


class Step(NamedTuple):
    """A step as `cosim list steps` and ``-s driver.AXIS.without=NAME`` have it."""

    name: str
    about: str
    """The first line of the method's docstring."""
    method: str


def step(answer: object = None) -> Callable[[F], F]:
    """Mark a method as a step; `answer` is what it returns when it is taken out."""

    def mark(method: F) -> F:
        vars(method)["step_answer"] = (answer,)
        return method

    return mark


def steps(policy: object) -> Mapping[str, Step]:
    """The steps of a policy by their names: a method that overrides one is a step only if it is marked itself.

    `no_steps` of a policy's class names inherited methods that it does not come to.
    """
    kind: type = type(policy)
    return _steps_of(kind)


@cache
def _steps_of(policy: type) -> Mapping[str, Step]:
    found: dict[str, Step] = {}
    for kind in reversed(policy.__mro__):
        for method in vars(kind):
            function = getattr(policy, method, None)
            if hasattr(function, "step_answer") and method not in getattr(policy, "no_steps", ()):
                name = method.strip("_").replace("_", "-")
                about = (inspect.getdoc(function) or "").split("\n\n")[0].replace("\n", " ").rstrip(".")
                found[name] = Step(name, about, method)
    return found


def without(policy: P, names: Collection[str]) -> P:
    """`policy` with some of its steps taken out; each name is one of `steps(policy)`."""
    known = steps(policy)
    methods = frozenset(known[name].method for name in names)
    changed = copy(policy)
    object.__setattr__(changed, "__class__", _kind_without(cast(Any, type(policy)), methods))
    return changed


@cache
def _kind_without(kind: type, methods: frozenset[str]) -> type:
    return type(kind.__name__, (kind,), {method: _nothing(getattr(kind, method)) for method in methods})


def _nothing(method: Callable[..., Any]) -> Callable[..., Any]:
    (answer,) = vars(method)["step_answer"]

    async def later(*_: object, **__: object) -> object:
        return answer

    def at_once(*_: object, **__: object) -> object:
        return answer

    return later if inspect.iscoroutinefunction(method) else at_once
