"""The way of a device to memory without an IOMMU."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from cosim.hw.dma.datapath import DataPath
from cosim.hw.dma.transaction import Transaction
from cosim.sim.simulation import Sim
from cosim.sim.transport import Port

Transport = Callable[[Transaction], Generator[Any, Any, None]]
"""Takes a request from the IO bridge to memory and back: `Iommu.transport`, or that of `Direct`."""


class Direct:
    """The way to memory without an IOMMU: a device's addresses are physical."""

    def __init__(self, sim: Sim, port: Port) -> None:
        self.sim = sim
        self.data = DataPath(sim, port)

    def transport(self, txn: Transaction) -> Generator[Any, Any, None]:
        """Make the access at the address that the device gave."""
        txn.address = txn.iova
        txn.translated = self.sim.now
        access = self.data.begin(txn)
        yield access
        self.data.end(txn, access)
