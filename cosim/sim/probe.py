"""Probes: where events of one type may be seen."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

E = TypeVar("E")

KNOWN = 1 << 16
"""As much is known at a time: a device that may reach all of memory has no end of pages."""


class Probe(list[Callable[[E], object]], Generic[E]):
    """Where events of one type may be seen; false while nobody watches, so that ``if probe: probe(E(...))`` is free.

    It is the list of its watchers, called in the order in which they began. Firing takes no simulated time and
    schedules nothing.

    Who fires what is alike over and over has a key for it, looks that up in `known` before the record is made, and
    shows what is not there. What the watchers judged by may have changed since: whoever they rely on has to `forget`.
    """

    __slots__ = ("known",)

    def __init__(self) -> None:
        super().__init__()
        self.known: set[Hashable] = set()

    def __call__(self, event: E) -> None:
        for watcher in self:
            watcher(event)

    def show(self, event: E, key: Hashable) -> None:
        """The same; it is known from here on if each watcher returns true: it has no need to see what is alike."""
        enough = True
        for watcher in self:
            if not watcher(event):
                enough = False
        if enough:
            if len(self.known) == KNOWN:
                self.known.clear()
            self.known.add(key)

    def watch(self, watcher: Callable[[E], object]) -> None:
        """Call `watcher` with each event from here on."""
        self.known.clear()
        self.append(watcher)

    def forget(self, _: object = None) -> None:
        """Nothing is known from here on."""
        self.known.clear()
