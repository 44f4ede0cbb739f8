"""Which threads are in an RCU read section, and since when."""

from __future__ import annotations

from typing import ClassVar

from cosim.events import ReadSectionBegun, ReadSectionEnded
from cosim.oracles.oracle import Book


class Readers(Book):
    """The threads that are in a read section: `since` has the time at which each began, in picoseconds."""

    watches: ClassVar = {ReadSectionBegun: "begun", ReadSectionEnded: "ended"}

    def __init__(self) -> None:
        self.since: dict[str, int] = {}

    def begun(self, event: ReadSectionBegun) -> None:
        self.since[event.who] = event.time

    def ended(self, event: ReadSectionEnded) -> None:
        self.since.pop(event.who, None)
