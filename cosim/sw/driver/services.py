"""What the driver gives to its policies beside other policies: the kernel, commands, flushes, messages, pages."""

from __future__ import annotations

from typing import Protocol

from cosim.spec.queues import Command
from cosim.spec.registers import Interrupt
from cosim.sw.calls import Measured
from cosim.sw.driver.costs import DriverCosts
from cosim.sw.driver.device import IommuDevice
from cosim.sw.driver.device_context import DeviceContextWatch
from cosim.sw.driver.domain import DomainObject
from cosim.sw.driver.leaves import LeafWatch
from cosim.sw.iommu_ops import Domain, Gather, Hardware
from cosim.sw.kernel.ids import Ida
from cosim.sw.kernel.irq import IrqAction
from cosim.sw.kernel.kernel import Kernel


class DriverServices(Protocol):
    """The driver as policies use it. What is not ``async`` takes no time; no call takes a lock that outlives it."""

    kernel: Kernel
    costs: DriverCosts
    ids: dict[str, Ida]
    """Allocators of PSCIDs that have been made, by what they serve; the pscid policy's own."""
    device_contexts: DeviceContextWatch
    leaves: LeafWatch

    # --- Commands and flushes: these spin and never sleep ------------------------------------------------------------

    async def send(self, iommu: IommuDevice, command: Command) -> None:
        """Queue a command, in the way of `policies.queue`; not waited for, and lost if the queue is dead."""

    async def sync(self, iommu: IommuDevice, timeout_ps: int) -> bool:
        """Queue a fence and wait for it; false if it is not known to have completed. Measured as ``cmd_sync``."""

    async def invalidate(self, domain: DomainObject, start: int, end: int) -> bool | None:
        """Flush `start` .. `end` (inclusive) of a domain in the way of `policies.invalidate`, and wait.

        False if the policy says that it failed. Measured as ``iotlb_inval``.
        """

    async def iotlb_sync(self, domain: Domain, gather: Gather) -> bool | None:
        """Flush what an unmap has gathered, wait for it, free what was waiting for that, and empty the gather.

        False if the policy says that it failed.
        """

    async def gather_page(self, domain: Domain, gather: Gather, iova: int, size: int) -> None:
        """Add a page to what an unmap has gathered; flush first what does not fit with it."""

    # --- What firmware says, and what is printed ---------------------------------------------------------------------

    def hardware(self, iommu: IommuDevice) -> Hardware:
        """What firmware says of an IOMMU."""

    async def publishing(self, iommu: IommuDevice, index: int, command: Command) -> None:
        """Tell that a command goes into the slot `index` of the ring now."""

    def log(self, level: str, text: str, iommu: IommuDevice) -> None:
        """Print a message about an IOMMU."""

    async def log_once(self, site: str, level: str, text: str, iommu: IommuDevice) -> None:
        """Print a message about an IOMMU, the first time only: a later one of any IOMMU stays silent."""

    def measured(self, call: str) -> Measured:
        """``async with driver.measured("probe"):`` has its duration told, and the parts that it is made of."""

    # --- What an IOMMU holds until it is removed ---------------------------------------------------------------------

    async def keep_page(self, iommu: IommuDevice, order: int = 0, *, purpose: str) -> int:
        """Zeroed pages that go back when the IOMMU is removed. KernelError ENOMEM."""

    async def release_page(self, iommu: IommuDevice, page: int) -> None:
        """Give one of them back early."""

    async def release_pages(self, iommu: IommuDevice) -> None:
        """Give all of them back, the last one first."""

    def connected(self, iommu: IommuDevice, interrupt: Interrupt, action: IrqAction) -> None:
        """Note which action serves an interrupt."""

    def disconnected(self, iommu: IommuDevice, interrupt: Interrupt) -> IrqAction:
        """The action that served an interrupt, which it is no longer noted for."""
