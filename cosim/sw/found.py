"""How a device is found, at boot or later, and put into the domain that it begins in."""

from __future__ import annotations

from cosim.sw.device_plan import DevicePlan
from cosim.sw.kernel.errors import KernelError
from cosim.sw.runtime import Runtime


async def find(runtime: Runtime, device: DevicePlan) -> None:
    """Probe it and put it into its domain, which is made for it where there is none. KernelError.

    A device whose domain cannot be entered is not released, as where an IOMMU is registered after its devices were
    found (bus_iommu_probe). It counts as not started, and so does one that is not probed, if its IOMMU is in service
    and no allocation has failed meanwhile: what keeps it out is the driver. A device that is plugged in later may come
    when all PSCIDs are in use, and then has no domain.
    """
    core, pages = runtime.core, runtime.kernel.pages
    behind, refused, by_driver = core.iommus.get(device.iommu), pages.refused, True
    try:
        await core.probe_device(device.name, device.ids, device.iommu, node=device.node)
        if not runtime.has_place(device.domain):
            by_driver = device.plugged
            await runtime.new_domain(device.domain, device.name if device.made_for else None)
            by_driver = True
        await core.set_default_domain(device.name, runtime.place(device.domain))
    except KernelError:
        served = behind is not None and core.iommus.get(device.iommu) is behind
        if by_driver and served and pages.refused == refused:
            runtime.without_window[device.name] = ""
        raise
