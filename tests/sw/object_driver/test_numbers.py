"""PSCIDs that a compiled driver does not give back: its own structures say where it keeps them."""

from __future__ import annotations

import pytest

pytest.importorskip("elftools", reason="objects are read with pyelftools: pip install 'cosim[kernel]'")

from cosim.sw.object_driver.call import Call
from tests.oracles.judging import Small
from tests.sw.driver.machine import Machine
from tests.sw.object_driver.test_driver import DRIVER, objects_of


def lost(machine: Machine) -> list[int]:
    return [each.number for each in objects_of(machine).numbers.lost(machine.kernel.stored())]


async def none(_: Call) -> int:
    return 0


def forgetful(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on what the driver gives back is not."""

    ours = objects_of(machine).machine
    monkeypatch.setattr(ours, "_functions", {**ours._functions, "ida_free": none})


def test_a_number_whose_domain_was_freed_without_it_is_lost(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.boot()
    core = machine.core

    async def twice() -> None:
        for name in ("a", "b"):
            await core.domain_alloc(name, "dev0")
        await core.domain_free("a")

    machine.run(twice())
    assert lost(machine) == []
    forgetful(machine, monkeypatch)
    machine.run(core.domain_free("b"))
    assert lost(machine) == [3]


@pytest.mark.parametrize("forgets", [False, True])
def test_a_run_tells_of_a_lost_number(monkeypatch: pytest.MonkeyPatch, forgets: bool) -> None:
    small = Small(f"object:{DRIVER / 'queue.o'},{DRIVER / 'domain.o'}")
    small.make("x")
    if forgets:
        ours = small.runtime.driver.machine
        monkeypatch.setattr(ours, "_functions", {**ours._functions, "ida_free": none})
    small.free("x")
    small.system.end([])
    assert small.signatures == ["leaked-memory: a PSCID is lost"] * forgets


def test_a_number_that_is_not_taken_for_a_domain_alone_is_not_judged(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another thread takes one meanwhile."""
    machine.boot()
    driver, core = objects_of(machine), machine.core
    monkeypatch.setattr(driver.numbers, "taken", dict)
    machine.run(core.domain_alloc("a", "dev0"))
    forgetful(machine, monkeypatch)
    machine.run(core.domain_free("a"))
    monkeypatch.undo()
    assert lost(machine) == []


def test_a_number_whose_domain_could_not_be_made_is_lost_where_others_keep_theirs(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.boot()
    driver, (address,) = objects_of(machine), objects_of(machine).machine.idas
    before = driver.numbers.taken()
    machine.run(driver.machine.idas[address].alloc())
    driver.numbers.made(0, before)
    assert lost(machine) == [2]
    machine.run(driver.machine.idas[address].free(2))
    assert lost(machine) == []


@pytest.mark.parametrize("why", ["named", "complained", "quarantined"])
def test_a_number_that_may_be_kept_on_purpose_is_not_lost(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    """It is in a younger object of another kind, or the driver could not flush it, by what it says."""
    machine.boot()
    core, driver = machine.core, objects_of(machine)
    forgetful(machine, monkeypatch)
    machine.run(core.domain_alloc("a", "dev0"))
    machine.run(core.domain_free("a"))
    assert lost(machine) == [2]
    if why == "named":
        kept = machine.run(machine.kernel.pages.kmalloc(16, purpose="what waits"))
        driver.machine.objects[kept] = (16, "what waits")
        machine.memory.poke(kept + 8, 8, 2 << 32)
    elif why == "complained":
        driver.machine.complained = True
    else:
        page = machine.run(machine.kernel.pages.alloc(purpose="table"))
        machine.kernel.pages.quarantine(page, "no flush has passed it")
    assert lost(machine) == []
    if why == "named":
        machine.memory.poke(kept + 8, 8, 0)
        assert lost(machine) == [2]
