"""Allocations that fail as the options ask, and what others are called there."""

from __future__ import annotations

from cosim.events import ObjectAllocated, PageAllocated
from cosim.sw.kernel.errors import KernelError
from cosim.sw.kernel.objects import Object, cell
from cosim.sw.kernel.options import KernelOptions
from tests.sw.machine import Machine


class Small(Object):
    """An object of three words."""

    __slots__ = ()
    first = cell()
    second = cell()
    third = cell()


def test_the_allocations_that_the_options_name_fail_and_no_others() -> None:
    machine = Machine(options=KernelOptions(fail_allocations=(2, 3)))
    pages = machine.kernel.pages

    async def body() -> list[str]:
        await pages.new(Small)
        await pages.new(Small)
        machine.kernel.booted()
        done = []
        for _ in range(2):
            for allocate in (pages.alloc(purpose="table"), pages.new(Small)):
                try:
                    await allocate
                    done.append("")
                except KernelError as error:
                    done.append(error.name)
        return done

    given: list[tuple[str, int]] = []
    for event in (PageAllocated, ObjectAllocated):
        machine.sim.probe(event).watch(lambda event: given.append((event.purpose, event.number)))
    assert machine.run(body()) == ["", "ENOMEM", "ENOMEM", ""]
    assert [each for each in given if each[1]] == [("table", 1), ("Small", 4)]
    assert ("Small", 0) in given
    assert [line.split("failure: ")[1] for line in machine.log] == [
        "24 bytes, for Small (number 2, as asked)",
        "order 0, for table (number 3, as asked)",
    ]


def test_the_page_that_an_object_is_cut_from_is_no_allocation_of_its_own() -> None:
    """Else two allocations would have one number, of which the second is none that can fail."""
    machine = Machine(options=KernelOptions(fail_allocations=()))
    given: list[tuple[str, int]] = []
    for event in (PageAllocated, ObjectAllocated):
        machine.sim.probe(event).watch(lambda event: given.append((event.purpose, event.number)))
    machine.kernel.booted()
    machine.run(machine.kernel.pages.new(Small))
    assert given == [("slab", 0), ("Small", 1)]
