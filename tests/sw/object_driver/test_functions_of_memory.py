"""What the kernel's functions for memory and ids do: how much, of what, and what they answer where there is none."""

from __future__ import annotations

import errno
from collections.abc import Coroutine
from itertools import pairwise
from typing import Any

import pytest

pytest.importorskip("elftools", reason="objects are read with pyelftools: pip install 'cosim[kernel]'")

from cosim.sim.operations import Oops, Store
from cosim.spec.pagetable import PAGE
from cosim.sw.object_driver.functions.devres import hold
from cosim.sw.object_driver.hart import ObjectHart
from cosim.sw.object_driver.machine import LINK
from cosim.units.quantities import MS
from tests.sw.machine import Machine
from tests.sw.object_driver.test_functions import DEVICE, asked
from tests.sw.object_driver.test_running import IMAGE, Loaded

GFP_KERNEL, ZEROED = 0xCC0, 0x100
CACHE, UNDO, MATCH = 0x1000, 0x2000, 0x3000
ANY_NODE = (1 << 64) - 1
CALLER = IMAGE.function(IMAGE.code.base)
RUBBISH = 0xA5A5_A5A5_A5A5_A5A5


@pytest.fixture
def loaded() -> Loaded:
    """What is allocated first holds what was there before."""
    loaded = Loaded()
    pages = loaded.kernel.pages

    async def leaves() -> None:
        address = await pages.kmalloc(64, zero=False, purpose="before")
        for offset in range(0, 64, 8):
            await Store(address + offset, RUBBISH)
        await pages.kfree(address)

    loaded.machine.run(leaves())
    return loaded


@pytest.mark.parametrize("zeroed", [0, ZEROED])
@pytest.mark.parametrize(
    ("name", "before", "after", "link", "purpose"),
    [
        ("__kmalloc_noprof", (), (), 0, f"object of {CALLER}"),
        ("__kmalloc_cache_noprof", (CACHE,), (), 0, f"object of {CALLER}"),
        ("devm_kmalloc", (DEVICE,), (), LINK, f"object of {CALLER}"),
        ("__devres_alloc_node", (UNDO,), (ANY_NODE, 0), LINK, "devres"),
    ],
)
def test_an_object_has_its_size_and_holds_nothing_or_zeroes(
    loaded: Loaded, name: str, before: tuple[int, ...], after: tuple[int, ...], link: int, purpose: str, zeroed: int
) -> None:
    """What it is zeroed of is known; what is not zeroed is unset, with the line that has asked for it."""
    sizes = (GFP_KERNEL | zeroed, 40) if name == "__kmalloc_cache_noprof" else (40, GFP_KERNEL | zeroed)
    address = loaded.machine.run(asked(loaded, name, *before, *sizes, *after))
    assert address is not None
    assert loaded.driver.objects == {address - link: (40 + link, purpose)}
    (found,) = [known for known in loaded.kernel.pages.in_use() if known.address == address - link]
    assert (found.purpose, found.size >= 40 + link) == (purpose, True)
    unset = loaded.driver.unset.at(address + 32, 8)
    if zeroed or name == "__devres_alloc_node":
        assert unset is None
        assert [loaded.machine.memory.peek(address + at, 8) for at in range(0, 40, 8)] == [0] * 5
    else:
        assert unset == (f"what was allocated at {IMAGE.place(IMAGE.code.base)}", link + 32)
        assert loaded.driver.unset.at(address + 40, 8) is None
        assert loaded.machine.memory.peek(address + 32, 8) == RUBBISH
    loaded.machine.run(asked(loaded, "kfree", address - link))
    assert not loaded.driver.objects
    assert not loaded.driver.unset.pages
    assert not [known for known in loaded.kernel.pages.in_use() if known.purpose == purpose]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("__kmalloc_noprof", (40, GFP_KERNEL)),
        ("__kmalloc_cache_noprof", (CACHE, GFP_KERNEL, 40)),
        ("devm_kmalloc", (DEVICE, 40, GFP_KERNEL)),
        ("__devres_alloc_node", (UNDO, 40, GFP_KERNEL, ANY_NODE, 0)),
        ("iommu_alloc_pages_node_sz", (ANY_NODE, GFP_KERNEL, PAGE)),
    ],
)
def test_without_memory_the_answer_is_a_null_pointer_and_nothing_is_kept(
    loaded: Loaded, name: str, arguments: tuple[int, ...]
) -> None:
    before = loaded.kernel.pages.purposes()
    loaded.kernel.pages.fail([1])
    assert loaded.machine.run(asked(loaded, name, *arguments)) == 0
    driver = loaded.driver
    assert not any((driver.objects, driver.undo, driver.held, driver.unset.pages))
    assert loaded.kernel.pages.purposes() == before
    for frees in ("kfree", "iommu_free_pages"):
        assert loaded.machine.run(asked(loaded, frees, 0)) is None
    assert not any(line.startswith("oops") for line in loaded.machine.log)


@pytest.mark.parametrize(
    ("size", "pages"), [(0, 1), (1, 1), (PAGE, 1), (PAGE + 1, 2), (3 * PAGE, 4), (4 * PAGE, 4), (4 * PAGE + 1, 8)]
)
@pytest.mark.parametrize("frees", ["iommu_free_pages", "iommu_pages_free_incoherent"])
def test_pages_are_as_many_as_hold_the_bytes_and_all_are_freed(
    loaded: Loaded, size: int, pages: int, frees: str
) -> None:
    before = loaded.kernel.pages.free_bytes(0)
    page = loaded.machine.run(asked(loaded, "iommu_alloc_pages_node_sz", ANY_NODE, GFP_KERNEL, size))
    assert page
    assert before - loaded.kernel.pages.free_bytes(0) == pages * PAGE
    assert {known.purpose for known in loaded.kernel.pages.in_use() if known.address == page} == {f"page of {CALLER}"}
    loaded.machine.run(asked(loaded, frees, page))
    assert loaded.kernel.pages.free_bytes(0) == before


def test_pages_hold_zeroes_though_their_bytes_were_given_back_unset(loaded: Loaded) -> None:
    """As those of an object that was freed after a grace period."""
    loaded.kernel.boot()
    size = 4 * PAGE

    async def body() -> tuple[int | None, int | None]:
        address = await asked(loaded, "__kmalloc_noprof", size, GFP_KERNEL)
        await asked(loaded, "kvfree_call_rcu", 0, address or 0)
        await loaded.kernel.sleep(100 * MS)
        return address, await asked(loaded, "iommu_alloc_pages_node_sz", ANY_NODE, GFP_KERNEL, size)

    address, again = loaded.machine.run(body())
    assert again == address
    assert not loaded.driver.unset.pages
    assert not loaded.driver.objects


def test_of_what_is_freed_after_a_grace_period_it_is_known_where_that_was_asked_for(loaded: Loaded) -> None:
    loaded.kernel.boot()

    async def body() -> str:
        address = await asked(loaded, "__kmalloc_noprof", 64, GFP_KERNEL)
        await asked(loaded, "kvfree_call_rcu", 0, address or 0)
        await loaded.kernel.sleep(100 * MS)
        with pytest.raises(Oops) as caught:
            await loaded.kernel.pages.kfree(address or 0)
        return caught.value.more

    told = loaded.machine.run(body())
    assert told.rpartition("freed before by ")[2].endswith(f" ({IMAGE.spot(IMAGE.code.base)})")


@pytest.mark.parametrize("link", [8, 40])
@pytest.mark.parametrize("pages", [0, 1, 3])
def test_the_pages_of_a_list_are_freed_wherever_their_descriptors_have_the_link(
    loaded: Loaded, link: int, pages: int
) -> None:
    """Whichever page is in use beside them."""
    driver, free = loaded.driver, loaded.kernel.pages.free_bytes
    driver.link = link

    async def body() -> None:
        head = loaded.kernel.static(16)
        all_of_them = [await asked(loaded, "iommu_alloc_pages_node_sz", ANY_NODE, GFP_KERNEL, PAGE) for _ in range(7)]
        before = free(0)
        links = [driver.descriptors.at(page or 0) + link for page in all_of_them[1 : 2 * pages : 2]]
        for at, following in pairwise([head, *links, head]):
            if at == head:
                await Store(head, following)
            else:
                driver.descriptors.store(at, 8, following)
        await asked(loaded, "iommu_put_pages_list", head)
        assert free(0) - before == pages * PAGE
        assert not {known.address for known in loaded.kernel.pages.in_use()} & {*all_of_them[1 : 2 * pages : 2]}

    loaded.machine.run(body())


@pytest.mark.parametrize(("asked_for", "wanted"), [(0, 0), (1, 1), (2, 2), (-1, 1)])
def test_pages_are_of_the_node_that_is_asked_for_or_of_the_callers(asked_for: int, wanted: int) -> None:
    loaded = Loaded(Machine(nodes=3, cpu_nodes={"cpu0": 1}))
    page = loaded.machine.run(asked(loaded, "iommu_alloc_pages_node_sz", asked_for, 0, 4096))
    assert [known.node for known in loaded.kernel.pages.in_use() if known.address == page] == [wanted]


@pytest.mark.parametrize(("to", "size", "sizes"), [(0, 16, [8, 8]), (0, 11, [8, 1, 1, 1]), (3, 7, [1] * 7), (8, 0, [])])
@pytest.mark.parametrize("name", ["memset", "memcpy"])
def test_bytes_are_filled_or_copied_where_they_shall_and_nowhere_else(
    loaded: Loaded, name: str, to: int, size: int, sizes: list[int]
) -> None:
    """It is told where; of the number to fill with, the lowest byte counts."""
    there, source, memory = loaded.kernel.static(32), loaded.kernel.static(32), loaded.machine.memory
    for n in range(32):
        memory.write(source + n, 1, 0x40 + n)
        memory.write(there + n, 1, 0xEE)
    given = 0x1AB if name == "memset" else source + to
    body: Coroutine[Any, Any, int | None] = asked(loaded, name, there + to, given, size)
    assert loaded.machine.run(loaded._watched(body)) == there + to
    assert [op.size for op in loaded.asked if isinstance(op, Store)] == sizes
    wanted = [0xAB if name == "memset" else 0x40 + n for n in range(32)]
    assert [memory.peek(there + n, 1) for n in range(32)] == [
        wanted[n] if to <= n < to + size else 0xEE for n in range(32)
    ]


def test_an_id_and_its_bounds_are_numbers_of_32_bits_and_none_is_negative(loaded: Loaded) -> None:
    high, largest = 1 << 32, 0x7FFF_FFFF

    async def takes(lowest: int, highest: int) -> int | None:
        return await asked(loaded, "ida_alloc_range", loaded.word, lowest, highest, GFP_KERNEL)

    async def body() -> list[int | None]:
        first = [await takes(high | largest - 1, ANY_NODE) for _ in range(3)]
        await asked(loaded, "ida_free", loaded.word, high | largest)
        return [*first, await takes(high | largest - 1, ANY_NODE)]

    assert loaded.machine.run(body()) == [largest - 1, largest, -errno.ENOSPC, largest]


# --- What goes with a device ------------------------------------------------------------------------------------------


def test_what_is_allocated_for_a_device_is_all_of_its_size_and_goes_with_it() -> None:
    loaded = Loaded()
    address = loaded.call("trouble_allocates_for", DEVICE, 24)
    assert loaded.driver.held[DEVICE] == [(address, 0)]
    (block,) = [known for known in loaded.kernel.pages.in_use() if known.address == address - LINK]
    assert block.size >= LINK + 24
    assert [loaded.call("trouble_loads", address + at) for at in (0, 8, 16)] == [0] * 3, "zeroed, as it was asked"
    loaded.kernel.pages.fail([1])
    assert loaded.call("trouble_allocates_for", DEVICE, 24) == 0
    assert loaded.driver.held[DEVICE] == [(address, 0)]


def chain(loaded: Loaded) -> list[int]:
    """What goes with the device, the newest first, as memory has it."""
    found, at = list[int](), loaded.machine.memory.peek(loaded.driver.head_of(DEVICE), 8)
    while at:
        found.append(at)
        at = loaded.machine.memory.peek(at - LINK, 8)
    return found


def test_each_device_has_a_list_of_its_own() -> None:
    driver = Loaded().driver
    heads = [driver.head_of(device) for device in (DEVICE, DEVICE + 0x1000, DEVICE)]
    assert heads[0] == heads[2] != heads[1]


def test_two_that_are_added_to_a_device_at_once_are_both_on_its_list() -> None:
    loaded, added = Loaded(Machine(cpus=2)), list[int]()

    async def adds() -> None:
        added.append(await loaded.kernel.pages.kmalloc(64, purpose="devres") + LINK)
        await hold(loaded.driver, DEVICE, added[-1], UNDO)

    for number in range(2):
        loaded.machine.start(adds(), cpu=f"cpu{number}", name=f"t{number}")
    loaded.machine.go()
    assert len(added) == 2
    assert sorted(chain(loaded)) == sorted(added)


@pytest.mark.parametrize("goes", [0, 1, 2])
@pytest.mark.parametrize("answer", [1, 1 << 32 | 1])
def test_what_is_released_is_undone_and_leaves_the_list_of_its_device_in_order(
    loaded: Loaded, monkeypatch: pytest.MonkeyPatch, goes: int, answer: int
) -> None:
    """A match is a truth value of 32 bits, asked of the newest first; it is given what it is to look for."""
    called, wanted = list[tuple[int, ...]](), 0x7777
    made = list[int]()

    async def again(hart: ObjectHart, entry: int, *arguments: int) -> int:
        called.append((entry, *arguments))
        if entry == UNDO:
            assert arguments[1] not in chain(loaded), "it has left the list by then"
            assert arguments[1] - LINK in loaded.driver.objects, "it is there still"
            return 0
        return answer if arguments[1] == made[goes] else 1 << 32

    monkeypatch.setattr(ObjectHart, "again", again)

    async def body() -> int | None:
        for _ in range(3):
            data = await asked(loaded, "__devres_alloc_node", UNDO, 24, GFP_KERNEL, ANY_NODE, 0)
            assert data
            assert loaded.driver.undo == {data: UNDO}
            made.append(data)
            await asked(loaded, "devres_add", DEVICE, data)
        assert not loaded.driver.undo
        assert chain(loaded) == made[::-1]
        return await asked(loaded, "devres_release", DEVICE, UNDO, MATCH, wanted)

    assert loaded.machine.run(body()) == 0
    matched = [(MATCH, DEVICE, data, wanted) for data in made[::-1][: 3 - goes]]
    assert called == [*matched, (UNDO, DEVICE, made[goes])]
    left = [data for data in made if data != made[goes]]
    assert chain(loaded) == left[::-1]
    assert loaded.driver.held[DEVICE] == [(data, UNDO) for data in left]
    assert sorted(loaded.driver.objects) == sorted(data - LINK for data in left)


def test_without_a_match_the_newest_of_its_kind_is_released(loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    called = list[tuple[int, ...]]()

    async def again(hart: ObjectHart, entry: int, *arguments: int) -> int:
        called.append((entry, *arguments))
        return 0

    monkeypatch.setattr(ObjectHart, "again", again)

    async def body() -> list[int | None]:
        data = await asked(loaded, "__devres_alloc_node", UNDO, 24, GFP_KERNEL, ANY_NODE, 0)
        await asked(loaded, "devres_add", DEVICE, data or 0)
        await asked(loaded, "devm_kmalloc", DEVICE, 24, GFP_KERNEL)
        return [
            data,
            await asked(loaded, "devres_release", DEVICE + 0x1000, UNDO, 0, 0),
            await asked(loaded, "devres_release", DEVICE, UNDO + 8, 0, 0),
            await asked(loaded, "devres_release", DEVICE, UNDO, 0, 0),
        ]

    data, *answers = loaded.machine.run(body())
    assert answers == [-errno.ENOENT, -errno.ENOENT, 0]
    assert called == [(UNDO, DEVICE, data)]
