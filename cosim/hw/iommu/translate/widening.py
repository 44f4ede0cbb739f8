"""How much an invalidation drops: at least what it names, and more at will (3.1.1: it may be widened)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cosim.hw.iommu.translate.scope import EVERYTHING, Scope

if TYPE_CHECKING:
    from cosim.sim.simulation import Sim


class AsNamed:
    """It drops what it names."""

    def __init__(self, sim: Sim, path: str) -> None:
        self.sim = sim
        self.path = path

    def scopes(self, named: list[Scope]) -> list[Scope]:
        """What an IOTINVAL drops that names these."""
        return named

    def device(self, named: int | None) -> int | None:
        """The device whose context an IODIR.INVAL_DDT drops; None is all of them."""
        return named


class Widened(AsNamed):
    """``latitude.invalidate_more: on``: whatever it names, all goes."""

    def scopes(self, named: list[Scope]) -> list[Scope]:
        return [EVERYTHING]

    def device(self, named: int | None) -> int | None:
        return None


class WidenedAsExplored(Widened):
    """Either, as the schedule says."""

    def scopes(self, named: list[Scope]) -> list[Scope]:
        return super().scopes(named) if self._asked() else named

    def device(self, named: int | None) -> int | None:
        return super().device(named) if self._asked() else named

    def _asked(self) -> bool:
        return self.sim.exploring and self.sim.actions.pick(f"{self.path}.more", 2) == 1
