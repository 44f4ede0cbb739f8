"""The process to translate an IOVA (2.3), the caches that shorten it, and what invalidates them."""

from __future__ import annotations

from collections.abc import Generator, Hashable
from typing import TYPE_CHECKING, Any

from cosim.hw.iommu.registers import RegisterFile
from cosim.hw.options import IommuOptions
from cosim.hw.transaction import Transaction
from cosim.sim.component import Component
from cosim.sim.transport import Port
from cosim.spec.queues import Command, Iotinval

if TYPE_CHECKING:
    from cosim.sim.kernel import Sim


class Translation(Component):
    """What an IOMMU knows of its tables. Invalidations are plain calls and take hold at once."""

    def __init__(self, sim: Sim, path: str, options: IommuOptions, port: Port, registers: RegisterFile) -> None:
        super().__init__(sim, path)
        self.options = options
        self.port = port
        self.registers = registers

    def translate(self, txn: Transaction) -> Generator[Any, Any, None]:
        """Set `txn.address`, or raise `Fault`."""
        raise NotImplementedError
        yield

    def invalidate_vma(self, command: Iotinval) -> None:
        """IOTINVAL.VMA takes hold."""

    def invalidate_gvma(self, command: Iotinval) -> None:
        """IOTINVAL.GVMA takes hold."""

    def invalidate_ddt(self, device_id: int | None) -> None:
        """IODIR.INVAL_DDT takes hold: for one device, or for all."""

    def invalidate_pdt(self, device_id: int, process_id: int) -> None:
        """IODIR.INVAL_PDT takes hold."""

    def settle(self, pr: bool, pw: bool) -> Generator[Any, Any, None]:
        """Wait for what an IOFENCE waits for: see `Ledger`."""
        return
        yield

    def footprint(self, command: Command) -> tuple[Hashable, ...]:
        """What the execution of an invalidation touches, as an action: it conflicts with look-ups and fills."""
        return ((self.path, "all"),)
