"""What a driver does, in a notation in which a policy and a compiled driver can be compared."""

from __future__ import annotations

from dataclasses import dataclass

CALL = "call"
"""The kind of a deed that begins or ends a call of the driver."""
PAGES = "page"
"""That of what is done with whole pages, which each side calls after who asks for them."""


@dataclass(frozen=True, slots=True)
class Deed:
    """One thing that a thread does, in program order.

    `what` is equal on both sides if they do the same. `name` is what this side calls the thing, such as a lock or a
    kind of object: names need not be equal, but one always stands for the other. `place` is where in the source.
    """

    kind: str
    what: str
    place: str
    name: str = ""

    def __str__(self) -> str:
        named = f" {self.name}" if self.name else ""
        return f"{self.what}{named}"
