"""What the driver knows of an IOMMU and of the devices behind it: structures in memory, and facts that never change."""

from __future__ import annotations

from cosim.sim.operations import MmioRead, MmioWrite, Poll
from cosim.spec.bits import Word
from cosim.spec.register_map import Register
from cosim.spec.registers import Capabilities
from cosim.sw.iommu_ops import DeviceObject, DevIommu
from cosim.sw.kernel.locks import SpinLock
from cosim.sw.kernel.objects import Object, cell, embed


class Queue(Object):
    """An in-memory queue of an IOMMU (3 "In-memory queue interface"), the driver's half of it.

    `prod`, `head` and `tail` count entries without end; modulo `entries` they are indices. For the command queue
    `prod` is the next ticket, `tail` the next ticket that may ring the doorbell (the same one where senders take a
    lock), `head` what the IOMMU is known to have consumed. For the fault queue `tail` is what it is known to have
    produced, `head` what was served.
    """

    __slots__ = ()
    iommu = cell()
    """The IOMMU's address while the queue is on, else 0."""
    base = cell()
    """Address of entry 0."""
    entries = cell()
    prod = cell()
    head = cell()
    tail = cell()


GONE = 1
"""State of an IOMMU that is about to be freed: no flush may begin to use it."""
IN_DOUBT = 2
"""State of an IOMMU of which a fence has failed: it may go on with what it was to forget."""


class IommuDevice(Object):
    """One IOMMU: made before its probe, freed after its removal."""

    __slots__ = ()
    registers = cell()
    """Where its registers are mapped."""
    capabilities = cell()
    fctl = cell()
    icvec = cell()
    mode = cell()
    """ddtp.iommu_mode, as last set."""
    root = cell()
    """Address of the root of the device directory."""
    complained = cell()
    """Fault messages in the present interval of the rate limit."""
    complained_since = cell()
    node = cell()
    """NUMA node."""
    commands = embed(Queue)
    faults = embed(Queue)
    queue_lock = embed(SpinLock)
    """Of the command queue, in variants that have one."""
    state = cell()
    """`GONE` or `IN_DOUBT`, or both, in the variant that keeps account of that."""

    async def read(self, register: Register[Word], *, part: str = "mmio") -> int:
        """Read a register."""
        return await MmioRead(await self.registers.load() + register.offset, register.size, part=part)

    async def write(self, register: Register[Word], value: int, *, part: str = "mmio") -> None:
        """Write a register, relaxed."""
        await MmioWrite(await self.registers.load() + register.offset, value, register.size, part=part)

    async def polling(
        self,
        register: Register[Word],
        mask: int,
        seen: int,
        timeout_ps: int,
        *,
        pause_ps: int = 0,
        sleep: bool = False,
        part: str = "mmio",
    ) -> Poll:
        """The operation that reads a register until its bits in `mask` differ from `seen`, or for `timeout_ps`."""
        return Poll(
            await self.registers.load() + register.offset,
            seen,
            register.size,
            mask=mask,
            timeout_ps=timeout_ps,
            pause_ps=pause_ps,
            sleep=sleep,
            part=part,
        )


class DeviceInfo(Object):
    """The driver's own data of a device: which paging domain it is bonded to, 0 if none."""

    __slots__ = ()
    domain = cell()


async def iommu_of(device: DeviceObject) -> IommuDevice:
    """device->iommu->iommu_dev: the IOMMU that a device is behind. Nothing keeps either structure alive."""
    dev_iommu = DevIommu(await device.iommu.load())
    return IommuDevice(await dev_iommu.iommu_dev.load())


async def info_of(device: DeviceObject) -> DeviceInfo:
    """device->iommu->priv: the driver's data of a device."""
    return DeviceInfo(await DevIommu(await device.iommu.load()).priv.load())


async def capabilities_of(iommu: IommuDevice) -> Capabilities:
    """The capabilities that probe found."""
    return Capabilities(await iommu.capabilities.load())
