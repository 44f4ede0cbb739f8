"""Threads that hold or await grace periods, and a thread that does nothing but compute."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from cosim.sim.operations import Work
from cosim.sw.runtime import Runtime
from cosim.sw.workloads.workload import WorkloadOptions
from cosim.units.field_types import PositiveTime


class HoldRcu(WorkloadOptions):
    """Stays in an RCU read section, computing: no grace period that begins meanwhile ends before it does."""

    does: Literal["hold-rcu"]
    for_: PositiveTime = Field(alias="for")
    """How much CPU time it spends in the section."""
    lasts: ClassVar[bool] = True

    async def round(self, runtime: Runtime) -> None:
        async with runtime.kernel.rcu.read():
            await Work(self.for_)


class SynchronizeRcu(WorkloadOptions):
    """Waits for a grace period."""

    does: Literal["synchronize-rcu"]

    async def round(self, runtime: Runtime) -> None:
        async with runtime.core.calls.measured("synchronize_rcu"):
            await runtime.kernel.rcu.synchronize()


class Compute(WorkloadOptions):
    """Keeps its CPU busy, with interrupts masked if that is wanted."""

    does: Literal["compute"]
    for_: PositiveTime = Field(alias="for")
    """How much CPU time a round takes."""
    interrupts: bool = True
    """Whether interrupts are served meanwhile."""
    lasts: ClassVar[bool] = True

    async def round(self, runtime: Runtime) -> None:
        if self.interrupts:
            await Work(self.for_)
            return
        async with runtime.kernel.irqs_off():
            await Work(self.for_)
