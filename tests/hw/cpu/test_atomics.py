"""Atomics: what they return and what they leave, whoever writes meanwhile."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.sim.operations import Amo, Atomic, Load, Store, Work
from cosim.units.quantities import NS
from tests.hw.machines import BOOT, EXECUTORS, MODELS, Machine, X, timed


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (Amo.SWAP, 9, 9),
        (Amo.ADD, -7, 2**32 - 4),
        (Amo.AND, 6, 2),
        (Amo.OR, 4, 7),
        (Amo.XOR, 1, 2),
        (Amo.MIN, 2**32 - 1, 2**32 - 1),
        (Amo.MAX, 2**32 - 1, 3),
    ],
)
def test_atomics_return_the_old_value_and_leave_the_combined_one(kind: Amo, value: int, expected: int) -> None:
    machine = Machine()
    results = timed(machine, Store(X, 3, 4), Atomic(kind, X, value, 4), Load(X, 4))
    assert [result for _, result in results] == [None, 3, expected]


@pytest.mark.parametrize("size", [4, 8])
@pytest.mark.parametrize("kind", Amo)
def test_of_its_operand_an_atomic_takes_the_bytes_of_its_size(kind: Amo, size: int) -> None:
    """A negative number is what its bytes say, and what is above them is ignored."""
    wide = 1 << 8 * size

    def leaves(value: int) -> list[int]:
        machine = Machine()
        changed = Atomic(kind, X, value, size, expect=3)
        _, (_, old), (_, new) = timed(machine, Store(X, 3, size), changed, Load(X, size))
        return [old, new, machine.memory.peek(X + size, size)]

    for value in (5, wide - 5):
        assert leaves(value) == leaves(value - wide) == leaves(value + wide)
        assert leaves(value)[::2] == [3, 0]


@pytest.mark.parametrize("size", [4, 8])
def test_an_addition_does_not_carry_out_of_its_word(size: int) -> None:
    machine, most = Machine(), (1 << 8 * size) - 1
    results = timed(machine, Store(X, most, size), Atomic(Amo.ADD, X, 2, size), Load(X, size), Load(X + size, size))
    assert [result for _, result in results] == [None, most, 1, 0]
    assert (machine.memory.peek(X, size), machine.memory.peek(X + size, size)) == (1, 0)


@pytest.mark.parametrize("size", [4, 8])
@pytest.mark.parametrize("was", [3, -3])
def test_a_compare_and_swap_that_fails_leaves_what_was_there(was: int, size: int) -> None:
    found = was & (1 << 8 * size) - 1
    swaps = (Atomic(Amo.CAS, X, 9, size, expect=expect) for expect in (was + 1, was))
    results = timed(Machine(), Store(X, was, size), *(op for swap in swaps for op in (swap, Load(X, size))))
    assert [value for _, value in results] == [None, found, found, found, 9]


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_compare_and_swap_returns_what_was_there_when_it_took_hold(executor: Any) -> None:
    """What it loads first was what it expects: only by its answer is it known that it has not swapped."""
    machine = Machine(executor=executor)
    machine.at(BOOT + 10 * NS, lambda: machine.memory.write(X, 8, 7))
    assert timed(machine, Atomic(Amo.CAS, X, 9, expect=0)) == [(BOOT + 20 * NS, 7)]
    assert machine.memory.peek(X, 8) == 7


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("model", MODELS)
@settings(derandomize=True, deadline=None, max_examples=20)
@given(data=st.data())
def test_concurrent_increments_are_never_lost(model: str, executor: Any, data: st.DataObject) -> None:
    machine = Machine(3, memory_model=model, executor=executor)
    counts = data.draw(st.lists(st.integers(0, 6), min_size=3, max_size=3))
    pauses = data.draw(st.lists(st.integers(0, 60), min_size=3, max_size=3))

    async def add(times: int, pause: int) -> None:
        for _ in range(times):
            await Work(pause * NS)
            await Atomic(Amo.ADD, X, 1)

    for cpu, count, pause in zip(machine.cpus, counts, pauses, strict=True):
        cpu.start("add", add(count, pause))
    machine.run()
    assert machine.memory.peek(X, 8) == sum(counts)
