"""Probes: where events of one type may be seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

E = TypeVar("E")


class Probe(list[Callable[[E], None]], Generic[E]):
    """Where events of one type may be seen; false while nobody watches, so that ``if probe: probe(E(...))`` is free.

    It is the list of its watchers, called in the order in which they began. Firing takes no simulated time and
    schedules nothing.
    """

    __slots__ = ()

    def __call__(self, event: E) -> None:
        for watcher in self:
            watcher(event)

    def watch(self, watcher: Callable[[E], None]) -> None:
        """Call `watcher` with each event from here on."""
        self.append(watcher)
