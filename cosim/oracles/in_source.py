"""Where in the source of the driver something is, for messages: of a driver that a kernel's tree has compiled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Protocol

from cosim.oracles.oracle import Book


class Source(Protocol):
    """The source of the driver, as far as it is known; nothing here takes time."""

    def member(self, address: int) -> str:
        """The member of a structure that a word of an object is, such as ``own_domain.pscid``; empty if not known."""

    def stands(self, message: str, since_ps: int) -> str:
        """What a message about the present moment does not say: where in the driver's source who is named there stands.

        What happened before `since_ps` is of no account. Empty if nothing is known.
        """


class InSource(Book):
    """`of` is None where events are judged without a source."""

    watches: ClassVar[Mapping[type, str]] = {}

    def __init__(self, of: Source | None = None) -> None:
        self.of = of
