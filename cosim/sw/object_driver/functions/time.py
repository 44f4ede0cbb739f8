"""Clocks and sleeps."""

from __future__ import annotations

from collections.abc import Mapping

from cosim.sim.operations import Now
from cosim.sw.object_driver.call import Call, Function
from cosim.units.quantities import NS, US


async def _ktime_get(call: Call) -> int:
    return (await Now()).time // NS


async def _usleep_range(call: Call) -> None:
    await call.machine.kernel.sleep(call[0] * US)


FUNCTIONS: Mapping[str, Function] = {"ktime_get": _ktime_get, "usleep_range_state": _usleep_range}
