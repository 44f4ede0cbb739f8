"""Domains in memory: page table, PSCID, and the bonds that tie devices to them."""

from __future__ import annotations

from cosim.sw.driver.device import IommuDevice
from cosim.sw.iommu_ops import Domain
from cosim.sw.kernel.lists import ListHead
from cosim.sw.kernel.locks import SpinLock
from cosim.sw.kernel.objects import Object, cell, embed


class DomainObject(Object):
    """A paging domain: a page table, its PSCID, and the bonds to the IOMMUs that may have cached it."""

    __slots__ = ()
    lock = embed(SpinLock)
    """Guards changes of `bonds`, in variants that have a lock."""
    bonds = embed(ListHead)
    pscid = cell()
    """Its process soft-context id on every IOMMU, in variants that have one for all."""
    mode = cell()
    """iosatp.MODE of the page table."""
    root = cell()
    """Address of the root table; 0 before it is allocated."""
    node = cell()
    """NUMA node of its tables."""
    dirty_by_hardware = cell()
    """1 if IOMMUs set D by themselves (capabilities.AMO_HWAD), so that PTEs begin with D=0."""
    single = cell()
    """The one IOMMU that flushes go to, in the variant that keeps no bonds."""
    tags = embed(ListHead)
    """Its `Tag`s, in variants that number a domain on each IOMMU by itself."""


class Bond(Object):
    """A device's tie to a domain: from before its first use of the PSCID until its last translation is flushed.

    A bond holds the device, or (in variants that do so) the IOMMU itself. Freed after a grace period.
    """

    __slots__ = ()
    list = embed(ListHead)
    device = cell()
    """Address of the `DeviceObject`."""
    iommu = cell()
    """Address of the `IommuDevice`; 0 in variants that find it through the device."""
    pscid = cell()
    """The PSCID on this IOMMU, in variants that have one for each."""
    users = cell()
    """Devices that it stands for, in variants that count them; changed under the domain's lock."""


class Tag(Object):
    """A domain's PSCID on one IOMMU, counted by devices; changed under the domain's lock."""

    __slots__ = ()
    list = embed(ListHead)
    iommu = cell()
    pscid = cell()
    users = cell()


class DoubtfulDomain(DomainObject):
    """A domain in the variant that remembers failed fences; what is `single` in another one is not needed there."""

    __slots__ = ()
    doubtful = cell(offset=DomainObject.single.offset)
    """1 once an IOMMU may have kept what leads to its tables."""


async def bond_to(domain: DomainObject, iommu: IommuDevice) -> Bond | None:
    """The first bond of a domain that holds `iommu`; under the domain's lock."""
    async for bond in domain.bonds.each(Bond, Bond.list):
        if await bond.iommu.load() == iommu.address:
            return bond
    return None


def object_of(domain: Domain) -> DomainObject:
    """The driver's structure of a domain (iommu_domain_to_riscv)."""
    return DomainObject(domain.object.address)
