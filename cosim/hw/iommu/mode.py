"""What a write of `ddtp.iommu_mode` sets in motion (5.5 "Device-directory-table pointer")."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cosim.events import StructureUsed
from cosim.hw.iommu.commands import TranslationSide
from cosim.hw.iommu.registers import RegisterFile
from cosim.sim.component import Component
from cosim.sim.ranks import Stage
from cosim.sim.server import Server
from cosim.sim.task import Routine
from cosim.spec.pagetable import PAGE, PAGE_LG2
from cosim.spec.register_map import DDTP
from cosim.spec.registers import Ddtp, IommuMode

if TYPE_CHECKING:
    from cosim.sim.simulation import Sim


class ModeChange(Component):
    """Keeps `ddtp.busy` 1 for ``timing.busy`` after a write of the mode.

    The mode itself holds from the write on. After a change to Off `busy` also lasts until every request that was
    processed before is committed. Caches are kept: invalidating them is software's business.
    """

    def __init__(
        self, sim: Sim, path: str, registers: RegisterFile, translation: TranslationSide, *, busy_ps: int
    ) -> None:
        super().__init__(sim, f"{path}.ddtp")
        self.registers = registers
        self.translation = translation
        self._delay = Server(0, "queue", latency_ps=busy_ps)
        self._initiator = sim.initiator(self.path)
        self._used = sim.probe(StructureUsed)
        self._told = (int(IommuMode.OFF), 0)
        registers.on_write(DDTP, self._written, Ddtp.iommu_mode.mask)
        registers.on_write(DDTP, self._placed)

    def _written(self, old: Ddtp, new: Ddtp) -> None:
        self.registers.change(DDTP, busy=1)
        self.sim.start(self._carry_out(new), self._initiator.rank(Stage.REGISTER))

    def _carry_out(self, ddtp: Ddtp) -> Routine:
        if ddtp.iommu_mode == IommuMode.OFF:
            yield from self.translation.settle(True, True)
        yield self._delay
        self.registers.change(DDTP, busy=0)
        self._tell(self.registers.ddtp)

    def _placed(self, old: Ddtp, new: Ddtp) -> None:
        """A directory is in use at once; the one before may be so until the change is over."""
        if new.iommu_mode > IommuMode.BARE:
            self._tell(new)

    def _tell(self, ddtp: Ddtp) -> None:
        mode, fixed = IommuMode(ddtp.iommu_mode), self.registers.reset.fixes(DDTP)
        if not self._used or (mode, ddtp.ppn) == self._told:
            return
        self._told = mode, ddtp.ppn
        name, address, size = mode.name.lower(), ddtp.ppn << PAGE_LG2, PAGE if mode > IommuMode.BARE else 0
        self._used(StructureUsed(self.sim.now, self.registers.path, DDTP.name, name, address, size, fixed))
