"""The oracle of grace periods: whoever waits for readers goes on when those that were there have left."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cosim.events import GracePeriodOver, ReadSectionBegun
from cosim.oracles import GracePeriod, Violation
from cosim.sim.operations import Sleep, Work
from cosim.sw.kernel.objects import Object, cell
from cosim.sw.kernel.options import KernelOptions
from cosim.sw.kernel.rcu import Rcu
from cosim.sw.kernel.rcu_callbacks import Batch
from cosim.units.quantities import MS, US
from tests.oracles.judging import judged as judged_by
from tests.oracles.watching import signatures, watching
from tests.sw.machine import Machine


class Thing(Object):
    alive = cell()


async def takes_late(self: Batch) -> None:
    """`Batch.work`, but what has come during the grace period is called after it as well."""
    while True:
        await self._word.wait_until(bool, spin=False, part="sleep")
        await self._word.xchg(0)
        await self._wait()
        callbacks, self._waiting = self._waiting, []
        for callback in callbacks:
            await callback()


def waits_for_nobody(self: Rcu, number: int) -> None:
    """`Rcu._begin`, but no reader is waited for."""
    self._number = number


async def read(machine: Machine, start: int, duration: int) -> None:
    await Sleep(start)
    async with machine.kernel.rcu.read():
        await Work(duration)


async def free(machine: Machine, *starts: int) -> None:
    """kfree_rcu of a thing at each of the times."""
    for start in starts:
        await Sleep(start - machine.sim.now)
        await machine.kernel.rcu.kfree(await machine.kernel.pages.new(Thing))


async def call(machine: Machine, *starts: int) -> None:
    """call_rcu at each of the times."""
    for start in starts:
        await Sleep(start - machine.sim.now)
        await machine.kernel.rcu.call(lambda: Work(1))  # type: ignore[arg-type, return-value]


async def synchronize(machine: Machine, start: int) -> None:
    await Sleep(start)
    await machine.kernel.rcu.synchronize()


def judged(*bodies: Callable[[Machine], object]) -> list[Violation]:
    """What the oracle finds while each of the bodies runs on a CPU of its own."""
    machine = Machine(cpus=4, options=KernelOptions(kfree_rcu_delay=0), model="rvwmo")
    found = watching(machine.sim, GracePeriod)
    machine.kernel.boot()
    for number, body in enumerate(bodies):
        machine.start(body(machine), cpu=f"cpu{number}")  # type: ignore[arg-type]
    machine.go(until=200 * MS)
    return found


@pytest.mark.parametrize(("began", "older"), [(39, True), (40, False), (41, False)])
def test_a_reader_is_older_if_it_was_there_before_the_wait_was_asked_for(began: int, older: bool) -> None:
    over = GracePeriodOver(55, "cpu0.t", "synchronize_rcu", 40)
    assert bool(judged_by(GracePeriod, ReadSectionBegun(began, "cpu1.r"), over)) is older


FREES = [lambda m: free(m, 1 * MS, 9 * MS), lambda m: read(m, 500 * US, 20 * MS), lambda m: read(m, 5 * MS, 90 * MS)]
"""The first thing's grace period waits for the first reader. The second thing is given up while that is so, and while
the second reader reads, whose section began after that grace period."""


def test_what_comes_during_a_grace_period_waits_for_the_next_one() -> None:
    assert not judged(*FREES)


def test_what_is_freed_by_a_grace_period_that_began_before_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Batch, "work", takes_late)
    (found,) = judged(*FREES)
    assert found.signature == "grace-period: kfree_rcu of Thing before an older reader left"
    assert found.message.startswith("kfree_rcu of Thing, asked for by cpu0.")
    assert "did not wait for cpu2." in found.message
    assert found.since_ps >= 9 * MS


@pytest.mark.parametrize(
    ("waits", "what"),
    [
        (lambda m: synchronize(m, 1 * MS), "synchronize_rcu"),
        (lambda m: call(m, 1 * MS), "call_rcu"),
        (lambda m: free(m, 1 * MS), "kfree_rcu of Thing"),
    ],
    ids=["synchronize_rcu", "call_rcu", "kfree_rcu"],
)
def test_whoever_waits_does_so_until_the_readers_have_left(
    monkeypatch: pytest.MonkeyPatch, waits: Callable[[Machine], object], what: str
) -> None:
    reader = lambda m: read(m, 500 * US, 30 * MS)  # noqa: E731 - as short as its neighbours
    assert not judged(waits, reader)
    monkeypatch.setattr(Rcu, "_begin", waits_for_nobody)
    assert signatures(judged(waits, reader)) == {f"grace-period: {what} before an older reader left"}
    later = lambda m: read(m, 2 * MS, 30 * MS)  # noqa: E731
    assert not judged(waits, later), "a reader that begins later is not waited for"
    assert judged(waits, reader, later), "nor does it hide one that is older"
