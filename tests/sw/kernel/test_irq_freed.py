"""A handler that joins a line beside another one, or is taken off while interrupts go on coming."""

from __future__ import annotations

import pytest

from cosim.sim.operations import Sleep, Work
from cosim.sw.kernel.irq import NOBODY_CARED, IrqReturn
from cosim.units.quantities import MS, US, S
from tests.sw.kernel.test_irq import MODELS, VECTOR, Source
from tests.sw.machine import Machine


@pytest.mark.parametrize("model", MODELS)
def test_of_two_that_join_a_new_line_at_the_same_time_one_connects_it(model: str) -> None:
    """The CPU is busy: both are on the line before the thread of either runs."""
    machine = Machine(cpus=3, model=model)
    sources = [Source(machine), Source(machine)]
    sources[0].beside, sources[1].beside = sources[1:], sources[:1]

    async def busy() -> None:
        async with machine.kernel.preempt_off():
            await Work(1 * MS)

    async def body(source: Source) -> None:
        await Sleep(10 * US)
        await machine.kernel.irq.request("cpu0", VECTOR, "cq", source.handle, source.serve)
        source.set(True)

    machine.start(busy(), cpu="cpu0")
    for cpu, source in zip(("cpu1", "cpu2"), sources, strict=True):
        machine.start(body(source), cpu=cpu)
    machine.go(until=1 * S)
    assert [source.served for source in sources] == [1, 1]
    assert not machine.log


@pytest.mark.parametrize("model", MODELS)
def test_an_interrupt_that_comes_while_its_handler_is_being_freed_runs_that_no_more(model: str) -> None:
    """Freeing waits for the hard handler, behind which the next interrupt is taken at once."""
    machine = Machine(model=model)
    hard: list[int] = []

    async def handle() -> IrqReturn:
        hard.append(machine.sim.now)
        await Work(20 * US)
        hard.append(machine.sim.now)
        return IrqReturn.HANDLED

    async def body() -> None:
        action = await machine.kernel.irq.request("cpu0", VECTOR, "iommu", handle, Source(machine).serve)
        machine.cpus["cpu0"].message(VECTOR)
        await Sleep(10 * US)
        assert len(hard) == 1
        machine.cpus["cpu0"].message(VECTOR)
        await machine.kernel.irq.free(action)
        assert len(hard) == 2
        await Sleep(1 * MS)

    machine.start(body(), cpu="cpu1")
    machine.go(until=1 * S)
    assert len(hard) == 2
    assert not machine.log


def test_who_may_not_sleep_is_told_so_when_it_requests_or_frees_an_interrupt() -> None:
    machine = Machine()
    source = Source(machine)

    async def body() -> None:
        async with machine.kernel.rcu.read():
            action = await machine.kernel.irq.request("cpu0", VECTOR, "cq", source.handle, source.serve)
            await machine.kernel.irq.free(action)

    machine.run(body())
    assert machine.log == [f"oops: {what} an interrupt in an RCU read section" for what in ("requesting", "freeing")]


def test_an_interrupt_that_its_hard_handler_serves_is_cared_for() -> None:
    machine = Machine()
    source = Source(machine, answer=IrqReturn.HANDLED)

    async def body() -> int:
        action = await machine.kernel.irq.request("cpu0", VECTOR, "cq", source.handle, source.serve)
        action.line.unhandled = NOBODY_CARED - 1
        source.set(True)
        await Sleep(1 * MS)
        return action.line.unhandled

    assert machine.run(body()) == 0
    assert not machine.log
