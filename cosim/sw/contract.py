"""Whether a thing keeps a contract that is written as a `Protocol`: told in words, before anything is called."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, ParamSpec, TypeVar

A = TypeVar("A")
P = ParamSpec("P")

SPECIAL = frozenset({"__contains__", "__iter__"})
"""The members with underscores that a contract may ask for."""


class WrongAnswer(TypeError):
    """A method has returned something of another type than its contract says; `method` is the one."""

    def __init__(self, method: Any, answer: object, wanted: type) -> None:
        super().__init__(f"{getattr(method, '__qualname__', repr(method))} returned {_not(answer, wanted)}")
        self.method = method


class WrongThing(WrongAnswer):
    """Something of another type than is wanted stands where a policy puts such things; `method` is one of its own."""

    def __init__(self, place: str, found: object, wanted: type, policy: object) -> None:
        TypeError.__init__(self, f"{type(policy).__name__} leaves {place} {_not(found, wanted)}")
        own = (each for base in type(policy).__mro__ for each in vars(base).values() if inspect.isfunction(each))
        # Those of a dataclass are of no file.
        self.method = next((each for each in own if not each.__code__.co_filename.startswith("<")), None)


class WrongValue(WrongAnswer):
    """A method has returned something of the right type that is no answer all the same: it is `wrong`."""

    def __init__(self, method: Any, answer: object, wrong: str) -> None:
        name = getattr(method, "__qualname__", repr(method))
        TypeError.__init__(self, f"{name} returned {answer!r}, which is {wrong}")
        self.method = method


def _not(found: object, wanted: type) -> str:
    article = "an" if wanted.__name__[0] in "aeiouAEIOU" else "a"
    return f"{found!r}, which is not {article} {wanted.__name__}"


def answer_of(method: Any, answer: Any, wanted: type[A]) -> A:
    """What `method` has returned, as it is. WrongAnswer if that is of another type than `wanted`."""
    if not isinstance(answer, wanted) or (wanted is not bool and isinstance(answer, bool)):
        raise WrongAnswer(method, answer, wanted)
    return answer


async def asked(wanted: type[A], method: Callable[P, Coroutine[Any, Any, A]], *given: P.args, **named: P.kwargs) -> A:
    """What `method` returns for what it is given, for one that is asked now and then: it costs a frame. WrongAnswer."""
    return answer_of(method, await method(*given, **named), wanted)


def members(contract: type) -> list[str]:
    """The names of the methods and attributes that `contract` asks for, in the order of its text."""
    found: dict[str, None] = {}
    for base in reversed(contract.__mro__):
        if getattr(base, "_is_protocol", False):
            names = [*inspect.get_annotations(base), *vars(base)]
            found |= dict.fromkeys(name for name in names if name in SPECIAL or not name.startswith("_"))
    return list(found)


def breaches(contract: type, thing: Any) -> list[str]:
    """In words, every way in which the object `thing` does not keep `contract`; empty if it does.

    A method has to be callable as the contract calls it, by position, whatever the names of its parameters are, and
    to be ``async`` where it is awaited, as has one that takes the place of a base class's own. What a method returns is
    looked at by who asks it (`answer_of`).
    """
    asked = members(contract)
    found = [text for name in asked if (text := _breach(name, getattr(contract, name, None), thing))]
    return found + [text for name, text in _replaced(type(thing)) if name not in asked]


def _replaced(kind: type) -> Iterator[tuple[str, str]]:
    """The methods that are awaited as methods of a base class, and cannot be, or the other way round; by name."""
    for name in dict.fromkeys(name for base in kind.__mro__[:-1] for name in vars(base)):
        own, *others = (vars(base)[name] for base in kind.__mro__[:-1] if name in vars(base))
        if all(map(inspect.isfunction, (own, *others))) and (text := _awaited(name, others[-1], own) if others else ""):
            yield name, text


def _awaited(name: str, wanted: Any, found: Any) -> str:
    """In words, that one of two functions is awaited and the other one is not; empty if they are alike."""
    awaited = inspect.iscoroutinefunction(wanted)
    if awaited == inspect.iscoroutinefunction(inspect.unwrap(found)):
        return ""
    return f"its {name} is not async, and is awaited" if awaited else f"its {name} is async, and is not awaited"


def _breach(name: str, wanted: Any, thing: Any) -> str:
    if not inspect.isfunction(wanted):
        return "" if hasattr(thing, name) else f"it has no attribute {name}"
    call = f"{name}({', '.join(list(inspect.signature(wanted).parameters)[1:])})"
    found = getattr(thing, name, None)
    if found is None:
        return f"it has no method {call}"
    if not callable(found):
        return f"its {name} is no method"
    if text := _awaited(name, wanted, found):
        return text
    try:
        inspect.signature(found).bind(*list(inspect.signature(wanted).parameters)[1:])
    except TypeError:
        return f"its {name}{inspect.signature(found)} cannot be called as {call}"
    except ValueError:
        return ""  # C code that does not tell its parameters
    return ""
