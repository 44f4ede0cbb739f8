"""What workloads run on here: real CPUs, a fake driver and devices that note what they are told."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from cosim.events import Attached, CallDone, Mapped, Unmapped
from cosim.spec.pagetable import PAGE
from cosim.sw.boot import Plan, boot
from cosim.sw.device_plan import DevicePlan
from cosim.sw.iommu_core import IommuCore
from cosim.sw.iommu_ops import Hardware
from cosim.sw.kernel.options import KernelOptions
from cosim.sw.runtime import Runtime
from cosim.sw.workloads import AnyWorkload
from cosim.units.quantities import MIB, MS
from tests.sw.fake_driver import FakeDriver
from tests.sw.machine import Machine

WORKLOAD: TypeAdapter[Any] = TypeAdapter(AnyWorkload)
TOP = 0xFFFF_F000


def workload(does: str, **options: object) -> Any:
    return WORKLOAD.validate_python({"on": "cpu0", "does": does, **options})


class FakeMaster:
    """A device that notes what it is told; that it is stopped, among the calls of the driver of IOMMUs as well."""

    def __init__(self, name: str, calls: list[str]) -> None:
        self.name, self.calls = name, calls
        self.told: list[tuple[int, int] | str] = []
        self.not_before_ps = 0

    async def start(self, iova: int, size: int, *, not_before_ps: int = 0) -> None:
        self.told.append((iova, size))
        self.not_before_ps = not_before_ps

    async def stop(self) -> None:
        self.told.append("stop")
        self.calls.append(f"stop {self.name}")


class Bench:
    """Real CPUs, a fake driver, two devices in the domain `shared`, and the domain `other`."""

    def __init__(self, *, size: int = 16 * MIB, window: int = 0, nodes: int = 1) -> None:
        options = KernelOptions(kfree_rcu_delay="0 ns")
        self.machine = Machine(cpus=3, model="rvwmo", size=size, nodes=nodes, options=options)
        kernel = self.kernel = self.machine.kernel
        self.driver = FakeDriver(kernel)
        core = IommuCore(kernel, self.driver)
        self.masters = {name: FakeMaster(name, self.driver.calls) for name in ("nic0", "nic1")}
        self.runtime = Runtime(kernel, self.driver, core, self.masters)
        self.plan = Plan(
            (Hardware("iommu0", 0x300_0000, (16, 17, 18, 19), "cpu0"),),
            tuple(DevicePlan(name, (n,), "iommu0", "shared", window=window) for n, name in enumerate(self.masters, 1)),
            ("other",),
        )
        self.events: list[object] = []
        for event in (Mapped, Unmapped, Attached):
            self.machine.sim.probe(event).watch(self.events.append)
        self.calls: list[CallDone] = []
        self.machine.sim.probe(CallDone).watch(self.calls.append)

    def run(self, *threads: Any, until: int = 100 * MS) -> Bench:
        plan = Plan(self.plan.iommus, self.plan.devices, self.plan.domains, threads)
        self.kernel.boot()
        self.kernel.start("cpu2", "boot", boot(self.runtime, plan))
        self.machine.go(until=until)
        return self

    def count(self, kind: type) -> int:
        return sum(isinstance(event, kind) for event in self.events)

    def buffers(self) -> int:
        return self.kernel.pages.purposes()["buffer"] // PAGE


# --- Boot ------------------------------------------------------------------------------------------------------------
