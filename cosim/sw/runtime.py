"""What is there once a system runs: kernel, core, domains, and devices that can be told where their buffers are."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Protocol

from cosim.sw.dma_api import DmaDomain
from cosim.sw.iommu_core import IommuCore
from cosim.sw.iommu_ops import IDENTITY, Domain, IommuDriver
from cosim.sw.iova import IovaOptions
from cosim.sw.kernel.errors import KernelError
from cosim.sw.kernel.kernel import Kernel
from cosim.sw.kernel.objects import Object
from cosim.sw.kernel.page_allocator import Allocation


class Master(Protocol):
    """A device as its driver's user knows it; neither takes time."""

    def start(self, iova_base: int, size: int | None = None) -> None:
        """Make requests to `size` bytes from `iova_base` on."""

    def stop(self) -> None:
        """Make no further request."""


@dataclass(frozen=True, slots=True)
class RingHardware:
    """Where a ring device's registers are, and the interrupt that it raises on a CPU."""

    base: int
    cpu: str
    vector: int


@dataclass(frozen=True, slots=True)
class Runtime:
    """Kernel, core and devices of a run; `dma` holds the DMA side of each domain that exists."""

    kernel: Kernel
    driver: IommuDriver
    core: IommuCore
    masters: Mapping[str, Master] = field(default_factory=dict)
    rings: Mapping[str, RingHardware] = field(default_factory=dict)
    iova: IovaOptions = field(default_factory=IovaOptions)
    dma: dict[str, DmaDomain] = field(default_factory=dict)

    async def new_domain(self, name: str, device: str | None) -> DmaDomain:
        """A paging domain with an IOVA allocator. KernelError ENOMEM, ENODEV, EEXIST."""
        domain = await self.core.domain_alloc(name, device)
        made = self.dma[name] = DmaDomain(self.core, domain, self.iova)
        return made

    async def free_domain(self, name: str) -> None:
        """Free a domain that no device is in."""
        await self.dma.pop(name).close()
        await self.core.domain_free(name)

    def domain(self, name: str) -> DmaDomain:
        """The DMA side of a domain. KernelError ENODEV."""
        if name not in self.dma:
            raise KernelError(errno.ENODEV, f"there is no domain {name!r} for DMA")
        return self.dma[name]

    def has_place(self, name: str) -> bool:
        """Whether there is such a domain that a device can be in."""
        return name == IDENTITY or name in self.dma

    def place(self, name: str) -> Domain:
        """A domain that a device can be in: one with a DMA side, or the identity domain. KernelError ENODEV."""
        return self.driver.identity if name == IDENTITY else self.domain(name).domain

    def master(self, device: str) -> Master:
        """The device itself. KernelError ENODEV."""
        if device not in self.masters:
            raise KernelError(errno.ENODEV, f"there is no device {device}")
        return self.masters[device]

    async def domain_of(self, device: str) -> DmaDomain:
        """The DMA side of the domain that a device is in. KernelError ENODEV."""
        domain = await self.core.domain_of(device)
        return self.domain(domain.name if domain else "")

    def devices(self, patterns: str | tuple[str, ...]) -> list[str]:
        """The devices that names or globs stand for, in the order in which they appeared."""
        wanted = (patterns,) if isinstance(patterns, str) else patterns
        return [name for name in self.core.devices if any(fnmatchcase(name, pattern) for pattern in wanted)]

    def leaks(self) -> list[Allocation]:
        """Kernel memory that nothing points to any more; takes no time."""
        views: list[Object] = [*self.core.iommus.values()]
        views += [device.object for device in self.core.devices.values()]
        views += [domain.object for domain in self.core.domains.values()]
        roots = [int(view.address) for view in views]
        return self.kernel.leaks([*roots, *(root for dma in self.dma.values() for root in dma.roots())])
