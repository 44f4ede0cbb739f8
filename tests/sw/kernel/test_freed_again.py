"""Who frees what, which block that was, and in which order what is free is given out again."""

from __future__ import annotations

import pytest

from cosim.sim.operations import Oops
from cosim.spec.pagetable import PAGE
from cosim.sw.kernel.buddy import Buddies, Region
from tests.sw.kernel.test_page_allocator import Small
from tests.sw.machine import Machine


@pytest.mark.parametrize("hot", [0, 1])
def test_what_falls_off_the_smallest_stack_merges_and_is_given_out_from_its_lower_end(hot: int) -> None:
    buddies = Buddies(0, hot)
    buddies.add([Region(0, 4 * PAGE)])
    taken = [buddies.take(0) for _ in range(4)]
    assert taken == [0, PAGE, 2 * PAGE, 3 * PAGE]
    for page in range(3):
        buddies.give(page * PAGE, 0)
    assert [buddies.take(0) for _ in range(3)] == [2 * PAGE, 0, PAGE]


def test_who_frees_an_object_again_is_told_who_had_freed_it_and_who_had_asked_for_it() -> None:
    machine = Machine()
    pages = machine.kernel.pages
    address = machine.run(pages.kmalloc(Small.SIZE, purpose="thing"))
    machine.start(pages.kfree(address), "cpu1", "frees")
    machine.go()

    async def body() -> str:
        with pytest.raises(Oops) as caught:
            await pages.kfree(address)
        return caught.value.more

    told = machine.run(body())
    assert "(thing) was allocated by cpu0.main at " in told
    assert "freed before by cpu1.frees at " in told


def test_who_wants_to_know_that_a_block_is_freed_is_told_once() -> None:
    machine = Machine()
    pages, told = machine.kernel.pages, list[str]()

    async def body() -> None:
        page = await pages.alloc(purpose="table")
        assert pages.when_freed(page, told.append)
        await pages.free(page)
        assert not pages.when_freed(page, told.append), "it is in use no more"
        assert await pages.alloc(purpose="table") == page
        await pages.free(page)

    machine.run(body())
    assert told == ["cpu0.main"]


@pytest.mark.parametrize(
    ("size", "taken"), [(PAGE, PAGE), (PAGE + 1, 2 * PAGE), (2 * PAGE, 2 * PAGE), (9000, 4 * PAGE)]
)
def test_a_large_object_has_the_smallest_block_that_holds_it(size: int, taken: int) -> None:
    machine = Machine()
    machine.run(machine.kernel.pages.kmalloc(size, purpose="thing"))
    assert machine.kernel.pages.purposes()["thing"] == taken
