"""How a device is found, at boot or later, and put into the domain that it begins in."""

from __future__ import annotations

from cosim.sw.device_plan import DevicePlan
from cosim.sw.runtime import Runtime


async def find(runtime: Runtime, device: DevicePlan) -> None:
    """Probe it and put it into its domain, which is made for it where there is none. KernelError.

    A device whose domain cannot be entered is not released, as where an IOMMU is registered after its devices were
    found (bus_iommu_probe).
    """
    core = runtime.core
    await core.probe_device(device.name, device.ids, device.iommu, node=device.node)
    if not runtime.has_place(device.domain):
        await runtime.new_domain(device.domain, device.name if device.made_for else None)
    await core.set_default_domain(device.name, runtime.place(device.domain))
