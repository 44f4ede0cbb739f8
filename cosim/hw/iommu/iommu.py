"""A RISC-V IOMMU: registers, queues and the translation of DMA, wired together."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from cosim.hw.iommu.registers import RegisterFile
from cosim.hw.iommu.translate import Translation
from cosim.hw.iommu.warl import Reset
from cosim.hw.options import IommuOptions
from cosim.hw.transaction import Transaction
from cosim.sim.component import Component
from cosim.sim.transport import Port
from cosim.spec.registers import Capabilities

if TYPE_CHECKING:
    from cosim.sim.kernel import Sim


class Iommu(Component):
    """The IOMMU at `path`, with its way to memory `port` and its interrupt wires ``wire(vector, level)``.

    `capabilities` and `reset` take the place of what `options` say about the register of that name and about
    hardwired bits.
    """

    def __init__(
        self,
        sim: Sim,
        path: str,
        options: IommuOptions,
        port: Port,
        *,
        wire: Callable[[int, bool], None],
        capabilities: Capabilities | None = None,
        reset: Reset | None = None,
    ) -> None:
        super().__init__(sim, path)
        self.options = options
        self.registers = RegisterFile(sim, path, options, capabilities=capabilities, reset=reset)
        self.translation = Translation(sim, path, options, port, self.registers)

    def transport(self, txn: Transaction) -> Generator[Any, Any, None]:
        """Translate a request and make its access; sets `txn.address` and `txn.status`."""
        yield from self.translate(txn)

    def translate(self, txn: Transaction) -> Generator[Any, Any, None]:
        """Translate a request and make no access; a fault is reported, and sets `txn.status`."""
        yield from self.translation.translate(txn)

    def counters(self) -> dict[str, int]:
        """Statistics by name, such as ``iotlb.hits``."""
        return {}
