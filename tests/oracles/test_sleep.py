"""The oracle of sleep: whoever leaves the CPU where it has to keep it is seen, by whatever way."""

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest

from cosim.oracles import Sleep as SleepOracle
from cosim.oracles import Violation
from cosim.sim.operations import Sleep
from cosim.sw.kernel.locks import Mutex, SpinLock
from cosim.sw.kernel.objects import Object, cell, embed
from cosim.units.quantities import US
from tests.oracles.watching import watching
from tests.sw.machine import Machine


class Guarded(Object):
    spin = embed(SpinLock)
    mutex = embed(Mutex)
    word = cell()


def judged(*entered: str, woken: bool = False) -> list[Violation]:
    """A thread sleeps inside of sections, for some time or until a word changes, without asking the kernel."""
    machine = Machine(model="rvwmo")
    found = watching(machine.sim, SleepOracle)
    kernel, guarded = machine.kernel, Guarded(machine.kernel.static(Guarded.SIZE))
    sections = {
        "": lambda: kernel.mutex(guarded.mutex),
        "in an RCU read section": kernel.rcu.read,
        "with preemption disabled": lambda: kernel.spin(guarded.spin),
        "with interrupts masked": kernel.irqs_off,
    }

    async def body() -> None:
        async with AsyncExitStack() as stack:
            for section in entered:
                await stack.enter_async_context(sections[section]())
            if woken:
                await guarded.word.wait_until(bool, spin=False, timeout_ps=10 * US)
            else:
                await Sleep(10 * US)

    machine.start(body(), name="t")
    machine.go(until=100 * US)
    return found


@pytest.mark.parametrize("woken", [False, True], ids=["for a time", "for a word"])
@pytest.mark.parametrize("why", ["in an RCU read section", "with preemption disabled", "with interrupts masked"])
def test_a_sleep_where_none_is_allowed_is_seen(why: str, woken: bool) -> None:
    (found,) = judged(why, woken=woken)
    assert found.signature == f"sleep: {why}"
    assert found.message.startswith(f"cpu0.t sleeps {why}, at ")


@pytest.mark.parametrize("lock", ["with preemption disabled", "with interrupts masked"])
def test_of_a_lock_and_a_read_section_the_lock_is_told(lock: str) -> None:
    """Whichever of them lies in the other."""
    for entered in (("in an RCU read section", lock), (lock, "in an RCU read section")):
        assert [found.signature for found in judged(*entered)] == [f"sleep: {lock}"]


def test_a_mutex_s_holder_may_sleep() -> None:
    assert not judged("")
