"""Who has given something back last, so that the first one who waits for it goes on."""

from __future__ import annotations

from collections import defaultdict, deque

KEPT = 64
"""So many are remembered of each resource: more than give it back at one moment."""


class Releases:
    """Hand-overs of slots, walkers and places: a gate lets the waiter through one tick after it was given back."""

    __slots__ = ("_given",)

    def __init__(self) -> None:
        self._given: defaultdict[str, deque[tuple[int, str]]] = defaultdict(lambda: deque(maxlen=KEPT))

    def give(self, resource: str, time: int, who: str) -> None:
        """`who` gives `resource` back."""
        self._given[resource].append((time, who))

    def taken(self, resource: str, since: int, now: int) -> str:
        """Whom somebody waited for who has waited since `since` and goes on now; empty if nobody is known.

        Several who go on at one moment follow the order in which the resource was given back.
        """
        given = self._given[resource]
        for index, (time, who) in enumerate(given):
            if time == now - 1:
                del given[index]
                return who
        return next((who for time, who in reversed(given) if since <= time < now), "")
