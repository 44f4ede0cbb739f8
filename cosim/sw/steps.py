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


COME_TO = "steps_come_to"
"""The attribute of a policy without some steps that holds those of them that somebody has come to."""


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
    vars(changed)[COME_TO] = set()
    return changed


def idle_steps(policy: object) -> list[str]:
    """The steps taken out of `policy` that nobody has come to so far: with them it would have done the same."""
    return [name for name in _taken_out(type(policy)) if name not in vars(policy)[COME_TO]]


@cache
def _kind_without(kind: type, methods: frozenset[str]) -> type:
    known = [step for step in _steps_of(kind).values() if step.method in methods]
    taken_out = [step.name for step in known]
    changed = {step.method: _nothing(step.name, getattr(kind, step.method)) for step in known}
    return type(kind.__name__, (kind,), {**changed, "steps_taken_out": (*_taken_out(kind), *taken_out)})


def _taken_out(kind: type) -> tuple[str, ...]:
    return getattr(kind, "steps_taken_out", ())


def _nothing(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    """What stands in the place of a step: it notes that it was come to, for nobody in the run to see, and answers."""
    (answer,) = vars(method)["step_answer"]

    async def later(policy: object, *_: object, **__: object) -> object:
        vars(policy)[COME_TO].add(name)
        return answer

    def at_once(policy: object, *_: object, **__: object) -> object:
        vars(policy)[COME_TO].add(name)
        return answer

    return later if inspect.iscoroutinefunction(method) else at_once
