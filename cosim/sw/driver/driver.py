"""The RISC-V IOMMU driver's entry points: a skeleton that never asks which variant it is, over a row of policies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from cosim.events import CommandSent
from cosim.spec.bits import ONES
from cosim.spec.page import PAGE_LG2
from cosim.spec.queues import Command
from cosim.spec.registers import Capabilities, Ddtp, Interrupt
from cosim.spec.translation import Fsc, ddt_split
from cosim.sw.calls import Calls, Measured
from cosim.sw.contract import answer_of, asked
from cosim.sw.driver import answers, init
from cosim.sw.driver.axes import Variant
from cosim.sw.driver.costs import DriverCosts
from cosim.sw.driver.device import IommuDevice, iommu_of
from cosim.sw.driver.device_context import DeviceContextWatch, walk, words_at
from cosim.sw.driver.domain import DomainObject, object_of
from cosim.sw.driver.leaves import LeafWatch
from cosim.sw.iommu_ops import IDENTITY, Device, Domain, DomainKind, Gather, Hardware, MapResult, Prot
from cosim.sw.kernel.errors import KernelError
from cosim.sw.kernel.ids import Ida
from cosim.sw.kernel.irq import IrqAction
from cosim.sw.kernel.kernel import Kernel
from cosim.sw.kernel.objects import WORD, Cell, Object

EARLIER_NAMES: Mapping[str, str] = {
    **{axis: axis for axis in ("pscid", "bonds", "tables", "bringup")},
    "attaching": "attach",
    "invalidating": "invalidate",
    "queueing": "queue",
}
"""What `driver.NAME` was, for `driver.policies.AXIS`."""


class Driver:
    """One loaded driver that keeps `IommuDriver`: `policies` decide, `kernel` provides.

    It is a `Skeleton` for its policies. `blocked` is there only if the attach policy has such a domain.
    """

    def __init__(self, kernel: Kernel, policies: Variant, costs: DriverCosts | None = None) -> None:
        self.kernel = kernel
        self.policies = policies
        self.costs = costs or DriverCosts()
        self.ids: dict[str, Ida] = {}
        self.identity = Domain(IDENTITY, DomainKind.IDENTITY, DomainObject(0))
        self.blocked = Domain("", DomainKind.BLOCKED, DomainObject(0)) if policies.attach.has_blocked else None
        self._hardware: dict[int, Hardware] = {}
        self._pages: dict[int, dict[int, str]] = {}
        """What each IOMMU holds until it is removed, in the order in which it came, and for what."""
        self._actions: dict[tuple[int, Interrupt], IrqAction] = {}
        self._once = {site: Cell(kernel.static(8)) for site in ("enqueue", "execution")}
        self.device_contexts = DeviceContextWatch(kernel)
        self.leaves = LeafWatch(kernel)
        self._calls = Calls(kernel.sim)
        self._sent = kernel.sim.probe(CommandSent)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """The policies by the names that they had before `policies`, for users' drivers that still ask for them."""
            if name not in EARLIER_NAMES:
                raise AttributeError(f"'Driver' object has no attribute {name!r}")
            return getattr(self.policies, EARLIER_NAMES[name])

    # --- IOMMUs ----------------------------------------------------------------------------------------------------

    async def probe_iommu(self, hardware: Hardware) -> IommuDevice:
        """Take an IOMMU into service: queues, interrupts, device directory. KernelError EBUSY, ENODEV, EINVAL, ENOMEM.

        On return it translates, and blocks every device, since no device context is valid yet.
        """
        async with self.measured("probe"):
            iommu = await self.kernel.pages.new(IommuDevice)
            self._hardware[int(iommu.address)] = hardware
            self._pages[int(iommu.address)] = {}
            try:
                await init.init(self, iommu, hardware)
            except KernelError as error:
                self.log("error", f"probe failed: {error}", iommu)
                await self.release_pages(iommu)
                await self.kernel.pages.delete(iommu)
                raise
        self.device_contexts.gone(hardware.name)  # those of a kernel before
        return iommu

    async def remove_iommu(self, iommu: Object) -> None:
        """Take an IOMMU out of service and free what it had. Its devices must have been released."""
        removed = IommuDevice(iommu.address)
        async with self.measured("remove"):
            await self.policies.bonds.before_removal(self, removed)
            await init.remove(self, removed)

    async def shutdown(self, iommu: Object) -> None:
        """Leave the hardware to the next kernel (kexec)."""
        await self.policies.bringup.shutdown(self, IommuDevice(iommu.address))
        pages = self._pages[int(iommu.address)]
        pages.update(dict.fromkeys(pages, "of a kernel that has ended"))

    # --- Devices ---------------------------------------------------------------------------------------------------

    async def probe_device(self, device: Device) -> None:
        """Get ready for a device whose `DevIommu.iommu_dev` is set. KernelError ENODEV, ENOMEM."""
        await self.policies.attach.probe_device(self, await iommu_of(device.object), device)

    async def release_device(self, device: Device, old: Domain | None) -> None:
        """Let go of a device; where there is a `blocked` domain, the core has attached that one first."""
        await self.policies.attach.release_device(self, await iommu_of(device.object), device, old)

    async def attach_dev(self, domain: Domain, device: Device, old: Domain | None) -> None:
        """Have the device's requests go through `domain`; `old` is what the core has recorded. KernelError.

        The core holds the mutex of the device's group, and of no other.
        """
        iommu = await iommu_of(device.object)
        attach = {
            DomainKind.PAGING: self.policies.attach.paging,
            DomainKind.IDENTITY: self.policies.attach.identity,
            DomainKind.BLOCKED: self.policies.attach.block,
        }[domain.kind]
        await attach(self, iommu, device, domain, old)

    def capable(self, what: str) -> bool:
        """Whether the driver claims a capability: ``cache_coherency`` or ``deferred_flush``."""
        return what in self.policies.capable

    # --- Domains ---------------------------------------------------------------------------------------------------

    async def domain_alloc_paging(self, name: str, device: Device | None) -> Domain:
        """A new paging domain for `device`, which some variants do without. KernelError ENOMEM, ENODEV."""
        iommu = await iommu_of(device.object) if device else None
        made = await self.kernel.pages.new(DomainObject)
        await made.bonds.initialise()
        try:
            offered = await asked(tuple, self.policies.tables.prepare, self, made, iommu)
            answers.check_offer(self.policies.tables.prepare, offered)
            domain = Domain(name, DomainKind.PAGING, made, *offered)
            await self.policies.tables.alloc_root(self, made)
            try:
                await self.policies.pscid.born(self, made)
            except KernelError:
                await self.policies.tables.free(self, made)
                raise
        except KernelError:
            await self.kernel.pages.delete(made)
            raise
        return domain

    async def domain_free(self, domain: Domain) -> None:
        """Free a domain that no device is attached to."""
        made = object_of(domain)
        if not await made.bonds.empty():
            self.kernel.log("warning", f"domain {domain.name} is freed while devices are bonded to it")
        await self.policies.pscid.died(self, made)
        await self.kernel.pages.delete(made)

    # --- Mappings --------------------------------------------------------------------------------------------------

    async def map_pages(
        self, domain: Domain, iova: int, paddr: int, page_size: int, count: int, prot: Prot
    ) -> MapResult:
        """Map `count` pages of `page_size` (one of `domain.page_sizes`) from `iova` on; no core lock is held."""
        map_pages = self.policies.tables.map_pages
        result = answer_of(map_pages, await map_pages(self, domain, iova, paddr, page_size, count, prot), MapResult)
        answers.check_map(map_pages, result, page_size, count)
        return result

    async def unmap_pages(self, domain: Domain, iova: int, page_size: int, count: int, gather: Gather) -> int:
        """Clear the entries of a range; returns the bytes cleared, which ends at the first that is not mapped."""
        unmap_pages = self.policies.tables.unmap_pages
        watched = self._watched(domain, iova, page_size * count)
        cleared = answer_of(unmap_pages, await unmap_pages(self, domain, iova, page_size * count, gather), int)
        if watched is not None:
            watched(cleared)
        answers.check_unmap(unmap_pages, cleared, domain.page_sizes[0])
        return cleared

    def _watched(self, domain: Domain, iova: int, size: int) -> Callable[[int], None] | None:
        """The leaves of a range are watched, if the tables are not of cosim's policies: those tell what they clear."""
        if type(self.policies.tables).__module__.startswith("cosim."):
            return None
        memory = self.kernel.pages.memory
        fsc = self.table(domain, lambda place: memory.peek(place, WORD))
        return self.leaves.unmapping(domain.name, fsc, iova, size) if fsc is not None else None

    async def iova_to_phys(self, domain: Domain, iova: int) -> int:
        """Where `iova` leads; 0 if nowhere."""
        iova_to_phys = self.policies.tables.iova_to_phys
        return answer_of(iova_to_phys, await iova_to_phys(self, domain, iova), int)

    def table(self, domain: Domain, word: Callable[[int], int]) -> Fsc | None:
        """Where a domain's page table is, as `word` finds it in memory; None without one. Takes no time."""
        if domain.kind is not DomainKind.PAGING:
            return None
        made = object_of(domain)
        mode, root = word(int(made.mode.address)), word(int(made.root.address))
        return Fsc.of(mode=mode, ppn=root >> PAGE_LG2) if root else None

    def context(self, device: Device, device_id: int, word: Callable[[int], int]) -> tuple[int, int, int, int]:
        """The words of a device's context, as `word` finds them in memory. Takes no time."""
        found = self.device_contexts.place(device.iommu, device_id)
        return words_at(found or self._left_at(device.iommu, device_id, word), word)

    def _left_at(self, iommu: str, device_id: int, word: Callable[[int], int]) -> int:
        """Where the directory leads for a device that was not looked for since the probe; 0 for nowhere."""
        known = [IommuDevice(address) for address, hardware in self._hardware.items() if hardware.name == iommu]
        if not known:
            return 0
        root, mode, has = (word(int(one.address)) for one in (known[-1].root, known[-1].mode, known[-1].capabilities))
        return walk(Ddtp.of(iommu_mode=mode, ppn=root >> PAGE_LG2), ddt_split(Capabilities(has)), device_id, word)[0]

    async def iotlb_sync(self, domain: Domain, gather: Gather) -> bool | None:
        """Flush what an unmap has gathered, wait for it, and free what was waiting for that; False if it failed."""
        flushed = await self.policies.invalidate.sync(self, object_of(domain), gather)
        gather.clear()
        return flushed

    async def flush_iotlb_all(self, domain: Domain) -> bool | None:
        """Flush everything of a domain, and wait for it; False if it failed."""
        return await self.invalidate(object_of(domain), 0, ONES)

    async def gather_page(self, domain: Domain, gather: Gather, iova: int, size: int) -> None:
        """Add a page to what an unmap has gathered; flush first what does not fit with it."""
        if (gather.page_size and gather.page_size != size) or gather.disjoint(iova, size):
            await self.iotlb_sync(domain, gather)
        gather.page_size = size
        gather.add(iova, size)

    async def forward_command(self, iommu: Object, words: tuple[int, int]) -> None:
        """Put a command of somebody else's into the queue as it is."""
        await self.send(IommuDevice(iommu.address), Command(words))

    # --- What policies use -----------------------------------------------------------------------------------------

    async def invalidate(self, domain: DomainObject, start: int, end: int) -> bool | None:
        """Flush `start` .. `end` (inclusive) of a domain from every IOMMU that may have cached it, and wait."""
        async with self.measured("iotlb_inval"):
            return await self.policies.invalidate.range(self, domain, start, end)

    async def send(self, iommu: IommuDevice, command: Command) -> None:
        """Queue a command; not waited for."""
        await self.policies.queue.send(self, iommu, command)

    async def publishing(self, iommu: IommuDevice, index: int, command: Command) -> None:
        """Tell that a command goes into the slot `index` of the ring now."""
        if self._sent:
            words, who = command.words(), (await self.kernel.context()).thread
            name = self.hardware(iommu).name
            self._sent(CommandSent(self.kernel.sim.now, who, name, int(index), (int(words[0]), int(words[1]))))

    async def sync(self, iommu: IommuDevice, timeout_ps: int) -> bool:
        """Queue a fence and wait for it; false if it is not known to have completed."""
        async with self.measured("cmd_sync"):
            return await self.policies.queue.sync(self, iommu, timeout_ps)

    def hardware(self, iommu: IommuDevice) -> Hardware:
        """What firmware says of an IOMMU."""
        return self._hardware[int(iommu.address)]

    def log(self, level: str, text: str, iommu: IommuDevice) -> None:
        """Print a message about an IOMMU."""
        self.kernel.log(level, text, self.hardware(iommu).name)

    async def log_once(self, site: str, level: str, text: str, iommu: IommuDevice) -> None:
        """Print a message about an IOMMU, the first time only: a later one of any IOMMU stays silent."""
        if not await self._once[site].load():
            await self._once[site].store(1)
            self.log(level, text, iommu)

    def measured(self, call: str) -> Measured:
        """``async with driver.measured("probe"):`` has its duration told, and the parts that it is made of."""
        return self._calls.measured(call)

    # --- What an IOMMU holds until it is removed ---------------------------------------------------------------------

    async def keep_page(self, iommu: IommuDevice, order: int = 0, *, purpose: str) -> int:
        """Zeroed pages that go back when the IOMMU is removed. KernelError ENOMEM."""
        page = await self.kernel.pages.alloc(order, node=int(await iommu.node.load()), purpose=purpose)
        self._pages[int(iommu.address)][page] = purpose
        return page

    async def release_page(self, iommu: IommuDevice, page: int) -> None:
        """Give one of them back early."""
        del self._pages[int(iommu.address)][page]
        await self.kernel.pages.free(page)

    async def release_pages(self, iommu: IommuDevice) -> None:
        """Give all of them back, the last one first."""
        self.device_contexts.gone(self.hardware(iommu).name)
        pages = self._pages[int(iommu.address)]
        while pages:
            await self.kernel.pages.free(pages.popitem()[0])

    def roots(self) -> list[int]:
        """See `IommuDriver`: what IOMMUs hold, which devres has in lists.

        Tables of the directory are none: one to which nothing in the directory leads is lost for the IOMMU. After a
        shutdown they are: the next kernel empties a root whose place is fixed.
        """
        return [page for pages in self._pages.values() for page, purpose in pages.items() if purpose != "ddt"]

    def connected(self, iommu: IommuDevice, interrupt: Interrupt, action: IrqAction) -> None:
        """Note which action serves an interrupt."""
        self._actions[int(iommu.address), interrupt] = action

    def disconnected(self, iommu: IommuDevice, interrupt: Interrupt) -> IrqAction:
        """The action that served an interrupt, which it is no longer noted for."""
        return self._actions.pop((int(iommu.address), interrupt))
