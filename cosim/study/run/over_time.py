"""Numbers over time, such as the requests in flight: their mean, the most, and the law that they keep."""

from __future__ import annotations

from collections.abc import Mapping

from cosim.sim.occupancy import Occupancy
from cosim.sim.simulation import Sim
from cosim.study.run.window import Window


class OverTime:
    """`occupancies` are numbers over time by their names, `bounds` what bounds some of them, by the bound's name."""

    __slots__ = ("_bounds", "_occupancies", "_sim", "_window")

    def __init__(
        self,
        sim: Sim,
        window: Window,
        occupancies: Mapping[str, Occupancy],
        bounds: Mapping[str, Mapping[str, int]],
    ) -> None:
        self._sim = sim
        self._window = window
        self._occupancies = occupancies
        self._bounds = bounds
        window.on_open.append(self._opened)

    def _opened(self) -> None:
        for occupancy in self._occupancies.values():
            occupancy.open(self._window.opened)

    def means(self) -> dict[str, float]:
        """The mean of each since the window opened, such as ``nic0.in_flight_mean``."""
        return {f"{name}_mean": occupancy.mean(self._sim.now) for name, occupancy in self._occupancies.items()}

    def most(self) -> dict[str, int]:
        """The largest of each since the window opened, such as ``nic0.in_flight_max``."""
        return {f"{name}_max": occupancy.most for name, occupancy in self._occupancies.items()}

    def check_littles_law(self) -> None:
        """Look whether the numbers can be right.

        Raises ArithmeticError if Little's law does not hold exactly, or if more were in flight than the bounds on their
        way allow.
        """
        for name, occupancy in self._occupancies.items():
            integral, residence = occupancy.law(self._sim.now)
            if integral != residence:
                raise ArithmeticError(
                    f"{name}: the integral of the number over time is {integral}, the residence times add up to "
                    f"{residence}: time was lost or counted twice"
                )
            bounds = self._bounds.get(name)
            if bounds is not None and occupancy.most > sum(bounds.values()):
                said = " + ".join(f"{bound} of {what}" for what, bound in bounds.items())
                raise ArithmeticError(f"{name}: {occupancy.most} at once, and no more than {said} can be")
