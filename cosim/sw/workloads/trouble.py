"""Threads that bring things and take them away, use them up, or use them wrongly."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from cosim.events import Misused
from cosim.spec.pagetable import PAGE
from cosim.sw.dma_api import Piece
from cosim.sw.found import find
from cosim.sw.iommu_map import iommu_map
from cosim.sw.iommu_ops import Prot
from cosim.sw.kernel.errors import KernelError
from cosim.sw.runtime import Runtime
from cosim.sw.workloads.references import AttachableNames, IommuName, PagingDomainName
from cosim.sw.workloads.workload import WorkloadOptions, allocate, around, release
from cosim.units.field_types import Size, Time

Dword = Annotated[int, Field(ge=0, lt=1 << 64)]


class Unplug(WorkloadOptions):
    """Takes devices away, once: each stops making requests, is detached and forgotten."""

    does: Literal["unplug"]
    devices: AttachableNames
    """The devices, by names or globs."""
    stop: bool = True
    """Stop them first; else they go on making requests, as at a surprise removal that they are told of late."""
    count: Literal[1] = 1

    async def round(self, runtime: Runtime) -> None:
        for device in runtime.devices(self.devices):
            if self.stop:
                await runtime.master(device).stop()
            if device in runtime.core.devices:  # else another thread has unplugged it meanwhile
                await runtime.core.release_device(device)


class Plug(WorkloadOptions):
    """Finds devices that boot has not found, once, and puts each into the domain that it begins in."""

    does: Literal["plug"]
    devices: AttachableNames
    """The devices, by names or globs; those that are found already are left alone."""
    count: Literal[1] = 1

    async def round(self, runtime: Runtime) -> None:
        wanted = (self.devices,) if isinstance(self.devices, str) else self.devices
        for name in [name for name in runtime.absent if any(fnmatchcase(name, pattern) for pattern in wanted)]:
            await find(runtime, runtime.absent.pop(name))


class UnplugIommu(WorkloadOptions):
    """Takes an IOMMU away, once: the devices behind it stop making requests and go first."""

    does: Literal["unplug-iommu"]
    iommu: IommuName
    """Its name."""
    count: Literal[1] = 1

    async def round(self, runtime: Runtime) -> None:
        for device in runtime.core.behind(self.iommu):
            await runtime.master(device).stop()
        await runtime.core.remove_iommu(self.iommu)


class ForwardCommand(WorkloadOptions):
    """Puts a command of somebody else's into an IOMMU's queue, legal or not, and waits for nothing.

    A virtual IOMMU could so hand on what its guest sends; no driver in Linux does that for RISC-V.
    """

    does: Literal["forward-command"]
    iommu: IommuName
    """Its name."""
    words: tuple[Dword, Dword]
    """The two doublewords of the command; `[0, 0]` is illegal."""
    count: Literal[1] = 1

    async def round(self, runtime: Runtime) -> None:
        await runtime.driver.forward_command(runtime.core.iommu(self.iommu), self.words)


class Shutdown(WorkloadOptions):
    """Shuts the kernel down, once: all devices stop making requests, then each IOMMU is left to the next kernel.

    Nothing else may be under way, as no thread is by then in Linux. With it end all attachments and mappings: a device
    that is told to make requests afterwards (`tell`) reaches memory while its IOMMU is Bare, and is refused from the
    next `probe-again` on. What it reaches by what this kernel had mapped is a violation of `stale-dma`.
    """

    does: Literal["shutdown"]
    count: Literal[1] = 1

    async def round(self, runtime: Runtime) -> None:
        for master in runtime.masters.values():
            await master.stop()
        for iommu in runtime.core.iommus.values():
            await runtime.driver.shutdown(iommu)
        runtime.end()


class ProbeAgain(WorkloadOptions):
    """Probes each IOMMU again, once, as the next kernel does behind a `shutdown` (kexec); devices are not found anew.

    The memory of the kernel before stays in use, and nothing of it is looked at. When a probe returns, its IOMMU may
    hold no context and no translation of the kernel before (`flush-promises`), and refuses its devices, which no thread
    can attach or map for any more. A `plug` finds those that kernel had not found, and makes their domains anew. No
    `shutdown` before, and all of that stays as it is.
    """

    does: Literal["probe-again"]
    count: Literal[1] = 1

    async def round(self, runtime: Runtime) -> None:
        for name in tuple(runtime.core.iommus):
            await runtime.core.probe_again(name)


class ExhaustMemory(WorkloadOptions):
    """Allocates pages until there are none, keeps them for a while, and frees them."""

    does: Literal["exhaust-memory"]
    leave: Size = 0
    """How much it leaves to others."""
    hold: Time = 0
    """How long it keeps them."""
    lasts: ClassVar[bool] = True

    async def round(self, runtime: Runtime) -> None:
        pages = runtime.kernel.pages
        pieces: list[Piece] = []
        spare = await allocate(runtime, self.leave // PAGE)
        try:
            while True:
                pieces.append(Piece(await pages.alloc(zero=False, purpose="buffer"), PAGE))
        except KernelError as error:
            runtime.kernel.log("info", f"{len(pieces)} pages were allocated: {error}")
        await release(runtime, spare)
        await runtime.kernel.sleep(self.hold)
        await release(runtime, pieces)


class ExhaustDomains(WorkloadOptions):
    """Makes domains until there are none to be had, keeps them for a while, and frees them."""

    does: Literal["exhaust-domains"]
    most: int = Field(default=1 << 20, ge=1)
    """How many at most."""
    hold: Time = 0
    """How long it keeps them."""
    lasts: ClassVar[bool] = True

    async def round(self, runtime: Runtime) -> None:
        thread = (await runtime.kernel.context()).thread
        device = next(iter(runtime.core.devices), None)
        made: list[str] = []
        try:
            while len(made) < self.most:
                name = f"{thread}.{len(made)}"
                await runtime.core.domain_alloc(name, device)
                made.append(name)
        except KernelError as error:
            runtime.kernel.log("info", f"{len(made)} domains were made: {error}")
        await runtime.kernel.sleep(self.hold)
        for name in made:
            await runtime.core.domain_free(name)


class Misuse(WorkloadOptions):
    """Uses the DMA API in a way that it does not permit; what follows is what Linux does."""

    does: Literal["misuse"]
    domain: PagingDomainName
    """The domain; a device's own domain has the device's name."""
    what: Literal["unmap-twice", "unmap-unmapped", "map-twice", "unaligned", "free-mapped"]
    """Unmap what has been unmapped; unmap what never was mapped; map an IOVA that is in use; map half a page; free
    memory that is mapped, and unmap it then."""
    count: int | None = Field(default=1, ge=1)
    """How many times."""

    async def round(self, runtime: Runtime) -> None:
        dma, driver = runtime.domain(self.domain), runtime.driver
        if self.what == "unmap-unmapped":
            await dma.unmap(PAGE, PAGE)
            return
        pieces = await allocate(runtime, 2)
        try:
            iova = await dma.map(pieces[0].address, PAGE)
        except KernelError:
            await release(runtime, pieces)
            raise

        async def wrong() -> None:
            if self.what == "free-mapped":
                await runtime.kernel.pages.free(pieces.pop(0).address)
            elif self.what == "unmap-twice":
                await dma.unmap(iova, PAGE)
            elif self.what == "map-twice":
                if misused := runtime.kernel.sim.probe(Misused):
                    who = (await runtime.kernel.context()).thread
                    misused(Misused(runtime.kernel.sim.now, who, self.domain, iova, PAGE))
                await iommu_map(driver, dma.domain, iova, pieces[1].address, PAGE, Prot.READ)
                leads = int(await driver.iova_to_phys(dma.domain, iova))
                runtime.kernel.log(
                    "warning",
                    f"map of {iova:#x}, which was mapped to {pieces[0].address:#x}, succeeded: it leads to {leads:#x}",
                )
            else:
                await iommu_map(driver, dma.domain, iova + PAGE // 2, pieces[1].address, PAGE // 2, Prot.READ)

        async def undo() -> None:
            await dma.unmap(iova, PAGE)
            await release(runtime, pieces)

        await around(wrong(), undo)
