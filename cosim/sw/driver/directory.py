"""The device directory (2.1 "Device-Directory-Table"): its root, its mode, and the device contexts in it."""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from cosim.events import ContextChanged
from cosim.sim.loaded import Loaded
from cosim.spec.pagetable import PAGE_LG2
from cosim.spec.queues import Iodir, Iotinval
from cosim.spec.register_map import DDTP
from cosim.spec.registers import Ddtp, IommuMode
from cosim.spec.translation import Ddte, ddt_split
from cosim.sw.driver.device import IommuDevice, capabilities_of
from cosim.sw.kernel.errors import KernelError
from cosim.sw.kernel.objects import WORD, Cell, CellMember, Object, cell
from cosim.units.quantities import S

if TYPE_CHECKING:
    from cosim.sw.driver.driver import Driver
    from cosim.sw.kernel.kernel import Kernel

DDTP_BUSY_PS = 10 * S
"""How long a change of `ddtp` may take."""
FENCE_PS = 90 * S
"""How long the fence after it may take: PCIe's limit of an ATS invalidation and half as much again."""


class ContextObject(Object):
    """A device context in memory, of either format (2.1.1, 2.1.2)."""

    __slots__ = ()
    tc = cell()
    iohgatp = cell()
    ta = cell()
    fsc = cell()


CONTEXT_WORDS: Mapping[str, CellMember] = {
    name: member for name, member in vars(ContextObject).items() if isinstance(member, CellMember)
}


class ContextWatch:
    """Tells of every word of a device context that changes in memory, from when the context is first found.

    It watches memory and not the driver, so that nothing that a policy does escapes it, and only if somebody listens.
    """

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._changed = kernel.sim.probe(ContextChanged)
        self._watched: dict[str, dict[int, list[Callable[[], None]]]] = {}

    def found(self, iommu: str, device_id: int, context: ContextObject) -> None:
        """The driver knows of a context."""
        contexts = self._watched.setdefault(iommu, {}) if self._changed else None
        if contexts is None or device_id in contexts:
            return
        memory = self._kernel.pages.memory
        addresses = {name: int(member.at(context)) for name, member in CONTEXT_WORDS.items()}
        contexts[device_id] = [
            memory.watch(address, partial(self._tell, iommu, device_id, name, address))
            for name, address in addresses.items()
        ]

    def gone(self, iommu: str) -> None:
        """The directory of an IOMMU is freed."""
        for stops in self._watched.pop(iommu, {}).values():
            for stop in stops:
                stop()

    def _tell(self, iommu: str, device_id: int, name: str, address: int) -> None:
        value = self._kernel.pages.memory.peek(address, WORD)
        self._changed(ContextChanged(self._kernel.sim.now, iommu, device_id, name, value))


async def settled_ddtp(driver: Driver, iommu: IommuDevice) -> Ddtp:
    """`ddtp` once it is no longer busy, or as it is after 10 s."""
    poll = await iommu.polling(
        DDTP, Ddtp.busy.mask, Ddtp.busy.mask, DDTP_BUSY_PS, pause_ps=driver.costs.csr_poll, sleep=True
    )
    return Ddtp(await poll)


async def alloc_root(driver: Driver, iommu: IommuDevice) -> None:
    """Give the directory a zeroed root: memory of the IOMMU itself where `ddtp.ppn` is fixed, else a page."""
    fixed = await driver.bringup.fixed_root(driver, iommu)
    await iommu.root.store(fixed or await driver.keep_page(iommu, purpose="ddt"))


async def set_mode(driver: Driver, iommu: IommuDevice, wanted: IommuMode) -> None:
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
    await driver.send(iommu, Iodir.inval_ddt())
    await driver.send(iommu, Iotinval.vma())
    await driver.sync(iommu, FENCE_PS)


async def find_context(driver: Driver, iommu: IommuDevice, device_id: int) -> ContextObject | None:
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
            found = await driver.tables.publish_directory(entry, ddte, fresh)
            if found == ddte:
                ddte = Loaded(fresh, found.at)
            else:
                await driver.release_page(iommu, page)
                ddte = found
        table = Ddte.ppn.get(ddte) << PAGE_LG2
    context = ContextObject(table + split.offset(0, device_id))
    driver.contexts.found(driver.hardware(iommu).name, device_id, context)
    return context
