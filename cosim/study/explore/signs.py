"""What a run has shown, in words that are the same in whatever run: what a search looks for."""

from __future__ import annotations

import re

from cosim.study.pool.record import Record

OF_SIGNATURES = ("violations:", "signatures:")
"""How failures begin that only say that there were violations, or which."""

_NUMBER = re.compile(r"0x[0-9a-f]+|(?<![\w.#-])\d[\d,.]*\d|(?<![\w.#-])\d")


def signs(record: Record) -> tuple[str, ...]:
    """The signatures of a run's violations; then what else was not as expected, with N for every number in it."""
    if record.outcome == "ok":
        return ()
    others = [kind(text) for text in record.failures if not text.startswith(OF_SIGNATURES)]
    if record.outcome not in ("ok", "failed"):
        others = [f"{record.outcome}: {text}" for text in others] or [record.outcome]
    return (*sorted(record.signatures), *dict.fromkeys(others))


def kind(failure: str) -> str:
    """A failure without its numbers and details: up to a semicolon, or the end of its first line."""
    return _NUMBER.sub("N", failure.splitlines()[0].partition(";")[0]).strip()
