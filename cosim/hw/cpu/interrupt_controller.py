"""A CPU's interrupts: wires, messages, masks and handlers; and the interrupt file that turns writes into messages."""

from __future__ import annotations

from collections.abc import Callable

from cosim.sim.footprints import Footprint
from cosim.sim.operations import Body

Handler = Callable[[], Body]


class InterruptController:
    """The interrupts of one CPU, by vector; the lowest one goes first.

    A vector is *pending* while its wire is high, or from a message until it is taken. It is *deliverable* if it is
    pending, connected to a handler and not masked. A wire that is still high after its handler has returned is
    delivered again; a message that comes without a handler stays pending.
    """

    __slots__ = ("_handlers", "_high", "_masked", "_messages", "_touches", "deliverable", "delivered")

    def __init__(self) -> None:
        self.deliverable: int | None = None
        """The vector that is delivered next."""
        self._handlers: dict[int, Handler] = {}
        self._touches: dict[int, Callable[[], Footprint]] = {}
        self._high: set[int] = set()
        self._messages: set[int] = set()
        self._masked: set[int] = set()

    def wire(self, vector: int, level: bool) -> None:
        """The wire of `vector` has gone high or low."""
        if level:
            self._high.add(vector)
        else:
            self._high.discard(vector)
        self._settle()

    def message(self, vector: int) -> None:
        """A message for `vector` has come in; several before it is taken are one."""
        self._messages.add(vector)
        self._settle()

    def mask(self, vector: int, masked: bool) -> None:
        """Keep `vector` from being delivered, or let it be."""
        if masked:
            self._masked.add(vector)
        else:
            self._masked.discard(vector)
        self._settle()

    def connect(self, vector: int, handler: Handler | None, touches: Callable[[], Footprint] = tuple) -> None:
        """Have `handler`, which wakes others by the words ``touches()``, serve `vector`; None disconnects it."""
        if handler is None:
            self._handlers.pop(vector, None)
        else:
            self._handlers[vector] = handler
            self._touches[vector] = touches
        self._settle()

    def touches(self, vector: int) -> Footprint:
        """The words by which the handler of `vector` wakes others."""
        return self._touches[vector]()

    def take(self) -> tuple[int, Handler]:
        """Take the deliverable interrupt: its vector and handler."""
        vector = self.deliverable
        if vector is None:
            raise RuntimeError("no interrupt is deliverable")
        self._messages.discard(vector)
        self._settle()
        return vector, self._handlers[vector]

    def _settle(self) -> None:
        self.deliverable = min(
            ((self._high | self._messages) & self._handlers.keys()) - self._masked,
            default=None,
        )
