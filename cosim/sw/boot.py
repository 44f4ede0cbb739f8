"""From power-on to the first workload: IOMMUs are probed, domains made, devices attached, their windows mapped.

Then what a topology wants prepared is done by threads of their own, before anything is explored and times count.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from cosim.events import BootDone
from cosim.sim.operations import Body, Oops
from cosim.spec.pagetable import PAGE
from cosim.sw.device_plan import DevicePlan
from cosim.sw.dma_api import Piece
from cosim.sw.found import find
from cosim.sw.iommu_ops import IDENTITY, Hardware
from cosim.sw.kernel.errors import KernelError
from cosim.sw.kernel.objects import WORD, Cell
from cosim.sw.runtime import Runtime
from cosim.sw.workloads import PREPARE, WorkloadOptions, thread_names

BOOT = "boot"
"""The thread that boots."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What there is to boot. `domains` names those that no device starts in.

    Such a one is made for the device of `alloc_for`, where None is no device, else for the first one.
    """

    iommus: tuple[Hardware, ...]
    devices: tuple[DevicePlan, ...] = ()
    domains: tuple[str, ...] = ()
    threads: tuple[WorkloadOptions, ...] = ()
    prepare: tuple[WorkloadOptions, ...] = ()
    """What threads do before those begin; each of them ends."""
    alloc_for: Mapping[str, str | None] = field(default_factory=dict)


async def boot(runtime: Runtime, plan: Plan) -> None:
    """Boot, prepare, then start devices and threads.

    What fails is logged, and the rest goes on without it, as in Linux.
    """
    kernel, core = runtime.kernel, runtime.core
    for hardware in plan.iommus:
        await _try(runtime, hardware.name, core.probe_iommu(hardware))
    for device in plan.devices:
        if not device.plugged:
            runtime.absent[device.name] = device
        elif device.iommu in core.iommus:
            await _try(runtime, device.name, find(runtime, device))
    for name in plan.domains:
        await _try(runtime, name, _make(runtime, name, plan.alloc_for.get(name, next(iter(core.devices), None))))
    preparing = list(zip(plan.prepare, thread_names(plan.prepare, PREPARE), strict=True))
    threads = list(zip(plan.threads, thread_names(plan.threads), strict=True))
    for thread, name in (*preparing, *threads):
        await _try(runtime, f"{thread.on}.{name}", thread.set_up(runtime))
    windows = {device.name: window for device in plan.devices if (window := await _window(runtime, device)) is not None}
    runtime.origin.booted(kernel.sim.now)
    if preparing:
        await _prepare(runtime, preparing)
        runtime.origin.booted(kernel.sim.now)
    done = kernel.sim.probe(BootDone)
    if done:
        done(BootDone(kernel.sim.now))
    kernel.booted()
    kernel.sim.explore()
    starts = {device.name: runtime.origin.time_ps + device.start_ps for device in plan.devices}
    for name, (iova, size) in windows.items():
        await runtime.master(name).start(iova, size, not_before_ps=starts[name])
    await _start(runtime, threads)


async def _start(runtime: Runtime, threads: Sequence[tuple[WorkloadOptions, str]]) -> None:
    """Start all threads; one that follows another waits until that has ended."""
    followed = dict.fromkeys(thread.after for thread, _ in threads if thread.after is not None)
    ended = {path: Cell(runtime.kernel.static(WORD)) for path in followed}
    for thread, name in threads:
        body = _following(runtime, thread, ended[thread.after]) if thread.after is not None else thread.run(runtime)
        if (path := f"{thread.on}.{name}") in ended:
            body = _then(body, partial(ended[path].fetch_add, 1))
        await runtime.kernel.spawn(name, body, thread.on)


async def _following(runtime: Runtime, thread: WorkloadOptions, ended: Cell) -> None:
    await _reached(ended, 1)
    await thread.run(runtime)


async def _then(body: Body, tell: Callable[[], Awaitable[object]]) -> None:
    """However a thread ends, those that wait for that are told, and may begin."""
    try:
        await body
    except (KernelError, Oops):
        await tell()
        raise
    await tell()


async def _prepare(runtime: Runtime, threads: Sequence[tuple[WorkloadOptions, str]]) -> None:
    """Let each thread do its part when all before it have, or beside the one before it, and wait until all have."""
    ended, begun = Cell(runtime.kernel.static(WORD)), 0
    for thread, name in threads:
        if not thread.beside:
            await _reached(ended, begun)
        begun += 1
        runtime.preparing[f"{thread.on}.{name}"] = None
        await runtime.kernel.spawn(name, _part(runtime, thread, ended), thread.on)
    await _reached(ended, begun)


async def _reached(cell: Cell, count: int) -> None:
    await cell.wait_until(lambda value: value == count, spin=False, part="sleep")


async def _part(runtime: Runtime, thread: WorkloadOptions, ended: Cell) -> None:
    """What a thread prepares. However it ends, the next one may begin; what it could not do is in the kernel log."""
    await _then(thread.run(runtime), lambda: _over(runtime, ended))


async def _over(runtime: Runtime, ended: Cell) -> None:
    del runtime.preparing[(await runtime.kernel.context()).thread]
    await ended.fetch_add(1)


async def _make(runtime: Runtime, name: str, device: str | None) -> None:
    await runtime.new_domain(name, device)


async def _window(runtime: Runtime, device: DevicePlan) -> tuple[int, int] | None:
    """A device's window, from pages of its node, and its address for the device: mapped where it has a domain."""
    if not device.window or (device.iommu and not _is_found(runtime, device)):
        return None
    pages = runtime.kernel.pages
    try:
        if not device.iommu or device.domain == IDENTITY:
            order = (-(-device.window // PAGE) - 1).bit_length()
            return await pages.alloc(order, node=device.node, zero=False, purpose="buffer"), device.window
        pieces = await _pieces(runtime, device)
        try:
            (segment,) = await runtime.dma[device.domain].map_sg(pieces)
            return segment.address, device.window
        except KernelError:
            for piece in pieces:
                await pages.free(piece.address)
            raise
    except KernelError as error:
        runtime.kernel.log("error", f"{device.name}: no window: {error}")
        runtime.not_started[device.name] = str(error)
        return None


def _is_found(runtime: Runtime, device: DevicePlan) -> bool:
    return device.name in runtime.core.devices and runtime.has_place(device.domain)


async def _pieces(runtime: Runtime, device: DevicePlan) -> Sequence[Piece]:
    pages, page = runtime.kernel.pages, device.page
    pieces: list[Piece] = []
    try:
        for _ in range(-(-device.window // page)):
            order = (page // PAGE - 1).bit_length()
            pieces.append(Piece(await pages.alloc(order, node=device.node, zero=False, purpose="buffer"), page))
    except KernelError:
        for piece in pieces:
            await pages.free(piece.address)
        raise
    return pieces


async def _try(runtime: Runtime, what: str, step: Body) -> None:
    try:
        await step
    except KernelError as error:
        runtime.kernel.log("error", f"{what}: {error}")
