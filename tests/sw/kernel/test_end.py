"""A kernel that is over leaves CPUs and interrupts to the next one: its handlers and timers run no more."""

from __future__ import annotations

import pytest

from cosim.sim.operations import Oops, Sleep
from cosim.units.quantities import MS, US, S
from tests.sw.kernel.test_irq import MODELS, VECTOR, Source
from tests.sw.machine import Machine


@pytest.mark.parametrize("model", MODELS)
def test_an_interrupt_after_the_end_waits_for_the_next_kernel(model: str) -> None:
    """Also one whose line was masked when the kernel ended, for the thread that serves it."""
    machine = Machine(model=model)
    kernel, before, after = machine.kernel, Source(machine, takes=1 * S), Source(machine)
    served: list[tuple[int, int]] = []

    async def body() -> None:
        action = await kernel.irq.request("cpu0", VECTOR, "before", before.handle, before.serve)
        before.set(True)
        await Sleep(50 * US)
        kernel.end()
        await Sleep(1 * MS)
        after.set(True)
        await Sleep(1 * MS)
        served.append((before.hard, after.hard))
        await kernel.irq.request("cpu0", VECTOR, "after", after.handle, after.serve)
        await Sleep(1 * MS)
        served.append((before.hard, after.hard))
        assert int(action.state.address) in kernel.irq.roots(), "what it has stays in use"

    machine.start(body(), cpu="cpu1")
    machine.go(until=1 * S)
    assert served == [(1, 0), (1, 1)]
    assert after.served == 1
    assert not machine.log


@pytest.mark.parametrize("model", MODELS)
def test_a_thread_that_has_died_keeps_no_line_of_the_next_kernel_masked(model: str) -> None:
    """It was one of two on its line, and was to unmask that."""
    machine = Machine(model=model)
    request, sources = machine.kernel.irq.request, [Source(machine) for _ in range(3)]
    beside, dead, after = sources

    async def dies() -> None:
        dead.set(False)
        raise Oops("dead")

    async def body() -> None:
        await request("cpu0", VECTOR, "beside", beside.handle, beside.serve)
        await request("cpu0", VECTOR, "dead", dead.handle, dies)
        dead.set(True)
        await Sleep(1 * MS)
        machine.kernel.end()
        await request("cpu0", VECTOR, "after", after.handle, after.serve)
        for _ in range(2):
            after.set(True)
            await Sleep(1 * MS)

    machine.start(body(), cpu="cpu1")
    machine.go(until=1 * S)
    assert after.served == 2
    assert machine.log == ["oops: dead"]


@pytest.mark.parametrize("model", MODELS)
def test_no_timer_of_a_kernel_that_is_over_fires(model: str) -> None:
    machine = Machine(model=model)
    timers, fired = machine.kernel.timers, []

    async def before() -> None:
        fired.append("before")

    async def after() -> None:
        fired.append("after")

    async def body() -> None:
        await timers.arm(timers.new("before", before), 10 * MS)
        await Sleep(1 * MS)
        machine.kernel.end()
        await timers.arm(timers.new("after", after), 10 * MS)

    machine.start(body(), cpu="cpu1")
    machine.go(until=1 * S)
    assert fired == ["after"]
    assert not machine.log
