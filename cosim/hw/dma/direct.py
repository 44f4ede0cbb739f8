"""The way of a device to memory without an IOMMU."""

from __future__ import annotations

from collections.abc import Callable

from cosim.hw.dma.datapath import DataPath
from cosim.hw.dma.transaction import Transaction
from cosim.sim.ranks import Stage
from cosim.sim.simulation import Sim
from cosim.sim.task import Routine
from cosim.sim.transport import Access, Port, Route, Target

Transport = Callable[[Transaction], Routine]
"""Takes a request from the IO bridge to memory and back, and calls ``txn.accepted``, if there is one, once it has a
place for the request: `Iommu.transport`, or that of `Direct`."""


class Direct:
    """The way to memory without an IOMMU: a device's addresses are physical."""

    def __init__(self, sim: Sim, port: Port) -> None:
        self.sim = sim
        self.data = DataPath(sim, port)
        self._rank = sim.initiator(f"{port.path}.accepted")

    def transport(self, txn: Transaction) -> Routine:
        """Make the access at the address that the device gave; memory has accepted it when it is served."""
        txn.address = txn.iova
        txn.translated = self.sim.now
        access = self.data.begin(txn)
        if txn.accepted is not None:
            access.port = _AcceptingPort(access.port, self.sim, self._rank.rank(Stage.MEMORY), txn.accepted)
        yield access
        self.data.end(txn, access)


class _AcceptingPort(Port):
    """A port beyond which the target says when an access begins to be served."""

    def __init__(self, port: Port, sim: Sim, rank: int, accepted: Callable[[], None]) -> None:
        self.path = port.path
        self._port = port
        self._sim = sim
        self._rank = rank
        self._accepted = accepted

    def route(self, address: int, size: int) -> Route:
        """The way there, with `_Accepting` in front of the target."""
        way = self._port.route(address, size)
        return Route(_Accepting(way.target, self._sim, self._rank, self._accepted), way.out_ps, way.back_ps)


class _Accepting(Target):
    """A target that calls `accepted` when an access begins to be served."""

    def __init__(self, target: Target, sim: Sim, rank: int, accepted: Callable[[], None]) -> None:
        self._target = target
        self._sim = sim
        self._rank = rank
        self._accepted = accepted

    def arrive(self, access: Access, now: int) -> int:
        """Enter the target's queue."""
        done = self._target.arrive(access, now)
        if access.waited_ps:
            self._sim.at(now + access.waited_ps, self._rank, self._accepted)
        else:
            self._accepted()
        return done

    def commit(self, access: Access) -> None:
        """Take hold there."""
        self._target.commit(access)

    def peek(self, address: int, size: int) -> int:
        """What is there."""
        return self._target.peek(address, size)

    def poke(self, address: int, size: int, value: int) -> None:
        """Change what is there."""
        self._target.poke(address, size, value)
