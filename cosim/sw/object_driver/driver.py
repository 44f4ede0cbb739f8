"""A compiled driver that keeps `IommuDriver`: its operations are found in its own structures, and run as they are."""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping

from cosim.sim.operations import Oops
from cosim.spec.page import PAGE_LG2
from cosim.spec.queues import Command
from cosim.spec.translation import Fsc
from cosim.sw.driver.costs import DriverCosts
from cosim.sw.iommu_ops import IDENTITY, Device, DevIommu, Domain, DomainKind, Gather, Hardware, MapResult, Prot
from cosim.sw.kernel.errors import KernelError
from cosim.sw.kernel.kernel import Kernel
from cosim.sw.kernel.objects import Object
from cosim.sw.object_driver.answers import error_of, is_error, signed
from cosim.sw.object_driver.contexts import Contexts
from cosim.sw.object_driver.functions.devres import let_go
from cosim.sw.object_driver.functions.interrupts import judge_left
from cosim.sw.object_driver.hart import ObjectHart
from cosim.sw.object_driver.loading import BUS, OPERATIONS, Loaded, the_only
from cosim.sw.object_driver.machine import LINK
from cosim.sw.object_driver.numbers import Numbers
from cosim.sw.object_driver.running import Running
from cosim.sw.object_driver.structures import KernelDevice, PlatformDevice, Structures
from cosim.sw.object_driver.watch import Ring

CAPABLE: Mapping[str, str] = {
    "cache_coherency": "IOMMU_CAP_CACHE_COHERENCY",
    "deferred_flush": "IOMMU_CAP_DEFERRED_FLUSH",
}
"""Linux's enumerators for what a driver may claim."""

GENERIC = "iommu_domain.is_iommupt"
"""Set in a domain of a generic page table, the flushes of which may always be deferred."""

SENDER, QUEUE, REGISTERED = "riscv_iommu_queue_send", "riscv_iommu_device.cmdq", "riscv_iommu_device.iommu"
"""What sends a command, the queue that it is given, and what the core knows of an IOMMU in the driver's structure."""

GFP_ATOMIC = 0x820


class ObjectDriver:
    """One loaded driver that keeps `IommuDriver`."""

    def __init__(self, kernel: Kernel, loaded: Loaded, costs: DriverCosts) -> None:
        image = loaded.image
        self.kernel = kernel
        self.machine = Running(kernel, image, costs, loaded.functions)
        self.structures = Structures(self.machine)
        self.contexts = Contexts(kernel)
        self._layout = self.machine.layout
        self._ops = the_only(image, OPERATIONS)
        self._bus = the_only(image, BUS)
        self.identity = Domain(IDENTITY, DomainKind.IDENTITY, Object(self._static("identity_domain")))
        blocked = self._static("release_domain") or self._static("blocked_domain")
        self.blocked = Domain("", DomainKind.BLOCKED, Object(blocked)) if blocked else None
        self._loaded = False
        self._platform: dict[int, PlatformDevice] = {}
        self._devices: dict[str, KernelDevice] = {}
        self._in: dict[str, tuple[Domain, Device]] = {}
        """By name of each device the domain that it is to enter, or has entered last."""
        self._tables: dict[int, Fsc] = {}
        """By the address of its domain each page table that a device has had in its context."""
        self._capable: dict[str, bool] = {}
        self.numbers = Numbers(self.machine)

    # --- The driver's own structures ----------------------------------------------------------------------------------

    def _initial(self, address: int, path: str) -> int:
        """A pointer in a structure of the driver's, as it was compiled; 0 without such a member."""
        if not self._layout.has(path):
            return 0
        image = self.machine.image
        place = address + self._layout.offset(path)
        region = image.code if place in image.code else image.linked.data
        return region.read(place, 8) if place in region else 0

    def _static(self, member: str) -> int:
        """A domain that the driver has from the start."""
        return self._initial(self._ops, f"iommu_ops.{member}")

    async def _operation(self, domain: Domain, name: str) -> int:
        """An entry of iommu_domain_ops, 0 if the driver has none."""
        address = int(domain.object.address)
        path = "iommu_domain.ops"
        if address >> 63:
            ops = self._initial(address, path)
        else:
            ops = int(await self._layout.load(address, path))
        return self._initial(ops, f"iommu_domain_ops.{name}")

    async def _table(self, domain: Domain, name: str) -> int:
        """An entry of pt_iommu_ops, for a domain of a generic page table (struct pt_iommu begins with it)."""
        ops = int(await self._layout.load(int(domain.object.address), "pt_iommu.ops"))
        return self._initial(ops, f"pt_iommu_ops.{name}")

    # --- IOMMUs -------------------------------------------------------------------------------------------------------

    async def probe_iommu(self, hardware: Hardware) -> Object:
        """See `IommuDriver`."""
        machine = self.machine
        async with machine.calls.measured("probe"):
            if not self._loaded:
                self._loaded = True
                await machine.put_data()
            in_use = hardware.base >> PAGE_LG2 in machine.registers  # by a kernel before
            bus = await self.structures.platform_device(hardware)
            failed = signed(await machine.run(self._initial(self._bus, "platform_driver.probe"), bus.address))
            if failed or bus.device not in machine.registered:
                await self._forget(bus, last=not in_use)
                raise error_of(failed or -errno.ENODEV, "probe failed")
            iommu = machine.registered[bus.device]
            self._platform[iommu] = bus
            self.contexts.gone(hardware.name)  # those of a kernel before
            return Object(iommu)

    async def _forget(self, bus: PlatformDevice, *, last: bool = True) -> None:
        """The driver has left an IOMMU: what it holds goes in the opposite order, and the bus forgets the device.

        Unless it is the `last` to have the IOMMU, registers and directory are those of a kernel before, and stay.
        """
        for address, undo in reversed(list(self.machine.held.get(bus.device, ()))):
            await let_go(self.machine, bus.device, address)
            if undo:
                await self.machine.run(undo, bus.device, address)
            await self.structures.free(address - LINK)
        for key in [key for key in self.machine.messages if key[0] == bus.device]:
            del self.machine.messages[key]
        judge_left(self.machine, bus.hardware.vectors, bus.hardware.name)
        if last:
            self.machine.registers.pop(bus.hardware.base >> PAGE_LG2, None)
            self.contexts.gone(bus.hardware.name)
        await self.structures.forget(bus)

    async def remove_iommu(self, iommu: Object) -> None:
        """See `IommuDriver`."""
        bus = self._platform.pop(int(iommu.address))
        async with self.machine.calls.measured("remove"):
            await self.machine.run(self._initial(self._bus, "platform_driver.remove"), bus.address)
            await self._forget(bus)

    async def shutdown(self, iommu: Object) -> None:
        """See `IommuDriver`."""
        bus = self._platform[int(iommu.address)]
        await self.machine.run(self._initial(self._bus, "platform_driver.shutdown"), bus.address)

    async def forward_command(self, iommu: Object, words: tuple[int, int]) -> None:
        """Send a command by the function with which the driver sends its own.

        KernelError EOPNOTSUPP if it was compiled into its callers.
        """
        layout, symbols = self._layout, self.machine.image.linked.symbols
        name = next((name for name in symbols if name.partition(".")[0] == SENDER), "")
        if not name or not layout.has(QUEUE):
            raise KernelError(errno.EOPNOTSUPP, f"the driver has no {SENDER}")
        queue = int(iommu.address) - layout.offset(REGISTERED) + layout.offset(QUEUE)
        hart = await self.machine.hart()
        command = hart.reserve(Command.SIZE)
        for number, word in enumerate(words):
            hart.put_local(command + 8 * number, 8, word)
        # a compiler makes one without the size, which is the same in all calls
        size = () if "constprop" in name else (Command.SIZE,)
        failed = signed(await hart.call(symbols[name], queue, command, *size, 0))
        await hart.leave()
        if failed:
            raise error_of(failed, "the command was not sent")

    # --- Devices ------------------------------------------------------------------------------------------------------

    async def probe_device(self, device: Device) -> None:
        """See `IommuDriver`."""
        held = await self.structures.device(device, self._platform_of(device.iommu))
        answer = await self.machine.run(self._initial(self._ops, "iommu_ops.probe_device"), held.device)
        if is_error(answer):
            await self.structures.release(held)
            raise error_of(signed(answer, 64), "no translation")
        self._devices[device.name] = held
        await DevIommu(await device.object.iommu.load()).priv.store(held.device)
        await self.structures.set(held.dev_iommu, {"dev_iommu.iommu_dev": answer})
        self._look_for(device)
        if not self._capable:
            await self._ask_what_it_can(held.device)

    async def release_device(self, device: Device, old: Domain | None) -> None:
        """See `IommuDriver`."""
        release = self._initial(self._ops, "iommu_ops.release_device")
        if release:
            await self.machine.run(release, self._devices[device.name].device)
        self._in.pop(device.name, None)
        await self.structures.release(self._devices.pop(device.name))

    async def attach_dev(self, domain: Domain, device: Device, old: Domain | None) -> None:
        """See `IommuDriver`."""
        entry = await self._operation(domain, "attach_dev")
        before = int(old.object.address) if old is not None else 0
        address = int(domain.object.address)
        stays, self._in[device.name] = self._in.get(device.name), (domain, device)
        failed = signed(await self.machine.run(entry, address, self._devices[device.name].device, before))
        self._look_for(device)
        if failed:
            self._in.pop(device.name)
            if stays is not None:
                self._in[device.name] = stays
            raise error_of(failed)
        self._table_of(domain)

    def capable(self, what: str) -> bool:
        """Whether the driver has claimed a capability when it was asked of its first device."""
        return self._capable.get(what, False)

    async def _ask_what_it_can(self, device: int) -> None:
        entry = self._initial(self._ops, "iommu_ops.capable")
        numbers = self.machine.image.info.enumerators
        for what, enumerator in CAPABLE.items():
            known = bool(entry) and enumerator in numbers
            self._capable[what] = known and bool(await self.machine.run(entry, device, numbers[enumerator]) & 0xFF)

    # --- Domains ------------------------------------------------------------------------------------------------------

    async def domain_alloc_paging(self, name: str, device: Device | None) -> Domain:
        """See `IommuDriver`."""
        layout, machine = self._layout, self.machine
        of = self._devices[device.name].device if device else 0
        taken = self.numbers.taken()
        plain = self._initial(self._ops, "iommu_ops.domain_alloc_paging")
        if plain:
            answer = await machine.run(plain, of)
        else:
            answer = await machine.run(self._initial(self._ops, "iommu_ops.domain_alloc_paging_flags"), of, 0, 0)
        failed = not answer or is_error(answer)
        self.numbers.made(0 if failed else answer, taken)
        if failed:
            raise error_of(signed(answer, 64) if answer else -errno.ENOMEM, "no domain")
        if not int(await layout.load(answer, "iommu_domain.ops")):
            ops = self._initial(self._ops, "iommu_ops.default_domain_ops")
            await self.structures.set(answer, {"iommu_domain.ops": ops})
        await self.structures.set(answer, {"iommu_domain.owner": self._ops})
        sizes = int(await layout.load(answer, "iommu_domain.pgsize_bitmap"))
        last = int(await layout.load(answer, "iommu_domain.geometry.aperture_end"))
        if layout.has(GENERIC) and int(await layout.load(answer, GENERIC)):
            self._capable["deferred_flush"] = True
        pages = tuple(1 << bit for bit in range(64) if sizes >> bit & 1)
        return Domain(name, DomainKind.PAGING, Object(answer), pages, last)

    async def domain_free(self, domain: Domain) -> None:
        """See `IommuDriver`."""
        self._tables.pop(int(domain.object.address), None)
        self.numbers.freed(int(domain.object.address))
        await self.machine.run(await self._operation(domain, "free"), int(domain.object.address))

    async def map_pages(
        self, domain: Domain, iova: int, paddr: int, page_size: int, count: int, prot: Prot
    ) -> MapResult:
        """See `IommuDriver`."""
        address = int(domain.object.address)
        entry = await self._operation(domain, "map_pages")
        form: tuple[int, ...] = (page_size, count)
        if not entry:
            entry, form = await self._table(domain, "map_range"), (page_size * count,)
        hart = await self.machine.hart()
        mapped = hart.reserve(8)
        failed = signed(await hart.call(entry, address, iova, paddr, *form, int(prot), GFP_ATOMIC, mapped))
        await hart.leave()
        done = hart.local(mapped, 8)
        if not failed and done < page_size * count:
            raise Oops(f"{domain.name}: map_pages has mapped {done} bytes of {page_size * count}, and says all is well")
        return MapResult(done, -failed)

    async def unmap_pages(self, domain: Domain, iova: int, page_size: int, count: int, gather: Gather) -> int:
        """See `IommuDriver`."""
        entry = await self._operation(domain, "unmap_pages")
        form: tuple[int, ...] = (page_size, count)
        if not entry:
            entry, form = await self._table(domain, "unmap_range"), (page_size * count,)
        fsc = self._table_of(domain)
        leaves = self.contexts.leaves(fsc, iova, page_size * count) if fsc is not None else ()
        clearing = self.contexts.clearing(domain.name, leaves)
        hart = await self.machine.hart()
        held = self._gather_on(hart, gather)
        done = await hart.call(entry, int(domain.object.address), iova, *form, held)
        await hart.leave()
        self._gather_from(hart, held, gather)
        for at, stop in clearing:
            if at >= iova + done:
                stop()
        return done

    def _table_of(self, domain: Domain) -> Fsc | None:
        """The page table of a domain as a device finds it, whose context may not have it yet, but that of another."""
        address = int(domain.object.address)
        if self.contexts.wanted and address not in self._tables:
            of_others = {fsc.ppn for fsc in self._tables.values()}
            for entered, device in self._in.values():
                if entered is domain:
                    fsc = self.contexts.table_of(self._ring(device.iommu), device.ids[0])
                    if fsc is not None and fsc.ppn not in of_others:
                        self._tables[address] = fsc
        return self._tables.get(address)

    def _gather_on(self, hart: ObjectHart, gather: Gather) -> int:
        """The gather as a structure on the caller's stack."""
        layout, structure = self._layout, "iommu_iotlb_gather"
        address = hart.reserve(layout.size(structure))
        values = {"start": gather.start, "end": gather.end, "pgsize": gather.page_size, "queued": int(gather.queued)}
        for name, value in values.items():
            if layout.has(f"{structure}.{name}"):
                member = layout.info.field(f"{structure}.{name}")
                hart.put_local(address + member.offset, member.size, value)
        if layout.has(f"{structure}.freelist"):
            self._pages_on(hart, address + layout.offset(f"{structure}.freelist"), gather.freelist)
        return address

    def _pages_on(self, hart: ObjectHart, head: int, pages: list[int]) -> None:
        """A list of pages that wait to be freed: a head on the stack, and a link in the descriptor of each."""
        descriptors, link = self.machine.descriptors, self.machine.link
        links = [descriptors.at(page) + link for page in pages]
        around = [head, *links, head]
        hart.put_local(head, 8, around[1])
        hart.put_local(head + 8, 8, around[-2])
        for before, at, after in zip(around, links, around[2:], strict=False):
            descriptors.store(at, 8, after)
            descriptors.store(at + 8, 8, before)

    def _pages_from(self, hart: ObjectHart, head: int) -> list[int]:
        found, at = [], hart.local(head, 8)
        while at != head:
            found.append(self.machine.descriptors.page(at - self.machine.link))
            at = self.machine.descriptors.load(at, 8)
        return found

    def _gather_from(self, hart: ObjectHart, address: int, gather: Gather) -> None:
        layout, structure = self._layout, "iommu_iotlb_gather"

        def member(name: str) -> int:
            found = layout.info.field(f"{structure}.{name}")
            return hart.local(address + found.offset, found.size)

        gather.start, gather.end, gather.page_size = member("start"), member("end"), member("pgsize")
        if layout.has(f"{structure}.freelist"):
            gather.freelist[:] = self._pages_from(hart, address + layout.offset(f"{structure}.freelist"))

    async def iova_to_phys(self, domain: Domain, iova: int) -> int:
        """See `IommuDriver`."""
        return await self.machine.run(await self._operation(domain, "iova_to_phys"), int(domain.object.address), iova)

    def table(self, domain: Domain, word: Callable[[int], int]) -> Fsc | None:
        """See `IommuDriver`: known once a device has entered the domain."""
        return self._table_of(domain)

    async def iotlb_sync(self, domain: Domain, gather: Gather) -> bool | None:
        """See `IommuDriver`; an empty gather is flushed by nobody (iommu_iotlb_sync of Linux)."""
        entry = await self._operation(domain, "iotlb_sync")
        if entry and gather.start < gather.end:
            async with self.machine.calls.measured("iotlb_inval"):
                hart = await self.machine.hart()
                await hart.call(entry, int(domain.object.address), self._gather_on(hart, gather))
                await hart.leave()
        gather.clear()
        gather.freelist.clear()
        return None

    async def flush_iotlb_all(self, domain: Domain) -> bool | None:
        """See `IommuDriver`."""
        entry = await self._operation(domain, "flush_iotlb_all")
        if entry:
            async with self.machine.calls.measured("iotlb_inval"):
                await self.machine.run(entry, int(domain.object.address))
        return None

    def context(self, device: Device, device_id: int, word: Callable[[int], int]) -> tuple[int, int, int, int]:
        """See `IommuDriver`."""
        return self.contexts.words(self._ring(device.iommu), device_id, word)

    # --- For those who watch ------------------------------------------------------------------------------------------

    def roots(self) -> list[int]:
        """See `IommuDriver`: none, since lists of devres stand in memory."""
        return []

    def _look_for(self, device: Device) -> None:
        """The contexts of a device are told of from now on."""
        self.contexts.look_for(self._ring(device.iommu), device.ids)

    def _ring(self, iommu: str) -> Ring:
        return self.machine.watch.ring(self._platform_of(iommu).hardware)

    def _platform_of(self, iommu: str) -> PlatformDevice:
        return next(one for one in self._platform.values() if one.hardware.name == iommu)
