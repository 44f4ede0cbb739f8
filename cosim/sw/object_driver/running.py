"""A loaded driver whose functions can be called: each call has a hart of its own, and a stack."""

from __future__ import annotations

from collections.abc import Mapping

from cosim.object.image import Image
from cosim.sim.operations import Work
from cosim.sw.calls import Calls
from cosim.sw.driver.costs import DriverCosts
from cosim.sw.kernel.kernel import Kernel
from cosim.sw.object_driver.call import Function
from cosim.sw.object_driver.functions.table import FUNCTIONS
from cosim.sw.object_driver.hart import ObjectHart
from cosim.sw.object_driver.machine import Machine


class Running(Machine):
    """A `Machine` that runs."""

    def __init__(
        self, kernel: Kernel, image: Image, costs: DriverCosts, functions: Mapping[str, Function] = FUNCTIONS
    ) -> None:
        super().__init__(kernel, image, costs)
        self._functions = functions
        self.calls = Calls(kernel.sim)

    async def hart(self) -> ObjectHart:
        """A hart for one call by the present thread; to be left when the call is over."""
        await Work(self.costs.call)
        return ObjectHart(self, await self.kernel.context(), self.calls, self._functions)

    async def run(self, entry: int, *arguments: int) -> int:
        """Call a function of the driver; what is in a0 when it returns."""
        hart = await self.hart()
        result = await hart.call(entry, *arguments)
        await hart.leave()
        return result
