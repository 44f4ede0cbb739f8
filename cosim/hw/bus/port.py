"""The way of one initiator onto the bus, and the order of what it sends behind one another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from cosim.hw.bus.nowhere import NOWHERE
from cosim.sim.gate import Gate
from cosim.sim.server import Server
from cosim.sim.simulation import Sim
from cosim.sim.spent import NAMES
from cosim.sim.task import Subroutine, Task
from cosim.sim.transport import Access, AccessKind, Port, Route, Target, counts_for


class Place(Protocol):
    """A range of addresses, and what answers there."""

    @property
    def base(self) -> int: ...

    @property
    def end(self) -> int:
        """The first byte address after it."""

    @property
    def target(self) -> Target: ...

    @property
    def node(self) -> int: ...

    @property
    def remote_ps(self) -> int:
        """How much longer the way from another node is."""


class AddressMap(Protocol):
    """What a port asks of the bus."""

    sim: Sim

    def find(self, address: int, size: int = 1) -> Place | None:
        """The range that holds all `size` bytes from `address` on."""

    def target(self, address: int, size: int = 1) -> Target:
        """What answers at `address`; where nothing does, one that refuses."""


class BusPort(Port):
    """Where one initiator leaves for the bus: every access takes the same hop there and back, and a longer one to what
    is on another node.

    What leaves by `in_order` or `post` reaches each target in the order in which it left; a plain `Access` may
    overtake it.
    """

    def __init__(self, bus: AddressMap, path: str, hop_ps: int, node: int | None = None) -> None:
        self.bus = bus
        self.path = path
        self.hop_ps = hop_ps
        self.node = node
        self.initiator = bus.sim.initiator(path)
        self._nowhere = Route(NOWHERE, hop_ps, hop_ps)
        self._base = self._end = 0
        self._route = self._nowhere
        self._landing = BusPort(bus, path, 0, node) if hop_ps else self
        self._turns: dict[Target, Gate] = {}
        self._hops: dict[int, Server] = {}
        """By the latency part that a hop counts for: a pure delay, in which nobody is in the way of another."""

    def __repr__(self) -> str:
        return f"<BusPort {self.path}>"

    def route(self, address: int, size: int) -> Route:
        """The way to who answers at all `size` bytes from `address` on; refused where they are not one target's."""
        if self._base <= address and address + size <= self._end:
            return self._route
        found = self.bus.find(address, size)
        if found is None:
            return self._nowhere
        self._base, self._end = found.base, found.end
        hop_ps = self.hop_ps + (found.remote_ps if self.node not in (None, found.node) else 0)
        self._route = Route(found.target, hop_ps, hop_ps)
        return self._route

    def in_order(self, access: Access) -> Subroutine[Access]:
        """Make `access` behind everything that left here in order for the same target before it."""
        hop = self._hops.get(access.counts.hop)
        if hop is None:
            hop = self._hops[access.counts.hop] = Server(0, NAMES[access.counts.hop], latency_ps=self.hop_ps)
        if self.hop_ps:
            yield hop
        access.port = self._landing
        target = self.bus.target(access.address, access.size)
        turn = self._turns.get(target)
        if turn is None:
            turn = self._turns[target] = Gate(self.bus.sim, 1, NAMES[access.counts.wait])
        yield turn
        yield access
        turn.release()
        if self.hop_ps:
            yield hop
        return access

    def post(
        self,
        address: int,
        size: int,
        words: Sequence[int],
        rank: int,
        *,
        agent: str = "",
        owner: str = "",
        part: str = "mmio",
    ) -> Task:
        """Send a write on its way in order, and do not wait for it; `rank` is one of the writer's."""
        access = Access(self, AccessKind.WRITE, address, size, counts_for(part), words, agent=agent, owner=owner)
        return self.bus.sim.start(self.in_order(access), rank)
