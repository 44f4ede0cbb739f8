"""Ids: always the lowest free one, so that what was freed last is soon in use again."""

from __future__ import annotations

import errno

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cosim.sw.kernel.errors import KernelError
from tests.sw.machine import Machine


@given(st.lists(st.integers(0, 20), max_size=40))
@example([9, 9, 9, 1, 3, 2, 9, 9, 9])
@settings(derandomize=True, deadline=None, max_examples=12)
def test_the_lowest_free_id_is_taken(steps: list[int]) -> None:
    """Against a search from the bottom."""
    machine = Machine()
    ida = machine.kernel.ida("pscid", 1, 8)

    async def body() -> None:
        taken: set[int] = set()
        for step in steps:
            if step in taken:
                await ida.free(step)
                taken.remove(step)
                continue
            lowest = next((number for number in range(1, 9) if number not in taken), None)
            if lowest is None:
                with pytest.raises(KernelError) as failure:
                    await ida.alloc()
                assert failure.value.code == errno.ENOSPC
            else:
                assert await ida.alloc() == lowest
                taken.add(lowest)
            assert ida.taken == taken

    machine.run(body())


def test_when_all_are_in_use_the_error_names_the_range() -> None:
    machine = Machine()
    ida = machine.kernel.ida("pscid", 1, 2)

    async def body() -> None:
        await ida.alloc()
        await ida.alloc()
        with pytest.raises(KernelError, match="-ENOSPC: pscid: all ids from 1 to 2 are in use"):
            await ida.alloc()

    machine.run(body())


def test_freeing_an_id_that_is_not_in_use_is_warned_of() -> None:
    machine = Machine()
    ida = machine.kernel.ida("pscid", 1, 8)
    machine.run(ida.free(3))
    assert machine.log == ["warning: pscid: id 3 was freed but is not in use"]


def test_an_empty_range_is_refused() -> None:
    with pytest.raises(ValueError, match=r"pscid: no id lies in 5 \.\. 4"):
        Machine().kernel.ida("pscid", 5, 4)


def test_two_cpus_never_get_the_same_id() -> None:
    machine = Machine(model="rvwmo")
    ida = machine.kernel.ida("pscid", 1, 100)
    taken: list[int] = []

    async def body() -> None:
        for _ in range(20):
            taken.append(await ida.alloc())

    machine.start(body(), cpu="cpu0")
    machine.start(body(), cpu="cpu1")
    machine.go()
    assert sorted(taken) == list(range(1, 41))


def test_a_range_may_be_of_one_id_and_not_of_none() -> None:
    machine = Machine()
    one = machine.kernel.ida("pscid", 5, 5)
    assert machine.run(one.alloc()) == 5
    with pytest.raises(ValueError, match=r"pscid: no id lies in 6 \.\. 5"):
        machine.kernel.ida("pscid", 6, 5)
