"""A handler that is taken off its line while interrupts go on coming."""

from __future__ import annotations

import pytest

from cosim.sim.operations import Sleep, Work
from cosim.sw.kernel.irq import IrqReturn
from cosim.units.quantities import MS, US, S
from tests.sw.kernel.test_irq import MODELS, VECTOR, Source
from tests.sw.machine import Machine


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
