"""The kernel keeps its promises under schedules drawn at random, with stores late and loads of past states."""

from __future__ import annotations

import random

import pytest

from cosim.sim.chooser import Chooser
from cosim.sim.operations import Load, Sleep, Store, Work
from cosim.sim.simulation import Sim
from cosim.sw.iova import IovaAllocator, IovaOptions
from cosim.sw.kernel.lists import ListHead
from cosim.sw.kernel.locks import SpinLock
from cosim.sw.kernel.objects import Object, cell, embed
from cosim.sw.kernel.options import KernelOptions
from cosim.units.quantities import MS, US, S
from tests.sw.machine import Machine

SEEDS = range(6)
MODELS = ["tso", "rvwmo"]


class Drawn(Chooser):
    """One choice in ten is not 0, but memory is always found."""

    exploring = True

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.draw = random.Random(seed)
        self.deviations = 0

    def pick(self, n: int, name: str) -> int:
        if ".alloc#" in name:
            return 0
        answer = self.draw.randrange(n) if self.draw.random() < 0.1 else 0
        self.deviations += answer > 0
        return answer


def explored(seed: int, model: str) -> Machine:
    sim = Sim(Drawn(seed), hold_ps=2 * US)
    machine = Machine(cpus=4, model=model, sim=sim, options=KernelOptions(kfree_rcu_delay="0 ns"))
    machine.kernel.boot()
    sim.explore()
    return machine


class Item(Object):
    number = cell()
    list = embed(ListHead)


class Shelf(Object):
    lock = embed(SpinLock)
    items = embed(ListHead)
    total = cell()


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("seed", SEEDS)
def test_pages_and_objects_are_touched_by_none_but_their_owners(seed: int, model: str) -> None:
    machine = explored(seed, model)
    pages = machine.kernel.pages
    wrong: list[tuple[int, int]] = []

    async def body(number: int) -> None:
        for _ in range(12):
            page, item = await pages.alloc(purpose="table"), await pages.new(Item)
            if await Load(page + 8) or await item.number.load():
                wrong.append((number, page))
            await Store(page + 8, number)
            await item.number.store(number)
            await Work(300_000)
            if await Load(page + 8) != number or await item.number.load() != number:
                wrong.append((number, page))
            await pages.delete(item)
            await pages.free(page)

    for number in (1, 2, 3):
        machine.start(body(number), cpu=f"cpu{number}")
    machine.go(until=50 * MS)
    assert not wrong
    assert not machine.touched
    assert not pages.in_use()


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("seed", SEEDS)
def test_readers_of_a_list_meet_no_freed_entry_and_no_unwritten_one(seed: int, model: str) -> None:
    machine = explored(seed, model)
    kernel = machine.kernel
    shelf = Shelf(kernel.static(Shelf.SIZE))
    seen: list[int] = []

    async def writer(number: int) -> None:
        for index in range(4):
            item = await kernel.pages.new(Item)
            await item.number.store(number + index)
            async with kernel.spin(shelf.lock):
                await shelf.items.add_rcu(item.list)
            await Sleep(50 * US)
            async with kernel.spin(shelf.lock):
                await item.list.delete_rcu()
            await kernel.rcu.kfree(item)

    async def reader() -> None:
        while machine.sim.now < 2 * MS:
            async with kernel.rcu.read():
                async for item in shelf.items.each(Item, Item.list):
                    seen.append(int(await item.number.load()))
            await Work(2 * US)

    async def begin() -> None:
        await shelf.items.initialise()
        await kernel.spawn("writer", writer(10), "cpu1")
        await kernel.spawn("writer", writer(20), "cpu2")
        await kernel.spawn("reader", reader(), "cpu3")

    machine.start(begin())
    machine.go(until=1 * S)
    assert not machine.touched
    assert set(seen) <= {*range(10, 14), *range(20, 24)}
    assert not machine.log
    assert "Item" not in kernel.pages.purposes()


def freed_at_once(seed: int) -> Machine:
    """A list whose entries are freed as soon as they are unlinked."""
    machine = explored(seed, "rvwmo")
    kernel = machine.kernel
    shelf = Shelf(kernel.static(Shelf.SIZE))

    async def writer() -> None:
        for index in range(10):
            item = await kernel.pages.new(Item)
            await item.number.store(index)
            await shelf.items.add_rcu(item.list)
            await Sleep(3 * US)
            await item.list.delete_rcu()
            await kernel.pages.delete(item)

    async def reader() -> None:
        while machine.sim.now < 200 * US:
            async with kernel.rcu.read():
                async for item in shelf.items.each(Item, Item.list):
                    await Work(1 * US)
                    await item.number.load()

    async def begin() -> None:
        await shelf.items.initialise()
        await kernel.spawn("writer", writer(), "cpu1")
        await kernel.spawn("reader", reader(), "cpu2")

    machine.start(begin())
    machine.go(until=100 * MS)
    return machine


def test_without_waiting_for_readers_some_schedule_has_one_meet_a_freed_entry() -> None:
    assert any(freed_at_once(seed).touched for seed in SEEDS)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("seed", SEEDS)
def test_what_a_spinlock_guards_is_seen_by_the_next_holder(seed: int, model: str) -> None:
    machine = explored(seed, model)
    shelf = Shelf(machine.kernel.static(Shelf.SIZE))

    async def body() -> None:
        for _ in range(10):
            async with machine.kernel.spin(shelf.lock):
                await shelf.total.store(await shelf.total.load() + 1)

    for cpu in machine.cpus:
        machine.start(body(), cpu=cpu)
    machine.go(until=100 * MS)
    machine.go(until=101 * MS)
    assert machine.memory.peek(int(shelf.address) + Shelf.total.offset, 8) == 40


@pytest.mark.parametrize("seed", SEEDS)
def test_iovas_in_use_never_overlap(seed: int) -> None:
    machine = explored(seed, "rvwmo")
    iovas = IovaAllocator(machine.kernel, (1 << 20) - 1, IovaOptions(magazine=2))
    used: set[int] = set()

    async def body(number: int) -> None:
        draw = random.Random(number)
        mine: list[tuple[int, int]] = []
        for _ in range(25):
            if mine and draw.random() < 0.5:
                iova, pages = mine.pop(draw.randrange(len(mine)))
                used.difference_update(range(iova >> 12, (iova >> 12) + pages))
                await iovas.free(iova, pages << 12)
            else:
                pages = draw.randrange(1, 5)
                iova = await iovas.alloc(pages << 12)
                taken = set(range(iova >> 12, (iova >> 12) + pages))
                assert not taken & used
                used.update(taken)
                mine.append((iova, pages))

    for number, cpu in enumerate(machine.cpus):
        machine.start(body(number), cpu=cpu)
    machine.go(until=10 * MS)
    assert not machine.log
