"""What is there once a system runs: kernel, core, domains, and devices that can be told where their buffers are."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import NamedTuple

from cosim.sim.operations import Now
from cosim.sw.device_plan import DevicePlan
from cosim.sw.dma_api import DmaApi, Piece, Segment
from cosim.sw.dma_device import DeviceDriver
from cosim.sw.dma_direct import DmaDirect
from cosim.sw.dma_iommu import DmaDomain
from cosim.sw.iommu_core import IommuCore
from cosim.sw.iommu_ops import IDENTITY, Domain, IommuDriver
from cosim.sw.iova import IovaOptions
from cosim.sw.kernel.errors import KernelError
from cosim.sw.kernel.kernel import Kernel
from cosim.sw.kernel.objects import Object
from cosim.sw.kernel.page_allocator import Allocation


@dataclass(slots=True)
class Origin:
    """The moment that all times of a run count from: reset, and from the end of boot on that one, if `at_boot`.

    While something is being prepared, times count from its beginning, and then from its end.
    """

    at_boot: bool = True
    time_ps: int = 0

    def booted(self, now: int) -> None:
        """Boot has come to its end, or what was to be prepared after it is prepared."""
        if self.at_boot:
            self.time_ps = now


class Buffer(NamedTuple):
    """A buffer that was left mapped: in which domain, its memory, and where the device finds it."""

    domain: str
    pieces: tuple[Piece, ...]
    segments: tuple[Segment, ...]


@dataclass(frozen=True, slots=True)
class RingHardware:
    """Where a ring device's registers are, and the interrupt that it raises on a CPU."""

    base: int
    cpu: str
    vector: int


@dataclass(frozen=True, slots=True)
class Runtime:
    """Kernel, core and devices of a run; `dma` holds the DMA API of each paging domain that exists.

    `untranslated` names the devices that have begun behind no IOMMU, or in the identity domain: such a name stands,
    as the name of a domain, for the DMA API without translation.
    """

    kernel: Kernel
    driver: IommuDriver
    core: IommuCore
    masters: Mapping[str, DeviceDriver] = field(default_factory=dict)
    rings: Mapping[str, RingHardware] = field(default_factory=dict)
    untranslated: frozenset[str] = frozenset()
    iova: IovaOptions = field(default_factory=IovaOptions)
    dma: dict[str, DmaDomain] = field(default_factory=dict)
    left: list[DmaDomain] = field(default_factory=list)
    """Those of the kernels before this one."""
    buffers: dict[str, Buffer] = field(default_factory=dict)
    """What threads have left mapped for others, by name."""
    origin: Origin = field(default_factory=Origin)
    absent: dict[str, DevicePlan] = field(default_factory=dict)
    """The devices that have yet to be plugged in, by name."""
    not_started: dict[str, str] = field(default_factory=dict)
    """The devices that were kept out of their domain, with "", or that got no window from boot, and why not."""
    preparing: dict[str, None] = field(default_factory=dict)
    """The threads that prepare something at present, in the order in which they began."""
    rounds: dict[str, int] = field(default_factory=dict)
    """How many rounds each thread of a workload has made so far, from the beginning of its first one on."""
    direct: DmaDirect = field(init=False)
    """The DMA API without translation, of every device that has no other."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "direct", DmaDirect(self.core))

    async def sleep_until(self, time_ps: int) -> None:
        """Sleep until that long after the run's origin; no time at all if that is past."""
        now = (await Now()).time
        await self.kernel.sleep(max(0, self.origin.time_ps + time_ps - now))

    async def new_domain(self, name: str, device: str | None) -> DmaDomain:
        """A paging domain with an IOVA allocator. KernelError ENOMEM, ENODEV, EEXIST."""
        domain = await self.core.domain_alloc(name, device)
        made = self.dma[name] = DmaDomain(self.core, domain, self.iova)
        return made

    async def free_domain(self, name: str) -> None:
        """Free a domain that no device is in."""
        await self.dma.pop(name).close()
        await self.core.domain_free(name)

    def end(self) -> None:
        """The kernel is over: the next one knows none of its devices and domains."""
        self.left.extend(self.dma.values())
        self.dma.clear()
        self.kernel.end()
        self.core.end()

    def leave_buffer(self, name: str, buffer: Buffer) -> None:
        """Leave a buffer mapped for other threads."""
        self.buffers[name] = buffer

    def buffer(self, name: str) -> Buffer:
        """A buffer that was left mapped. KernelError ENOENT."""
        if name not in self.buffers:
            raise KernelError(errno.ENOENT, f"there is no buffer {name} now")
        return self.buffers[name]

    def take_buffer(self, name: str) -> Buffer:
        """The same, and from here on it is the caller's to unmap. KernelError ENOENT."""
        found = self.buffer(name)
        del self.buffers[name]
        return found

    def domain(self, name: str) -> DmaApi:
        """The DMA API of a domain. KernelError ENODEV."""
        if name in self.dma:
            return self.dma[name]
        if name == IDENTITY or name in self.untranslated:
            return self.direct
        raise KernelError(errno.ENODEV, f"there is no domain {name!r} for DMA")

    def has_place(self, name: str) -> bool:
        """Whether there is such a domain that a device can be in."""
        return name == IDENTITY or name in self.dma

    def place(self, name: str) -> Domain:
        """A domain that a device can be in: a paging one, or the identity domain. KernelError ENODEV."""
        return self.domain(name).domain

    def master(self, device: str) -> DeviceDriver:
        """The device itself. KernelError ENODEV."""
        if device not in self.masters:
            raise KernelError(errno.ENODEV, f"there is no device {device}")
        return self.masters[device]

    async def domain_of(self, device: str) -> DmaApi:
        """The DMA API of a device: that of the domain that it is in. KernelError ENODEV."""
        if device not in self.core.devices and device in self.untranslated:
            return self.direct
        domain = await self.core.domain_of(device)
        return self.domain(domain.name if domain else "")

    def devices(self, patterns: str | tuple[str, ...]) -> list[str]:
        """The devices that names or globs stand for, in the order in which they appeared."""
        wanted = (patterns,) if isinstance(patterns, str) else patterns
        return [name for name in self.core.devices if any(fnmatchcase(name, pattern) for pattern in wanted)]

    def leaks(self, stored: Iterable[int] = ()) -> list[Allocation]:
        """Kernel memory that nothing points to any more; takes no time.

        `stored` are words that threads have stored and that have yet to take hold.
        """
        views: list[Object] = [*self.core.iommus.values(), *self.core.left]
        views += [device.object for device in self.core.devices.values()]
        views += [domain.object for domain in self.core.domains.values()]
        roots = [int(view.address) for view in views]
        roots += [root for dma in (*self.dma.values(), *self.left, self.direct) for root in dma.roots()]
        return self.kernel.leaks([*roots, *self.driver.roots(), *stored])
