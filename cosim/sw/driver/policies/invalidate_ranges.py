"""What Linux 7.2 sends for a range: the stride of its smallest page, one command for all of it, non-leaf entries.

Mirrors riscv_iommu_iotlb_inval and its like with a detailed gather. An unmap that frees a table has to have the way to
it forgotten, for which a leaf's IOTINVAL does not do:

        unmap                                   IOMMU
        entry of table T = 0                    has cached the way to T
        IOTINVAL of the pages, NL=0             forgets leaves, and keeps the way to T
        free T                                  walks T

So a range with freed tables is flushed with NL=1 where there is NL, and else as the whole PSCID.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from cosim.spec.bits import ONES
from cosim.spec.pagetable import PAGE, PAGE_LG2
from cosim.spec.queues import Iotinval
from cosim.spec.registers import Capabilities
from cosim.sw.driver.axes import Skeleton
from cosim.sw.driver.device import IommuDevice, capabilities_of
from cosim.sw.driver.domain import DomainObject
from cosim.sw.driver.policies.invalidate import WithFreelist
from cosim.sw.iommu_ops import Gather
from cosim.sw.steps import step

ADDRESS_BITS = 64


@dataclass(frozen=True)
class Ranges(WithFreelist):
    """Linux 7.2: by the stride of what was gathered up to 512 commands, with S one; freed tables need NL, or all goes.

    A sync of an empty gather flushes the whole PSCID.
    """

    no_steps: ClassVar = ("flush_of_tables",)

    singles: int = 512
    """Up to so many pages are flushed one by one."""

    async def commands(self, driver: Skeleton, iommu: IommuDevice, pscid: int, start: int, end: int) -> None:
        gather = Gather(stride=PAGE)
        if (start, end) != (0, ONES):
            gather.add(start, end - start + 1)
        await self.gathered(driver, iommu, pscid, gather)

    async def gathered(self, driver: Skeleton, iommu: IommuDevice, pscid: int, gather: Gather) -> None:
        """Flush from one IOMMU what was gathered."""
        for command in self.needed(await capabilities_of(iommu), pscid, gather):
            await self.iotinval(driver, iommu, command)

    def needed(self, capabilities: Capabilities, pscid: int, gather: Gather) -> Iterator[Iotinval]:
        """The commands that an IOMMU with such capabilities needs for what was gathered."""
        nl = int(self.flush_of_freed(gather))
        start, end = gather.start, gather.end
        range_lg2 = max(PAGE_LG2, (start ^ end).bit_length())
        stride = gather.stride or PAGE
        if gather.empty or (nl and not capabilities.nl) or range_lg2 == ADDRESS_BITS:
            yield Iotinval.vma(pscid=pscid)
        elif capabilities.s:
            yield Iotinval.vma(pscid=pscid, addr=start >> range_lg2 << range_lg2, pages_lg2=range_lg2 - PAGE_LG2, nl=nl)
        elif end - start >= self.singles * stride:
            yield Iotinval.vma(pscid=pscid)
        else:
            for iova in range(start, end, stride):
                yield Iotinval.vma(pscid=pscid, addr=iova, nl=nl)

    @step(answer=False)
    def flush_of_freed(self, gather: Gather) -> bool:
        """The flush of what leads to tables that are to be freed, beside that of the pages."""
        return bool(gather.freelist)

    async def sync(self, driver: Skeleton, domain: DomainObject, gather: Gather) -> bool | None:
        async with driver.measured("iotlb_inval"):
            await self.everywhere(driver, domain, lambda iommu, pscid: self.gathered(driver, iommu, pscid, gather))
        while gather.freelist:
            await driver.kernel.pages.free(gather.freelist.pop(0))
        return None
