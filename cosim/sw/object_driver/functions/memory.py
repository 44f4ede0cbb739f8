"""Memory and ids: kmalloc, pages, kfree, memcpy and memset, the allocator of ids."""

from __future__ import annotations

from collections.abc import Mapping

from cosim.spec.pagetable import PAGE
from cosim.sw.kernel.errors import KernelError
from cosim.sw.object_driver.call import Call, Function

GFP_ZERO = 0x100
"""__GFP_ZERO."""


async def allocate(call: Call, size: int, gfp: int, purpose: str = "") -> int:
    """An object of so many bytes, 0 if there is none; unless it is zeroed, its bytes are unset."""
    machine = call.machine
    zero, purpose = bool(gfp & GFP_ZERO), purpose or f"object of {call.caller}"
    try:
        address = await machine.kernel.pages.kmalloc(size, zero=zero, purpose=purpose, place=call.spot)
    except KernelError:
        return 0
    machine.unset.set(address, size)
    if not zero:
        machine.unset.mark(address, size, f"what was allocated at {call.where}")
    machine.objects[address] = (size, purpose)
    return address


async def release(call: Call, address: int) -> None:
    """Give an object back."""
    size, _ = call.machine.objects.pop(address, (0, ""))
    if size:
        call.machine.unset.set(address, size)
    await call.machine.kernel.pages.kfree(address, place=call.spot)


async def _kmalloc(call: Call) -> int:
    return await allocate(call, call[0], call[1])


async def _kmalloc_cache(call: Call) -> int:
    return await allocate(call, call[2], call[1])


async def _kfree(call: Call) -> None:
    await release(call, call[0])


async def _pages(call: Call) -> int:
    node, order = call.signed(0), max(0, -(-call[2] // PAGE) - 1).bit_length()
    try:
        page = await call.machine.kernel.pages.alloc(
            order, node=None if node < 0 else node, purpose=f"page of {call.caller}", place=call.spot
        )
    except KernelError:
        return 0
    call.machine.unset.set(page, PAGE << order)
    return page


async def _free_pages(call: Call) -> None:
    if call[0]:
        await call.machine.kernel.pages.free(call[0], place=call.spot)


async def _put_pages(call: Call) -> None:
    """Free the pages of a list, whose links are in their descriptors."""
    machine, head = call.machine, call[0]
    at = await call.load(head, 8)
    while at != head:
        following = await call.load(at, 8)
        await machine.kernel.pages.free(machine.descriptors.page(at - machine.link), place=call.spot)
        at = following


async def _memcpy(call: Call) -> int:
    to, source, size = call[0], call[1], call[2]
    for offset, step in _steps(to | source, size):
        await call.store(to + offset, await call.load(source + offset, step), step)
    return to


async def _memset(call: Call) -> int:
    to, byte, size = call[0], call[1] & 0xFF, call[2]
    for offset, step in _steps(to, size):
        await call.store(to + offset, int.from_bytes(bytes([byte]) * step, "little"), step)
    return to


def _steps(alignment: int, size: int) -> list[tuple[int, int]]:
    """The pieces of a copy: words where both ends are aligned, and bytes."""
    found, offset = [], 0
    while offset < size:
        step = 8 if not (alignment | offset) & 7 and size - offset >= 8 else 1
        found.append((offset, step))
        offset += step
    return found


async def _ida_alloc(call: Call) -> int:
    machine, address = call.machine, call.machine.variable(call[0])
    if address not in machine.idas:
        lowest, highest = call[1] & 0xFFFF_FFFF, call[2] & 0xFFFF_FFFF
        machine.idas[address] = machine.kernel.ida(call.caller, lowest, min(highest, 0x7FFF_FFFF))
    try:
        return await machine.idas[address].alloc()
    except KernelError as error:
        return -error.code


async def _ida_free(call: Call) -> None:
    await call.machine.idas[call.machine.variable(call[0])].free(call[1] & 0xFFFF_FFFF)


FUNCTIONS: Mapping[str, Function] = {
    "__kmalloc_noprof": _kmalloc,
    "__kmalloc_cache_noprof": _kmalloc_cache,
    "kfree": _kfree,
    "iommu_alloc_pages_node_sz": _pages,
    "iommu_free_pages": _free_pages,
    "iommu_pages_free_incoherent": _free_pages,
    "iommu_put_pages_list": _put_pages,
    "memcpy": _memcpy,
    "memset": _memset,
    "ida_alloc_range": _ida_alloc,
    "ida_free": _ida_free,
}
