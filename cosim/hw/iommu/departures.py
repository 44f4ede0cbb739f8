"""The order in which requests go on to memory once they are translated: ``geometry.order``."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Mapping
from typing import TYPE_CHECKING

from cosim.hw.dma.transaction import Transaction
from cosim.hw.iommu.options import Order
from cosim.sim.gate import Gate
from cosim.sim.task import Routine

if TYPE_CHECKING:
    from cosim.sim.simulation import Sim

STREAMS: Mapping[Order, Callable[[Transaction], Hashable]] = {
    "writes": lambda txn: txn.master if txn.write else None,
    "kind": lambda txn: (txn.master, txn.write),
    "device": lambda txn: txn.master,
}
"""In which stream a request keeps its place; None is in none."""


class Turn:
    """A request's place in its stream, from its arrival until it goes on; it has to `wait` before that."""

    __slots__ = ("_gate", "_sim", "_stream")

    def __init__(self, sim: Sim, stream: deque[Turn]) -> None:
        self._sim = sim
        self._stream = stream
        self._gate: Gate | None = None
        stream.append(self)

    def wait(self) -> Routine:
        """Wait until all that came before in this stream have gone on, and let the next one follow.

        ```
        arrival   1        2        3
                  miss     hit      hit
                  walks    waits    waits      2 and 3 keep their places in the IOMMU
                  goes on  goes on  goes on    each a tick after the one before it
        ```
        """
        stream = self._stream
        if stream[0] is not self:
            self._gate = Gate(self._sim, 0, "order")
            yield self._gate
        stream.popleft()
        if stream and (gate := stream[0]._gate) is not None:
            gate.flush()


class Departures:
    """Requests that are in the IOMMU, by stream and in the order in which they came."""

    def __init__(self, sim: Sim, order: Order) -> None:
        self._sim = sim
        self._stream_of = STREAMS[order]
        self._streams: defaultdict[Hashable, deque[Turn]] = defaultdict(deque)

    def enter(self, txn: Transaction) -> Turn | None:
        """A request has come in; None if it may go on when it likes."""
        stream = self._stream_of(txn)
        return None if stream is None else Turn(self._sim, self._streams[stream])
