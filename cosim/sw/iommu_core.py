"""The IOMMU core (Linux, drivers/iommu/iommu.c): devices, groups with a mutex each, attach, release, hot-unplug.

A domain may be used by several groups, which then attach it under different mutexes, side by side. Mapping and
unmapping take none of them.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count

from cosim.events import Attached, Attaching, DomainFreed, DomainMade, IommuProbed, IommuRemoved, KernelEnded
from cosim.sw.calls import Calls
from cosim.sw.contexts_seen import ContextsSeen
from cosim.sw.groups import GroupMutex, GroupsPolicy
from cosim.sw.iommu_ops import Device, DeviceObject, DevIommu, Domain, Hardware, IommuDriver
from cosim.sw.kernel.errors import KernelError
from cosim.sw.kernel.kernel import Kernel
from cosim.sw.kernel.locks import Mutex, Section
from cosim.sw.kernel.objects import Object, cell, embed

NO_DOMAIN = 0
"""The handle of no domain at all."""


class GroupState(Object):
    """A group's own words; the mutex guards them and the list of members."""

    __slots__ = ()
    mutex = embed(Mutex)
    domain = cell()
    """Handle of the domain that its devices are in."""
    default = cell()
    """Handle of the domain that they return to."""


@dataclass(slots=True)
class Group:
    """Devices that can only be attached together; most groups have one."""

    name: str
    state: GroupState
    members: list[Device] = field(default_factory=list)


class IommuCore:
    """What drivers of devices call: the core finds the group, takes its mutex and asks the IOMMU driver."""

    def __init__(self, kernel: Kernel, driver: IommuDriver, groups: GroupsPolicy | None = None) -> None:
        self.kernel = kernel
        self._locking: GroupsPolicy = groups or GroupMutex()
        self.driver = driver
        self.calls = Calls(kernel.sim)
        self.iommus: dict[str, Object] = {}
        self.left: list[Object] = []
        """The IOMMUs, devices and domains of the kernels before this one."""
        self._before: dict[str, Device] = {}
        """The devices that those had found."""
        self._hardware: dict[str, Hardware] = {}
        self.devices: dict[str, Device] = {}
        self.domains: dict[str, Domain] = {}
        self._groups: dict[str, Group] = {}
        self._group_of: dict[str, Group] = {}
        self._handles = count(NO_DOMAIN + 1)
        self._by_handle: dict[int, Domain] = {}
        self._handle_of: dict[str, int] = {}
        self._attaching = kernel.sim.probe(Attaching)
        self._attached = kernel.sim.probe(Attached)
        self._contexts = ContextsSeen(kernel, driver)
        self._made = kernel.sim.probe(DomainMade)
        self._freed = kernel.sim.probe(DomainFreed)
        self._probed = kernel.sim.probe(IommuProbed)
        self._removed = kernel.sim.probe(IommuRemoved)
        self._ended = kernel.sim.probe(KernelEnded)
        self._name(driver.identity)
        if driver.blocked is not None:
            self._name(driver.blocked)

    # --- IOMMUs ----------------------------------------------------------------------------------------------------

    async def probe_iommu(self, hardware: Hardware) -> Object:
        """Take an IOMMU into service; what its driver raises."""
        iommu = self.iommus[hardware.name] = await self.driver.probe_iommu(hardware)
        self._hardware[hardware.name] = hardware
        for device in self._before.values():
            if device.iommu == hardware.name:
                self._contexts.of(device, None)
        if self._probed:
            self._probed(IommuProbed(self.kernel.sim.now, hardware.name))
        return iommu

    async def probe_again(self, name: str) -> Object:
        """Take an IOMMU into service that a kernel before this one has left; what its driver raises."""
        before = self.iommu(name)
        iommu = await self.probe_iommu(self._hardware[name])
        self.left.append(before)
        return iommu

    def end(self) -> None:
        """The kernel is over. The next one knows none of its devices and domains, whose memory stays in use."""
        self._before |= self.devices
        self.left += [device.object for device in self.devices.values()]
        self.left += [domain.object for domain in self.domains.values()]
        for known in (self.devices, self.domains, self._groups, self._group_of):
            known.clear()
        if self._ended:
            self._ended(KernelEnded(self.kernel.sim.now))

    def iommu(self, name: str) -> Object:
        """The driver's structure of an IOMMU that is in service. KernelError ENODEV."""
        if name not in self.iommus:
            raise KernelError(errno.ENODEV, f"there is no IOMMU {name}")
        return self.iommus[name]

    def behind(self, name: str) -> list[str]:
        """The devices behind an IOMMU, by the bus's list, and not by structures of theirs. KernelError ENODEV."""
        self.iommu(name)
        return [device.name for device in self.devices.values() if device.iommu == name]

    async def remove_iommu(self, name: str) -> None:
        """Take an IOMMU out: its devices are released first, each under its group's mutex. KernelError ENODEV."""
        for device in self.behind(name):
            if device in self.devices:  # else it was unplugged meanwhile
                await self.release_device(device)
        iommu = self.iommu(name)
        del self.iommus[name]
        await self.driver.remove_iommu(iommu)
        if self._removed:
            self._removed(IommuRemoved(self.kernel.sim.now, name))

    # --- Domains ---------------------------------------------------------------------------------------------------

    async def domain_alloc(self, name: str, device: str | None = None) -> Domain:
        """A new paging domain, for the IOMMU of `device`. KernelError ENOMEM, ENODEV, EEXIST."""
        if name in self.domains:
            raise KernelError(errno.EEXIST, f"there is a domain {name} already")
        made_for = self._device(device) if device else None
        domain = await self.driver.domain_alloc_paging(name, made_for)
        self._name(domain)
        self.domains[name] = domain
        if self._made:
            self._made(DomainMade(self.kernel.sim.now, name))
        return domain

    async def domain_free(self, name: str) -> None:
        """Free a domain that no group is in."""
        domain = self.domains.pop(name)
        del self._by_handle[self._handle_of.pop(name)]
        if self._freed:
            self._freed(DomainFreed(self.kernel.sim.now, name))
        await self.driver.domain_free(domain)

    # --- Devices ---------------------------------------------------------------------------------------------------

    async def probe_device(
        self, name: str, ids: Sequence[int], iommu: str, *, node: int = 0, group: str = ""
    ) -> Device:
        """A device has appeared behind an IOMMU; it joins `group`, or one of its own. KernelError ENODEV, ENOMEM."""
        kernel, behind = self.kernel, self.iommu(iommu)
        made = await kernel.pages.new(DeviceObject)
        try:
            held = await kernel.pages.new(DevIommu)
        except KernelError:
            await kernel.pages.delete(made)
            raise
        await held.iommu_dev.store(behind.address)
        await made.iommu.store(held.address, release=True)
        device = Device(name, made, tuple(ids), node, iommu)
        try:
            await self.driver.probe_device(device)
        except KernelError as error:
            kernel.log("error", f"{name}: no translation: {error}")
            await kernel.pages.delete(held)
            await kernel.pages.delete(made)
            raise
        self.devices[name] = device
        found = self._groups.get(group or name)
        if found is None:
            state = GroupState(kernel.static(GroupState.SIZE))
            found = self._groups[group or name] = Group(group or name, state)
        async with self._mutex(found):
            found.members.append(device)
        self._group_of[name] = found
        return device

    async def set_default_domain(self, name: str, domain: Domain) -> None:
        """Put the group of a device into the domain that detaching returns it to. KernelError of the driver.

        A group that is in no domain is in this one then, also if the driver has failed, which Linux takes for
        impossible (IOMMU_SET_DOMAIN_MUST_SUCCEED).
        """
        group = self._group(name)
        async with self.calls.measured("attach"), self._mutex(group):
            try:
                await self._switch(group, domain)
            except KernelError:
                if await group.state.domain.load() == NO_DOMAIN:
                    await group.state.domain.store(self._handle(domain))
                    await group.state.default.store(self._handle(domain))
                raise
            await group.state.default.store(self._handle(domain))

    async def release_device(self, name: str) -> None:
        """Hot-unplug: the device is detached and forgotten, its structures are freed at once. KernelError ENODEV."""
        kernel, driver = self.kernel, self.driver
        device, group = self._device(name), self._group_of.pop(name)
        del self.devices[name]
        async with self.calls.measured("release"), self._mutex(group):
            group.members.remove(device)
            old = self._domain(await group.state.domain.load())
            self._begin(device, "")
            if driver.blocked is not None:
                await driver.attach_dev(driver.blocked, device, old)
                old = driver.blocked
            await driver.release_device(device, old)
            self._tell(device, None)
            if not group.members:
                await group.state.domain.store(NO_DOMAIN)
                await group.state.default.store(NO_DOMAIN)
                del self._groups[group.name]
            held = await device.object.iommu.load()
            await device.object.iommu.store(0)
            await kernel.pages.kfree(held)
        await kernel.pages.delete(device.object)

    # --- Attaching -------------------------------------------------------------------------------------------------

    async def attach(self, name: str, domain: Domain) -> None:
        """iommu_attach_group: KernelError EBUSY if the group is in another domain than its default, or the driver's."""
        group = self._group(name)
        async with self.calls.measured("attach"), self._mutex(group):
            now = self._domain(await group.state.domain.load())
            default = self._domain(await group.state.default.load())
            if now is not None and now not in (default, self.driver.blocked):
                raise KernelError(errno.EBUSY, f"{name} is in the domain {now.name or 'blocked'}; detach it first")
            await self._switch(group, domain)

    async def replace(self, name: str, domain: Domain) -> None:
        """Move a group from whatever domain it is in to another (as iommufd does). KernelError of the driver."""
        group = self._group(name)
        async with self.calls.measured("attach"), self._mutex(group):
            await self._switch(group, domain)

    async def detach(self, name: str) -> None:
        """iommu_detach_group: back to the default domain, or to none that reaches anything."""
        group = self._group(name)
        async with self.calls.measured("detach"), self._mutex(group):
            domain = self._domain(await group.state.default.load()) or self.driver.blocked
            if domain is None:
                raise KernelError(errno.EINVAL, f"{name} has no default domain, and the driver none that blocks")
            await self._switch(group, domain)

    async def domain_of(self, name: str) -> Domain | None:
        """iommu_get_domain_for_dev: the domain that a device is in, as the core has recorded it."""
        return self._domain(await self._group(name).state.domain.load())

    async def _switch(self, group: Group, domain: Domain) -> None:
        """Attach all members or none; the caller holds the mutex."""
        old = self._domain(await group.state.domain.load())
        if old == domain:
            return
        done: list[Device] = []
        for device in group.members:
            self._begin(device, domain.name)
            try:
                await self.driver.attach_dev(domain, device, old)
            except KernelError as error:
                self.kernel.log("error", f"{device.name}: attach to {domain.name or 'blocked'} failed: {error}")
                for earlier in done:
                    await self._return(earlier, domain, old)
                raise
            done.append(device)
            self._tell(device, domain)
        await group.state.domain.store(self._handle(domain))

    async def _return(self, device: Device, domain: Domain, old: Domain | None) -> None:
        if old is None:
            return
        self._begin(device, old.name)
        try:
            await self.driver.attach_dev(old, device, domain)
            self._tell(device, old)
        except KernelError as error:
            self.kernel.log("error", f"{device.name}: could not be returned to {old.name or 'blocked'}: {error}")

    # --- Names -----------------------------------------------------------------------------------------------------

    def _device(self, name: str) -> Device:
        if name not in self.devices:
            raise KernelError(errno.ENODEV, f"there is no device {name}")
        return self.devices[name]

    def _group(self, name: str) -> Group:
        return self._group_of[self._device(name).name]

    def _mutex(self, group: Group) -> Section:
        return self._locking.mutex(self.kernel, group.state.mutex)

    def _name(self, domain: Domain) -> None:
        handle = self._handle_of[domain.name] = next(self._handles)
        self._by_handle[handle] = domain

    def _handle(self, domain: Domain) -> int:
        """What a group's word holds for a domain: that of none, if it was freed while a device was on its way there."""
        return self._handle_of.get(domain.name, NO_DOMAIN)

    def _domain(self, handle: int) -> Domain | None:
        return self._by_handle.get(handle)

    def _begin(self, device: Device, domain: str) -> None:
        if self._attaching:
            self._attaching(Attaching(self.kernel.sim.now, device.name, device.name, domain, device.ids, device.iommu))

    def _tell(self, device: Device, domain: Domain | None) -> None:
        self._contexts.of(device, domain)
        if self._attached:
            name = "" if domain is None else domain.name
            self._attached(Attached(self.kernel.sim.now, device.name, device.name, device.ids, name, device.iommu))
