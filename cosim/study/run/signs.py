"""What a run has shown, in words that are the same in whatever run: what searches look for and findings are of."""

from __future__ import annotations

import re
from collections.abc import Iterable

from cosim.oracles import Violation

OF_SIGNATURES = ("violations:", "signatures:")
"""How failures begin that only say that there were violations, or which."""

_NUMBER = re.compile(r"0x[0-9a-f]+|(?<![\w.#-])\d[\d,.]*\d|(?<![\w.#-])\d")


def first_of_each(violations: Iterable[Violation]) -> dict[str, Violation]:
    """The earliest violation of each signature, by it; the earliest of all first, which others may have followed from.

    Of those of one time the first is the one that was told first.
    """
    first: dict[str, Violation] = {}
    for violation in sorted(violations, key=lambda each: each.time_ps):
        first.setdefault(violation.signature, violation)
    return first


def signs_of(outcome: str, violations: Iterable[Violation], failures: Iterable[str]) -> tuple[str, ...]:
    """The signatures of a run's violations, the first one of time first; then what else was not as expected.

    That has N for every number in it.

    None of a run that is ok: what it was expected to violate is nothing to be found.
    """
    if outcome == "ok":
        return ()
    others = [kind(text) for text in failures if not text.startswith(OF_SIGNATURES)]
    if outcome != "failed":
        others = [f"{outcome}: {text}" for text in others] or [outcome]
    return (*first_of_each(violations), *dict.fromkeys(others))


def kind(failure: str) -> str:
    """A failure without its numbers and details: up to a semicolon, or the end of its first line."""
    return _NUMBER.sub("N", failure.splitlines()[0].partition(";")[0]).strip()
