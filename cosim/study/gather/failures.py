"""Who wants to be told of DMA requests that failed, and of no others."""

from __future__ import annotations

from collections.abc import Callable

from mypy_extensions import mypyc_attr

from cosim.events import DmaDone


@mypyc_attr(allow_interpreted_subclasses=True)
class Failures:
    """Tells `listeners` of each request that has failed, and of the first one of its device that has not, after such.

    `failing` are the devices whose last request has failed.
    """

    __slots__ = ("failing", "listeners")

    def __init__(self) -> None:
        self.listeners: list[Callable[[DmaDone], None]] = []
        self.failing: set[str] = set()

    def done(self, event: DmaDone) -> None:
        """A request is over."""
        if self.failing or event.status != "SUCCESS":
            self.tell(event)

    def tell(self, event: DmaDone) -> None:
        """The same of one that has failed, or that has not while some device's last request has."""
        if event.status != "SUCCESS":
            self.failing.add(event.who)
        elif event.who in self.failing:
            self.failing.discard(event.who)
        else:
            return
        for listener in self.listeners:
            listener(event)
