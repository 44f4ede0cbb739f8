"""How a device is found, at boot or later, and put into the domain that it begins in."""

from __future__ import annotations

from cosim.sw.device_plan import DevicePlan
from cosim.sw.kernel.errors import KernelError
from cosim.sw.runtime import Runtime


async def find(runtime: Runtime, device: DevicePlan) -> None:
    """Probe it and put it into its domain, which is made for it where there is none. KernelError.

    A device whose domain cannot be entered is not released, as where an IOMMU is registered after its devices were
    found (bus_iommu_probe). It counts as not started, and so does one that is not probed, if its IOMMU is in service.
    A device that is plugged in later may come when all PSCIDs are in use, and then has no domain, or when memory is
    short: then what keeps it out need not be the driver.
    """
    core, pages = runtime.core, runtime.kernel.pages
    behind, failed = core.iommus.get(device.iommu), pages.failed
    try:
        await core.probe_device(device.name, device.ids, device.iommu, node=device.node)
        if not runtime.has_place(device.domain):
            await runtime.new_domain(device.domain, device.name if device.made_for else None)
        await core.set_default_domain(device.name, runtime.place(device.domain))
    except KernelError:
        served = behind is not None and core.iommus.get(device.iommu) is behind
        short = pages.failed > failed or (device.name in core.devices and not runtime.has_place(device.domain))
        if served and (device.plugged or not short):
            runtime.not_started[device.name] = ""
        raise
