"""What a CPU does of accesses that go wrong: where no memory is, or no longer the thread's."""

from __future__ import annotations

from typing import Any

import pytest

from cosim.events import FreedTouched
from cosim.sim.operations import Amo, Atomic, Load, Now, Oops, Op, Store, StoreBlock, Work
from tests.hw.machines import DEVICE, EXECUTORS, Machine, X


@pytest.mark.parametrize(
    "op", [Load(DEVICE), Store(DEVICE, 1), StoreBlock(DEVICE, (0,) * 512), Atomic(Amo.ADD, DEVICE, 1)]
)
@pytest.mark.parametrize("executor", EXECUTORS)
def test_an_access_where_no_memory_is_fails_where_it_is_awaited_and_its_time_is_its_own(
    executor: Any, op: Op[Any]
) -> None:
    """Also that of a store, which would leave the buffer only later."""
    machine = Machine(executor=executor)
    op.part = "lock"
    spent: list[dict[str, int]] = []

    async def body() -> None:
        begun = (await Now()).parts
        with pytest.raises(Oops, match="as memory, where device0 is"):
            await op
        failed = (await Now()).parts
        await Work(7)
        spent.extend((begun, failed, (await Now()).parts))

    machine.cpu.start("t0", body())
    machine.run()
    begun, failed, ended = spent
    assert set(failed) - set(begun) == {"lock"}
    assert ended == failed | {"cpu": ended.get("cpu", 0)}


@pytest.mark.parametrize(("op", "write"), [(Load(X), False), (Store(X, 1), True), (Atomic(Amo.ADD, X, 1), True)])
def test_who_touches_freed_memory_is_told_as_a_reader_or_a_writer(op: Op[Any], write: bool) -> None:
    machine = Machine()
    seen: list[FreedTouched] = []
    machine.sim.probe(FreedTouched).watch(seen.append)
    machine.memory.poison(X, 64, "cpu1.t0", "a page")

    async def body() -> None:
        await op

    machine.cpu.start("t0", body())
    machine.run()
    assert [(event.who, event.write) for event in seen] == [("cpu0.t0", write)]
