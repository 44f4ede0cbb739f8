"""Cache lines that move between CPUs: what an access costs whose line is elsewhere, one CPU after the other."""

from __future__ import annotations

from typing import Any

import pytest

from cosim.hw.cpu.lines import remote_ps
from cosim.sim.operations import Amo, Atomic, Load, Op, Park, Store, Work
from cosim.units.quantities import NS
from tests.hw.machines import BASE, EXECUTORS, Machine, X

MOVE: dict[str, Any] = {"line_move": "100 ns", "switch": 0, "drain": 0}
BESIDE, FAR = X + 8, X + 64


def ends(bodies: list[list[Op[Any]]], executor: Any = EXECUTORS[0], node: int = 0, **timing: Any) -> list[list[int]]:
    """When each operation of each CPU's thread ends, in nanoseconds from the start of the threads.

    The memory is of node 0, and the CPUs of `node`.
    """
    machine = Machine(len(bodies), timing={**MOVE, **timing}, executor=executor, node=node)
    found: list[list[int]] = [[] for _ in bodies]

    async def body(which: int, ops: list[Op[Any]]) -> None:
        for op in ops:
            await op
            found[which].append(round(machine.sim.now / NS))

    for which, ops in enumerate(bodies):
        machine.cpus[which].start("thread", body(which, ops))
    machine.run()
    return found


def later(op: Op[Any]) -> list[Op[Any]]:
    return [Work(1000 * NS), op]


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_line_that_another_cpu_has_written_costs_its_move_once(executor: Any) -> None:
    (_, (_, first, again)) = ends([[Atomic(Amo.ADD, X, 1)], [*later(Load(X)), Load(BESIDE)]], executor)
    assert first == 1000 + 2 + 100
    assert again == first + 2, "it is here now, with all that is in it"


def test_a_line_of_ones_own_and_one_that_nobody_has_had_cost_nothing() -> None:
    assert ends([[Atomic(Amo.ADD, X, 1), Load(X), Load(FAR)]]) == [[20, 22, 24]]
    assert ends([[Load(X)], later(Load(FAR))])[1] == [1000, 1002]


@pytest.mark.parametrize(
    ("write", "takes", "again"),
    [
        pytest.param(Atomic(Amo.ADD, X, 1), 20 + 100, 20, id="an atomic"),
        pytest.param(Store(X, 1), 1, 1, id="a store, which waits for its line in the buffer"),
    ],
)
def test_who_reads_shares_a_line_and_who_writes_takes_it_from_all(write: Op[Any], takes: int, again: int) -> None:
    read: list[Op[Any]] = [Load(X), Work(4000 * NS), Load(X), Load(X)]
    readers, writer = ends([read, [Work(2000 * NS), write, write, Work(1000 * NS), Load(BESIDE)]])
    assert writer[1:3] == [2000 + takes, 2000 + takes + again]
    assert writer[4] - writer[3] == 2, "it is with who has written it"
    assert readers[2:] == [4002 + 2 + 100, 4002 + 2 + 100 + 2]


@pytest.mark.parametrize("executor", EXECUTORS)
def test_cpus_that_want_the_same_line_get_it_one_after_the_other(executor: Any) -> None:
    found = ends([[Atomic(Amo.ADD, X, 1)], *[later(Atomic(Amo.ADD, X, 1)) for _ in range(3)]], executor)
    assert sorted(each[-1] for each in found[1:]) == [1120, 1220, 1320]


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize(("node", "longer"), [(0, 0), (1, 30)])
def test_a_line_of_another_node_is_longer_on_its_way_and_holds_nobody_up(node: int, longer: int, executor: Any) -> None:
    """The moves are 100 ns apart all the same."""
    bodies = [[Atomic(Amo.ADD, X, 1)], *[later(Atomic(Amo.ADD, X, 1)) for _ in range(3)]]
    found = ends(bodies, executor, node, line_remote="30 ns")
    assert found[0] == [20], "nobody has had it"
    assert sorted(each[-1] for each in found[1:]) == [1120 + longer, 1220 + longer, 1320 + longer]
    (_, (_, first, again)) = ends(
        [[Atomic(Amo.ADD, X, 1)], [*later(Load(X)), Load(BESIDE)]], executor, node, line_move=0, line_remote="30 ns"
    )
    assert (first, again) == (1002 + longer, 1004 + longer)


@pytest.mark.parametrize(("node", "address", "longer"), [(0, X, 0), (1, X, 30 * NS), (1, 0x10, 0)])
def test_only_a_line_of_another_node_is_longer_on_its_way(node: int, address: int, longer: int) -> None:
    """To the picosecond; what nobody holds is not on another node."""
    machine = Machine(timing={**MOVE, "line_remote": "30 ns"}, node=node)
    assert remote_ps(machine.bus, machine.cpu.options, address) == longer


def test_a_compare_and_swap_asks_for_the_line_once() -> None:
    swap = Atomic(Amo.CAS, X, 5, expect=0)
    assert ends([[Load(X)], later(swap)])[1][-1] == 1000 + 20 + 100


@pytest.mark.parametrize(("node", "longer"), [(0, 0), (1, 30)])
def test_a_store_waits_for_its_line_as_it_leaves_the_buffer_and_not_before(node: int, longer: int) -> None:
    machine = Machine(2, timing={**MOVE, "line_remote": "30 ns"}, node=node)
    seen: list[tuple[int, int]] = []

    async def writer() -> None:
        await Work(1000 * NS)
        await Store(X, 7)
        seen.append((round(machine.sim.now / NS), machine.memory.read(X, 8)))

    async def owner() -> None:
        await Atomic(Amo.ADD, X, 1)

    machine.cpus[0].start("owner", owner())
    machine.cpus[1].start("writer", writer())
    machine.memory.watch(X, lambda: seen.append((round(machine.sim.now / NS), machine.memory.read(X, 8))))
    machine.run()
    assert seen == [(20, 1), (1001, 1), (1101 + longer, 7)]


def test_who_spins_on_a_word_fetches_its_line_after_each_change() -> None:
    spinning, _ = ends([[Park(X, 0, poll_ps=10 * NS, spin=True)], later(Atomic(Amo.ADD, X, 1))])
    assert spinning[0] >= 1000 + 20 + 100


def test_without_a_cost_nothing_moves() -> None:
    found = ends([[Atomic(Amo.ADD, X, 1)], later(Load(X))], line_move=0)
    assert found[1][-1] == 1002
    assert BASE % 64 == 0


def test_who_has_read_a_line_with_others_pays_for_writing_it() -> None:
    owner: list[Op[Any]] = [Load(X)]
    writer: list[Op[Any]] = [Work(1000 * NS), Load(X), Atomic(Amo.ADD, X, 1)]
    assert ends([owner, writer])[1][1:] == [1000 + 2 + 100, 1000 + 2 + 100 + 20 + 100]


def test_an_atomic_asks_for_its_line_when_its_own_time_is_over() -> None:
    """Until then it stays with who has it."""
    owner: list[Op[Any]] = [Atomic(Amo.ADD, X, 1), Work(990 * NS), Load(X)]
    taker: list[Op[Any]] = [Work(1000 * NS), Atomic(Amo.ADD, X, 1)]
    assert ends([owner, taker]) == [[20, 1010, 1012], [1000, 1120]]
