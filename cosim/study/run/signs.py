"""What a run has shown, in words that are the same in whatever run: what searches look for and findings are of."""

from __future__ import annotations

import re
from collections.abc import Iterable

OF_SIGNATURES = ("violations:", "signatures:")
"""How failures begin that only say that there were violations, or which."""

_NUMBER = re.compile(r"0x[0-9a-f]+|(?<![\w.#-])\d[\d,.]*\d|(?<![\w.#-])\d")


def signs_of(outcome: str, signatures: Iterable[str], failures: Iterable[str]) -> tuple[str, ...]:
    """The signatures of a run's violations; then what else was not as expected, with N for every number in it.

    None of a run that is ok: what it was expected to violate is nothing to be found.
    """
    if outcome == "ok":
        return ()
    others = [kind(text) for text in failures if not text.startswith(OF_SIGNATURES)]
    if outcome != "failed":
        others = [f"{outcome}: {text}" for text in others] or [outcome]
    return (*sorted(signatures), *dict.fromkeys(others))


def kind(failure: str) -> str:
    """A failure without its numbers and details: up to a semicolon, or the end of its first line."""
    return _NUMBER.sub("N", failure.splitlines()[0].partition(";")[0]).strip()
