"""What nobody points to is found; what anybody points to, in whatever form, is not called a leak."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from cosim.sim.operations import Store, Work
from cosim.spec.pagetable import PAGE
from cosim.sw.dma_api import Piece
from cosim.sw.kernel.irq import IrqReturn
from cosim.sw.kernel.objects import Cell, Object, cell
from cosim.units.quantities import MS, US
from tests.sw.machine import Machine


class Node(Object):
    next = cell()


def lost(machine: Machine, *roots: int) -> list[str]:
    return [one.purpose for one in machine.kernel.leaks(roots)]


def in_itself(page: int) -> list[object]:
    """A list that has a page, and itself."""
    held: list[object] = [page]
    held.append(held)
    return held


@dataclass
class Holder:
    """What has a node, and may delete it."""

    node: Node
    machine: Machine | None = None

    async def delete(self) -> None:
        assert self.machine
        await self.machine.kernel.pages.delete(self.node)


async def clear(word: Cell) -> None:
    await word.store(0)


def test_a_chain_from_the_kernels_own_words_is_reachable_to_its_end() -> None:
    machine = Machine()
    head = Cell(machine.kernel.static(8))

    async def body() -> Node:
        first, second, third = [await machine.kernel.pages.new(Node) for _ in range(3)]
        await head.store(first.address)
        await first.next.store(second.address)
        await second.next.store(third.address)
        return first

    first = machine.run(body())
    assert not lost(machine)
    machine.run(clear(first.next))
    assert lost(machine) == ["Node", "Node"]


def test_a_page_is_reachable_by_the_page_number_of_an_entry_or_of_a_base() -> None:
    machine = Machine()
    words = [Cell(machine.kernel.static(8)) for _ in range(2)]

    async def body() -> None:
        table, leaf = [await machine.kernel.pages.alloc(purpose="table") for _ in range(2)]
        await words[0].store(8 << 60 | table // PAGE)
        await Store(table + 16, leaf // PAGE << 10 | 1)

    machine.run(body())
    assert not lost(machine)
    machine.run(clear(words[0]))
    assert lost(machine) == ["table", "table"]


def test_what_is_written_for_hardware_alone_keeps_nothing() -> None:
    machine = Machine()

    async def body(purpose: str) -> int:
        holder = await machine.kernel.pages.alloc(purpose=purpose)
        await Store(holder + 16, (await machine.kernel.pages.new(Node)).address)
        return holder

    assert not lost(machine, machine.run(body("table")))
    for purpose in ("queue", "ring"):
        machine = Machine()
        assert lost(machine, machine.run(body(purpose))) == ["Node"]


def test_a_given_root_is_followed_and_a_cycle_ends() -> None:
    machine = Machine()

    async def body() -> list[int]:
        one, two = [await machine.kernel.pages.new(Node) for _ in range(2)]
        await one.next.store(two.address)
        await two.next.store(one.address)
        return [int(one.address)]

    roots = machine.run(body())
    assert not lost(machine, *roots)
    assert lost(machine) == ["Node", "Node"]


def test_what_points_into_an_object_keeps_it_and_what_points_just_behind_it_does_not() -> None:
    machine = Machine()

    async def body() -> int:
        return int((await machine.kernel.pages.new(Node)).address)

    address = machine.run(body())
    assert not lost(machine, address + Node.SIZE - 1)
    assert lost(machine, address + Node.SIZE) == ["Node"]
    assert lost(machine, address - 1) == ["Node"]


@pytest.mark.parametrize(
    "hold",
    [
        lambda page: page,
        lambda page: (Node(page),),
        lambda page: {page},
        lambda page: [Piece(page, PAGE)],
        lambda page: {"first": page},
        lambda page: {"all": [Piece(page, PAGE)]},
        lambda page: Holder(Node(page)),
        lambda page: in_itself(page),
    ],
)
def test_what_a_thread_has_in_its_hands_is_not_lost_until_it_drops_it(hold: Callable[[int], object]) -> None:
    machine = Machine(model="rvwmo")

    async def helper(node: Node) -> None:
        await machine.kernel.sleep(100 * US)
        assert node

    async def body() -> None:
        held = hold(await machine.kernel.pages.alloc(purpose="table"))
        await helper(await machine.kernel.pages.new(Node))
        del held
        await machine.kernel.pages.alloc(purpose="buffer")
        await machine.kernel.sleep(100 * US)

    machine.start(body())
    machine.go(until=50 * US)
    assert not lost(machine)
    machine.go(until=150 * US)
    assert lost(machine) == ["table", "Node"]


def test_what_waits_to_be_freed_and_what_an_interrupt_holds_is_not_lost() -> None:
    """What is given out in the place of the one that was freed, is."""
    machine = Machine()
    found: list[bool] = []
    machine.kernel.boot()

    async def handle() -> IrqReturn:
        return IrqReturn.HANDLED

    async def serve() -> None:
        pass

    async def body() -> None:
        await machine.kernel.irq.request("cpu0", 17, "iommu", handle, serve)
        freed = int((await machine.kernel.pages.new(Node)).address)
        await machine.kernel.rcu.kfree(Node(freed))
        assert not lost(machine)
        await machine.kernel.sleep(100 * MS)
        found.append(int((await machine.kernel.pages.new(Node)).address) == freed)

    machine.start(body())
    machine.go(until=1 * MS)
    assert "Node" in machine.kernel.pages.purposes()
    machine.go(until=200 * MS)
    assert found == [True]
    assert lost(machine) == ["Node"]


def test_what_an_expression_holds_that_waits_for_its_other_half_is_not_lost() -> None:
    machine = Machine()

    async def later() -> int:
        await machine.kernel.sleep(100 * US)
        return 0

    async def entries() -> AsyncIterator[int]:
        yield (await machine.kernel.pages.new(Node)).address + await later()

    async def body() -> None:
        async for _ in entries():
            pass

    machine.start(body())
    machine.go(until=50 * US)
    assert not lost(machine)
    machine.go(until=150 * US)
    assert lost(machine) == ["Node"]


def test_what_is_quarantined_is_no_leak_nor_what_it_leads_to() -> None:
    machine = Machine()

    async def body() -> Node:
        kept, behind = [await machine.kernel.pages.new(Node) for _ in range(2)]
        await kept.next.store(behind.address)
        return kept

    kept = machine.run(body())
    machine.kernel.pages.quarantine(kept.address, "its fence has failed")
    assert not lost(machine)
    machine.run(clear(kept.next))
    assert lost(machine) == ["Node"]


async def _delete(machine: Machine, node: Node) -> None:
    await machine.kernel.pages.delete(node)


@pytest.mark.parametrize(
    "callback",
    [
        lambda machine, node: lambda: machine.kernel.pages.delete(node),
        lambda machine, node: lambda mine=node: machine.kernel.pages.delete(mine),
        lambda machine, node: partial(_delete, machine, node),
        lambda machine, node: partial(_delete, machine=machine, node=node),
        lambda machine, node: Holder(node, machine).delete,
    ],
    ids=["closes over", "default", "partial", "keyword", "method"],
)
def test_what_a_callback_has_that_waits_for_a_grace_period_is_no_leak(callback: Callable[..., Any]) -> None:
    machine = Machine()

    async def forgets() -> None:
        node = await machine.kernel.pages.new(Node)
        await machine.kernel.rcu.call(callback(machine, node))

    async def body() -> None:
        async with machine.kernel.rcu.read():
            await forgets()
            await Work(200 * US)

    machine.start(body())
    machine.go(until=100 * US)
    assert "Node" in [one.purpose for one in machine.kernel.pages.in_use()], "its reader is not done"
    assert "Node" not in lost(machine)
