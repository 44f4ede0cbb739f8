"""Commands of hardware that errs: it answers a fence early, loses an invalidation, or keeps contexts."""

from __future__ import annotations

from collections.abc import Hashable

from cosim.hw.iommu.commands import CommandQueue, TranslationSide
from cosim.sim.task import Routine
from cosim.spec.queues import Command, Iofence, Iotinval


class EarlyFence(CommandQueue):
    """The defect `early_fence`: an IOFENCE waits for nothing that it orders."""

    def _settle(self, command: Iofence) -> Routine:
        yield from ()


class LosesInvalidation:
    """The defect `lose_invalidation`: stands before what commands act upon, and ignores the n-th IOTINVAL."""

    def __init__(self, translation: TranslationSide, number: int) -> None:
        self._translation = translation
        self._left = number
        self.settle = translation.settle
        self.invalidate_ddt = translation.invalidate_ddt
        self.invalidate_pdt = translation.invalidate_pdt

    def invalidate_vma(self, command: Iotinval) -> None:
        if not self._loses():
            self._translation.invalidate_vma(command)

    def invalidate_gvma(self, command: Iotinval) -> None:
        if not self._loses():
            self._translation.invalidate_gvma(command)

    def footprint(self, command: Command) -> tuple[Hashable, ...]:
        return self._translation.footprint(command)

    def _loses(self) -> bool:
        self._left -= 1
        return self._left == 0


class KeepsContexts:
    """The defect `keep_context`: stands before what commands act upon, and ignores every IODIR.INVAL_DDT."""

    def __init__(self, translation: TranslationSide) -> None:
        self.settle = translation.settle
        self.invalidate_vma = translation.invalidate_vma
        self.invalidate_gvma = translation.invalidate_gvma
        self.invalidate_pdt = translation.invalidate_pdt
        self.footprint = translation.footprint

    def invalidate_ddt(self, device_id: int | None) -> None:
        pass
