"""An IOMMU driver without an IOMMU: page tables are dictionaries, and each call is written down."""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence

from cosim.sim.operations import Work
from cosim.spec.translation import Fsc
from cosim.sw.iommu_ops import Device, Domain, DomainKind, Gather, Hardware, MapResult, Prot
from cosim.sw.kernel.errors import KernelError
from cosim.sw.kernel.kernel import Kernel
from cosim.sw.kernel.objects import Object, cell

PAGE_SIZES = (1 << 12, 1 << 21, 1 << 30)


class FakeIommu(Object):
    """What stands for an IOMMU: an address is all that the core asks of it."""

    __slots__ = ()
    word = cell()


class FakeDomain(Object):
    """The same of a domain."""

    __slots__ = ()
    word = cell()


class FakeDriver:
    """A small thing that keeps the contract of `IommuDriver`.

    `refuses` names the (domain, device) pairs whose attach fails, and the (domain, IOVA) pairs whose map does.
    It can defer flushes if it is `deferring`.
    """

    def __init__(self, kernel: Kernel, *, has_blocked: bool = True, attach_ps: int = 1_000_000) -> None:
        self.kernel = kernel
        self.identity = Domain("identity", DomainKind.IDENTITY, FakeDomain(0))
        self.blocked = Domain("", DomainKind.BLOCKED, FakeDomain(0)) if has_blocked else None
        self.attach_ps = attach_ps
        self.calls: list[str] = []
        self.refuses: set[tuple[str, str | int]] = set()
        self.tables: dict[str, dict[int, tuple[int, int]]] = {}
        self.permitted: dict[tuple[str, int], Prot] = {}
        self.forwarded: list[tuple[int, int]] = []
        self.deferring = False
        self.under_way = 0
        self.most_attaching = 0

    def capable(self, what: str) -> bool:
        return self.deferring and what == "deferred_flush"

    async def probe_iommu(self, hardware: Hardware) -> Object:
        return await self.kernel.pages.new(FakeIommu)

    async def remove_iommu(self, iommu: Object) -> None:
        self.calls.append("remove_iommu")
        await self.kernel.pages.delete(iommu)

    async def shutdown(self, iommu: Object) -> None:
        self.calls.append("shutdown")

    async def forward_command(self, iommu: Object, words: tuple[int, int]) -> None:
        self.forwarded.append(words)

    async def probe_device(self, device: Device) -> None:
        self.calls.append(f"probe {device.name}")
        if ("probe", device.name) in self.refuses:
            raise KernelError(errno.ENODEV, "refused")

    async def release_device(self, device: Device, old: Domain | None) -> None:
        self.calls.append(f"release {device.name}")

    async def attach_dev(self, domain: Domain, device: Device, old: Domain | None) -> None:
        self.calls.append(f"attach {device.name} {old.name if old else None} -> {domain.name}")
        self.under_way += 1
        self.most_attaching = max(self.most_attaching, self.under_way)
        await Work(self.attach_ps)
        self.under_way -= 1
        if (domain.name, device.name) in self.refuses:
            raise KernelError(errno.EINVAL, "refused")

    async def domain_alloc_paging(self, name: str, device: Device | None) -> Domain:
        self.tables[name] = {}
        return Domain(name, DomainKind.PAGING, await self.kernel.pages.new(FakeDomain), PAGE_SIZES, (1 << 38) - 1)

    async def domain_free(self, domain: Domain) -> None:
        del self.tables[domain.name]
        await self.kernel.pages.delete(domain.object)

    async def map_pages(
        self, domain: Domain, iova: int, paddr: int, page_size: int, count: int, prot: Prot
    ) -> MapResult:
        self.calls.append(f"map {count} x {page_size:#x}")
        self.permitted[domain.name, iova] = prot
        await Work(10_000)
        table = self.tables[domain.name]
        for index in range(count):
            if (domain.name, iova + index * page_size) in self.refuses:
                return MapResult(index * page_size, errno.ENOMEM)
            table[iova + index * page_size] = (paddr + index * page_size, page_size)
        return MapResult(count * page_size)

    async def iova_to_phys(self, domain: Domain, iova: int) -> int:
        return self.translate(domain.name, iova) or 0

    async def unmap_pages(self, domain: Domain, iova: int, page_size: int, count: int, gather: Gather) -> int:
        await Work(10_000)
        table, done = self.tables[domain.name], 0
        while done < page_size * count:
            entry = table.pop(iova + done, None)
            if entry is None:
                break
            gather.add(iova + done, entry[1])
            done += entry[1]
        return done

    async def iotlb_sync(self, domain: Domain, gather: Gather) -> None:
        self.calls.append("sync" if gather.empty else f"sync {gather.start:#x} {gather.end:#x}")
        await Work(100_000)
        gather.clear()

    async def flush_iotlb_all(self, domain: Domain) -> None:
        self.calls.append(f"flush {domain.name}")
        await Work(100_000)

    def context(self, device: Device, device_id: int, word: Callable[[int], int]) -> tuple[int, int, int, int]:
        return 0, 0, 0, 0

    def table(self, domain: Domain, word: Callable[[int], int]) -> Fsc | None:
        return None

    def roots(self) -> list[int]:
        return []

    def translate(self, domain: str, iova: int) -> int | None:
        for start, (address, size) in self.tables[domain].items():
            if start <= iova < start + size:
                return address + iova - start
        return None

    def named(self, prefix: str) -> Sequence[str]:
        return [call for call in self.calls if call.startswith(prefix)]
