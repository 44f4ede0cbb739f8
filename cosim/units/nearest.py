"""The nearest right name for a wrong one: `did you mean x?`, as every error says it."""

import difflib
from collections.abc import Iterable

NEAR = 0.6
"""How alike two names must be, from 0 to 1, for one to be taken for a misspelling of the other."""


def closest(name: str, choices: Iterable[str], cutoff: float = NEAR) -> str | None:
    """The one of `choices` that `name` is probably a misspelling of; case, `-` and `_` do not count."""
    spelled = {_plain(choice): choice for choice in choices}
    near = difflib.get_close_matches(_plain(name), spelled, n=1, cutoff=cutoff)
    return spelled[near[0]] if near else None


def nearest(name: str, choices: Iterable[str]) -> str:
    """`did you mean x?` if one of `choices` is near `name`, else all of them."""
    choices = list(choices)
    if near := closest(name, choices):
        return f"did you mean {near}?"
    return f"there are: {', '.join(choices)}" if choices else "there are none"


def _plain(name: str) -> str:
    return name.lower().replace("-", "_")
