"""The device directory (2.1 "Device-Directory-Table"): its root, its mode, and the device contexts in it."""

from __future__ import annotations

import errno

from cosim.sim.loaded import Loaded
from cosim.sim.operations import StoreBlock
from cosim.spec.pagetable import PAGE, PAGE_LG2
from cosim.spec.register_map import DDTP
from cosim.spec.registers import Ddtp, IommuMode
from cosim.spec.translation import Ddte, ddt_split
from cosim.sw.contract import answer_of, asked
from cosim.sw.driver.axes import Skeleton
from cosim.sw.driver.device import IommuDevice, capabilities_of
from cosim.sw.driver.device_context import DeviceContext
from cosim.sw.kernel.errors import KernelError
from cosim.sw.kernel.objects import WORD, Cell
from cosim.units.quantities import S

DDTP_BUSY_PS = 10 * S
"""How long a change of `ddtp` may take."""
FENCE_PS = 90 * S
"""How long the fence after it may take: PCIe's limit of an ATS invalidation and half as much again."""


async def settled_ddtp(driver: Skeleton, iommu: IommuDevice) -> Ddtp:
    """`ddtp` once it is no longer busy, or as it is after 10 s."""
    waits = driver.policies.bringup.waits_for_ddtp
    if not answer_of(waits, waits(), bool):
        return Ddtp(await iommu.read(DDTP))
    poll = await iommu.polling(
        DDTP, Ddtp.busy.mask, Ddtp.busy.mask, DDTP_BUSY_PS, pause_ps=driver.costs.csr_poll, sleep=True
    )
    return Ddtp(await poll)


async def alloc_root(driver: Skeleton, iommu: IommuDevice) -> None:
    """Give the directory a zeroed root: memory of the IOMMU itself where `ddtp.ppn` is fixed, else a page."""
    root = await asked(int, driver.policies.bringup.fixed_root, driver, iommu)
    if root:
        await StoreBlock(root, (0,) * (PAGE // WORD))
    else:
        root = await driver.keep_page(iommu, purpose="ddt")
    await iommu.root.store(root)


async def set_mode(driver: Skeleton, iommu: IommuDevice, wanted: IommuMode) -> None:
    """Switch to `wanted`, or to fewer levels where the IOMMU has no more, and flush what it cached.

    KernelError EBUSY if it stays busy, EINVAL if it takes no mode, or has a directory in use already.
    """
    ddtp = await settled_ddtp(driver, iommu)
    if ddtp.busy:
        raise KernelError(errno.EBUSY, "ddtp stays busy")
    if ddtp.iommu_mode > IommuMode.BARE and wanted > IommuMode.BARE:
        raise KernelError(errno.EINVAL, f"the directory is in use, in mode {ddtp.iommu_mode}")
    root = await iommu.root.load()
    mode = int(wanted)
    while True:
        await iommu.write(DDTP, Ddtp.of(iommu_mode=mode, ppn=root >> PAGE_LG2 if mode > IommuMode.BARE else 0))
        ddtp = await settled_ddtp(driver, iommu)
        if ddtp.busy:
            raise KernelError(errno.EBUSY, f"ddtp stays busy after mode {mode} was set")
        if ddtp.iommu_mode == mode:
            break
        if ddtp.iommu_mode > IommuMode.BARE or mode <= IommuMode.LVL1:
            raise KernelError(errno.EINVAL, f"mode {mode} was set, mode {ddtp.iommu_mode} is read")
        mode -= 1
    await iommu.mode.store(mode)
    await driver.policies.bringup.forget_all(driver, iommu)


async def find_context(driver: Skeleton, iommu: IommuDevice, device_id: int) -> DeviceContext | None:
    """The device context of `device_id`, its tables allocated where they are missing (may sleep).

    None if the directory's mode has no room for the id, or there is no memory. A V=0 entry may not be cached, so a
    new table needs no IODIR.INVAL.
    """
    split = ddt_split(await capabilities_of(iommu))
    levels = IommuMode(await iommu.mode.load()).levels
    if levels == 0 or device_id >> split.width(levels):
        return None
    table: int = await iommu.root.load()
    for level in range(levels - 1, 0, -1):
        entry = Cell(table + split.offset(level, device_id))
        ddte = await entry.load()
        while not Ddte.v.get(ddte):
            try:
                page = await driver.keep_page(iommu, purpose="ddt")
            except KernelError:
                return None
            fresh = Ddte.of(v=1, ppn=page >> PAGE_LG2)
            found = await asked(Loaded, driver.policies.tables.publish_directory, entry, ddte, fresh)
            if found == ddte:
                ddte = Loaded(fresh, found.at)
            else:
                await driver.release_page(iommu, page)
                ddte = found
        table = Ddte.ppn.get(ddte) << PAGE_LG2
    context = DeviceContext(table + split.offset(0, device_id))
    driver.device_contexts.found(driver.hardware(iommu).name, device_id, context)
    return context
