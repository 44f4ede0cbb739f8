"""Places in the source: the same for the same line, whatever runs it, and looked up only when somebody asks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator
from typing import Any

import pytest

from cosim import compiled
from cosim.sim.actions import Taken
from cosim.sim.agenda import Agenda
from cosim.sim.operations import Load, Op, Store
from cosim.sim.places import place_of
from cosim.sim.ranks import Stage
from cosim.sim.simulation import Sim
from cosim.sim.task import Routine

HERE = __name__


class Lock:
    """What threads of a driver are made of: a method that awaits, and a section."""

    async def take(self) -> None:
        await Load(0)

    async def __aenter__(self) -> None:
        await self.take()

    async def __aexit__(self, *_: object) -> None:
        await Store(0, 0)


async def plain() -> None:
    await Load(0)
    await Store(
        0,
        1,
    )


async def nested() -> None:
    lock = Lock()
    await lock.take()
    async with lock:
        await plain()


async def each() -> AsyncIterator[int]:
    for n in range(2):
        await Load(n)
        yield n


async def looping() -> None:
    async for n in each():
        await Store(n, 0)


async def comprehending() -> None:
    await Load(0)
    assert len([await Load(n) for n in range(2)]) == 2


async def in_a_closure() -> None:
    async def inner() -> None:
        await Load(0)

    await inner()


class ByHand:
    """An awaitable that is no operation and has no coroutine."""

    def __await__(self) -> Generator[Op[Any], Any, int]:
        yield Load(0)
        return (yield Load(0))


async def by_hand() -> None:
    await ByHand()


def places(body: Any) -> list[str]:
    """The place of each operation that `body` awaits."""
    found = []
    answer = None
    while True:
        try:
            body.send(answer)
        except StopIteration:
            return found
        found.append(place_of(body))
        answer = 0


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (plain, ["plain+1", "plain+2"]),
        (nested, ["Lock.take+1", "Lock.take+1", "plain+1", "plain+2", "Lock.__aexit__+1"]),
        (looping, ["each+2", "looping+2"] * 2),
        (comprehending, ["comprehending+1", "comprehending+2", "comprehending+2"]),
        (in_a_closure, ["in_a_closure.<locals>.inner+1"]),
        (by_hand, ["ByHand.__await__+1", "ByHand.__await__+2"]),
    ],
)
def test_a_place_is_the_innermost_function_and_a_line_of_it(body: Any, expected: list[str]) -> None:
    assert places(body()) == [f"{HERE}.{place}" for place in expected]


def test_a_hardware_routine_has_places_as_well() -> None:
    def inner() -> Generator[int, None, None]:
        yield 1

    def outer() -> Generator[int, None, None]:
        yield 0
        yield from inner()

    prefix = f"{HERE}.test_a_hardware_routine_has_places_as_well.<locals>"
    assert places(outer()) == [f"{prefix}.outer+1", f"{prefix}.inner+1"]


@pytest.mark.skipif(compiled.runs(), reason="what is compiled has no frame, and so no place")
def test_what_takes_hold_is_told_with_the_line_of_the_routine_that_asks() -> None:
    """Whatever calls that routine; nobody looks for it who is not told."""
    sim = Sim(executor=Agenda)
    taken: list[Taken] = []

    def inner() -> Routine:
        yield from sim.actions.ask("nic0.issue", "nic0", (), False, "iotlb")

    def outer() -> Routine:
        yield from inner()

    sim.start(outer(), sim.initiator("nic0").rank(Stage.TRANSACTION))
    sim.env.run()
    sim.actions.watchers.append(taken.append)
    sim.start(outer(), sim.initiator("nic0").rank(Stage.TRANSACTION))
    sim.env.run()
    prefix = f"{HERE}.test_what_takes_hold_is_told_with_the_line_of_the_routine_that_asks.<locals>"
    assert [(each.name, each.place) for each in taken] == [("nic0.issue#1", f"{prefix}.inner+1")]


def test_what_is_not_suspended_has_no_place() -> None:
    body = plain()
    assert place_of(body) == ""
    for answer in (None, 0):
        body.send(answer)
    with pytest.raises(StopIteration):
        body.send(None)
    assert place_of(body) == place_of(None) == place_of(iter(())) == ""


def test_a_place_in_the_package_is_named_without_it() -> None:
    from cosim.sw.driver import policies
    from cosim.sw.driver.policies import bonds

    def renamed(module: str) -> str:
        space: dict[str, Any] = {"__name__": module, "Load": Load}
        exec("async def link():\n    await Load(0)", space)
        (place,) = places(space["link"]())
        return place

    assert renamed(bonds.__name__) == "policies.bonds.link+1"
    assert renamed(policies.__name__ + ".new") == "policies.new.link+1"
    assert renamed("cosim.sw.kernel.locks") == "kernel.locks.link+1"
    assert renamed("cosim.hw.iommu.commands") == "hw.iommu.commands.link+1"
    assert renamed("my_driver") == "my_driver.link+1"


def test_an_operation_knows_its_size_and_keeps_a_place_that_was_set() -> None:
    op = Load(0, 4)
    assert (op.size, op.place) == (4, "")
    op.place = "iommu.c:934"
    assert op.place == "iommu.c:934"
