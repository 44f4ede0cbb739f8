"""The variant that no kernel has: what the others get wrong, and that it does not.

It reuses no PSCID whose flush is under way, rests on no order of commands that the specification does not promise, and
lets nothing go after a failed fence.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from cosim.events import FlushGivenUp, Unmapped
from cosim.spec.queues import Command
from cosim.spec.translation import IosatpMode
from cosim.sw.dma_api import Segment
from cosim.sw.dma_iommu import DmaDomain
from cosim.sw.driver.domain import Bond
from cosim.sw.iommu_map import iommu_map, iommu_unmap, iommu_unmap_fast
from cosim.sw.iommu_ops import Domain, Gather, Prot
from cosim.sw.kernel.errors import KernelError
from cosim.sw.kernel.lists import ListHead
from cosim.units.quantities import MS, US, S
from tests.sw.driver.expected import PAGE, context, vma
from tests.sw.driver.expected import page as one_page
from tests.sw.driver.machine import DRAM, SIZE, SMALL_QUEUES, Machine

IOVA = 0x4000_0000
DATA = DRAM + SIZE // 2
BOTH = Prot.READ | Prot.WRITE
FENCE = "IOFENCE.C(pr=0x1,pw=0x1)"


def pscids(machine: Machine) -> dict[str, set[int]]:
    return {key: set(ida.taken) for key, ida in machine.driver.ids.items()}


def bonds(machine: Machine, domain: Domain) -> list[tuple[int, int]]:
    """PSCID and users of each bond of a domain."""
    found, at = [], ListHead(domain.object.bonds.address)
    while (following := machine.memory.peek(at.next.address, 8)) != domain.object.bonds.address:
        at = ListHead(following)
        bond = Bond(following)
        found.append((machine.memory.peek(bond.pscid.address, 8), machine.memory.peek(bond.users.address, 8)))
    return found


# --- Bonds and numbers ----------------------------------------------------------------------------------------------


def test_devices_of_one_iommu_share_a_bond_that_counts_them() -> None:
    machine = Machine("ideal", iommus=2)
    domain = machine.boot(devices=5)
    assert sorted(bonds(machine, domain)) == [(1, 2), (1, 3)]
    assert pscids(machine) == {"iommu0": {1}, "iommu1": {1}}
    machine.run(machine.core.release_device("dev0"))
    assert sorted(bonds(machine, domain)) == [(1, 2), (1, 2)]


def test_the_last_device_of_an_iommu_flushes_the_number_and_gives_it_back() -> None:
    machine = Machine("ideal")
    domain = machine.boot(devices=2)
    machine.run(machine.core.release_device("dev0"))
    assert machine.commands() == [context(1), FENCE]
    machine.run(machine.core.release_device("dev1"))
    assert machine.commands() == [context(2), FENCE, vma(1), FENCE]
    assert pscids(machine) == {"iommu0": set()}
    machine.run(machine.core.domain_free(domain.name))
    machine.go(machine.sim.now + 100 * MS)
    assert not {"Bond", "table", "DomainObject"} & set(machine.kernel.pages.purposes())


def test_a_flush_is_sent_once_for_each_iommu_and_all_before_any_is_waited_for() -> None:
    machine = Machine("ideal", iommus=2)
    domain = machine.boot(devices=6)
    machine.run(iommu_map(machine.driver, domain, IOVA, DATA, PAGE, BOTH))
    machine.trace()
    machine.run(iommu_unmap(machine.driver, domain, IOVA, PAGE))
    sent = [f"{iommu}: {what}" for iommu in ("iommu1", "iommu0") for what in (one_page(IOVA), FENCE)]
    assert machine.trace()[:4] == sent


def test_attached_again_to_its_domain_a_device_keeps_its_number() -> None:
    machine = Machine("ideal")
    domain = machine.boot()
    machine.run(machine.driver.attach_dev(domain, machine.core.devices["dev0"], domain))
    assert bonds(machine, domain) == [(1, 1)]
    assert pscids(machine) == {"iommu0": {1}}
    assert vma(1) not in machine.commands()


@pytest.mark.parametrize(
    ("variant", "cells", "no_scheme", "fails", "error"),
    [
        ("ideal", {}, False, 1, "ENOMEM"),
        ("ideal", {}, True, 0, "EINVAL"),
        ("ideal", {"pscid": {"highest": 1}}, False, 0, "ENOSPC"),
        ("merged", {"pscid": "per-iommu"}, False, 1, "ENOMEM"),
        ("merged", {"pscid": "per-iommu"}, False, 2, "ENOMEM"),
        ("merged", {"pscid": "per-iommu"}, True, 0, "ENODEV"),
        ("merged", {"pscid": {"policy": "per-iommu", "highest": 1}}, False, 0, "ENOSPC"),
    ],
)
def test_an_attach_that_fails_leaves_no_number_and_no_bond_behind(
    variant: str, cells: dict[str, Any], no_scheme: bool, fails: int, error: str
) -> None:
    """The domain's scheme is none of the IOMMU, an allocation fails, or there is no number."""
    machine = Machine(variant, cells=cells, iommu={"capabilities": {"sv57": False}, "geometry": SMALL_QUEUES})
    machine.boot()
    domain = machine.run(machine.core.domain_alloc("other", "dev0"))
    if no_scheme:
        machine.memory.poke(domain.object.mode.address, 8, IosatpMode.SV57)
    machine.kernel.pages.fail([fails])
    before = machine.kernel.pages.purposes()
    with pytest.raises(KernelError, match=error):
        machine.run(machine.core.replace("dev0", domain))
    assert pscids(machine) == {"iommu0": {1}}
    assert bonds(machine, domain) == []
    assert machine.kernel.pages.purposes() == before


def test_a_device_joins_the_number_of_its_domain_also_where_no_other_is_left() -> None:
    machine = Machine("merged", cells={"pscid": {"policy": "per-iommu", "highest": 1}})
    machine.boot(devices=2)
    assert machine.driver.ids["iommu0"].taken == {1}
    assert [one.purpose for one in machine.kernel.pages.in_use()].count("Tag") == 1


@pytest.mark.parametrize(
    ("variant", "cells"),
    [("merged", {"pscid": "per-iommu"}), ("ideal", {}), ("latest", {"pscid": "per-iommu"})],
)
def test_two_pscids_of_a_domain_on_one_iommu_are_both_flushed(variant: str, cells: dict[str, Any]) -> None:
    machine = Machine(variant, cells=cells)
    domain = machine.boot()
    driver, iommu = machine.driver, machine.core.iommus["iommu0"]

    async def link_another() -> None:
        bond = await driver.policies.bonds.new(driver, iommu, machine.core.devices["dev0"], 9)
        await domain.object.bonds.add_rcu(bond.list)
        await iommu_map(driver, domain, IOVA, DATA, PAGE, BOTH)
        await iommu_unmap(driver, domain, IOVA, PAGE)

    machine.run(link_another())
    assert {one_page(IOVA, 1), one_page(IOVA, 9)} <= set(machine.commands())


# --- Who enters while a number is being flushed ---------------------------------------------------------------------


def entered_while_flushed(variant: str, cells: dict[str, Any]) -> bool:
    """The last device of a domain leaves; before its flush has taken hold, x is unmapped and another device enters.

    Whether that one reaches x. Flushes of a whole PSCID take long.
    """
    slow = {"geometry": SMALL_QUEUES, "timing": {"invalidate_all": "100 us"}}
    machine = Machine(variant, cells=cells, cpus=3, iommu=slow)
    domain = machine.boot()
    machine.run(machine.core.probe_device("idle", (9,), "iommu0"))
    machine.run(iommu_map(machine.driver, domain, IOVA, DATA, PAGE, BOTH))
    assert machine.read(1, IOVA) == DATA
    machine.trace()
    machine.start(machine.core.replace("dev0", machine.driver.identity), "cpu0", "l")
    while not machine.commands() or bonds(machine, domain):
        machine.go(machine.sim.now + 200_000)
    unmapped: list[int] = []

    async def unmap() -> None:
        unmapped.append(await iommu_unmap(machine.driver, domain, IOVA, PAGE))

    machine.start(unmap(), "cpu2", "u")
    while not unmapped:
        machine.go(machine.sim.now + 200_000)
    machine.start(machine.core.attach("idle", domain), "cpu1", "e")
    return any(machine.read(9, IOVA, settle_ps=2 * US) == DATA for _ in range(40))


@pytest.mark.parametrize(
    ("variant", "cells", "stale"),
    [
        ("merged", {}, True),
        ("merged", {"pscid": "per-iommu"}, True),
        ("current", {}, False),
        ("latest", {}, False),
        ("ideal", {}, False),
    ],
)
def test_who_enters_a_domain_while_its_number_is_flushed_is_answered_under_another_one(
    variant: str, cells: dict[str, Any], stale: bool
) -> None:
    """CVE-2026-53057. The unmap finds no bond; what it did not flush is still there for the same PSCID.

    From 7.1 on the number is flushed with the old context, before the bond is unlinked.
    """
    assert entered_while_flushed(variant, cells) is stale


# --- No order that is not promised ----------------------------------------------------------------------------------


def unordered(commands: list[str]) -> bool:
    """Whether an IOTINVAL is sent while no fence is behind an IODIR, so that it may be carried out first."""
    pending = False
    for command in commands:
        if command.startswith("IODIR"):
            pending = True
        elif command.startswith("IOFENCE"):
            pending = False
        elif pending:
            return True
    return False


@pytest.mark.parametrize(
    ("variant", "rests"), [("current", True), ("latest", True), ("merged", False), ("ideal", False)]
)
def test_no_translation_is_flushed_before_a_fence_is_behind_the_flush_of_its_context(variant: str, rests: bool) -> None:
    machine = Machine(variant)
    domain = machine.boot()
    core = machine.core

    async def around() -> None:
        await core.replace("dev0", await core.domain_alloc("other", "dev0"))
        await core.replace("dev0", core.driver.identity)
        await core.replace("dev0", domain)
        await core.release_device("dev0")

    machine.run(around())
    assert unordered(machine.commands()) is rests


# --- Failed fences --------------------------------------------------------------------------------------------------


def stalled(variant: str, duration_ps: int = 1000 * S) -> tuple[Machine, DmaDomain]:
    """A machine with a device in a domain of the DMA API; the command consumer stops at the next command."""
    machine = Machine(variant)
    domain = DmaDomain(machine.core, machine.boot())
    machine.iommus[0].commands.stall(machine.sim.now, duration_ps)
    return machine, domain


async def unmapped_and_freed(machine: Machine, domain: DmaDomain, page: int, iova: int) -> tuple[int, int]:
    """What the next buffer is given: its page and its IOVA."""
    await domain.unmap_sg([Segment(iova, PAGE)])
    await machine.kernel.pages.free(page)
    following = await machine.kernel.pages.alloc(purpose="buffer")
    return following, await domain.map(following, PAGE)


@pytest.mark.parametrize(("variant", "kept"), [("merged", False), ("latest", False), ("ideal", True)])
def test_a_page_does_not_go_when_its_fence_has_failed(variant: str, kept: bool) -> None:
    """Its owner frees it; the kernel gives it to nobody, and the IOVA neither, which is not said to be unmapped."""
    machine, domain = stalled(variant)
    told: list[Unmapped] = []
    machine.sim.probe(Unmapped).watch(told.append)

    async def mapped() -> tuple[int, int]:
        page = await machine.kernel.pages.alloc(purpose="buffer")
        return page, await domain.map(page, PAGE)

    page, iova = machine.run(mapped())
    assert machine.read(1, iova) == page
    next_page, next_iova = machine.run(unmapped_and_freed(machine, domain, page, iova))
    assert machine.read(1, iova) == page
    assert (next_page != page, next_iova != iova, not told) == (kept, kept, kept)
    assert [known.address for known, _ in machine.kernel.pages.quarantined] == [page] * kept


def test_a_page_goes_when_its_fence_has_taken_long_and_has_completed() -> None:
    machine, domain = stalled("ideal", 80 * S)

    async def mapped() -> tuple[int, int]:
        page = await machine.kernel.pages.alloc(purpose="buffer")
        return page, await domain.map(page, PAGE)

    page, iova = machine.run(mapped())
    assert machine.run(unmapped_and_freed(machine, domain, page, iova)) == (page, iova)
    assert not machine.kernel.pages.quarantined


@pytest.mark.parametrize(("variant", "freed"), [("current", True), ("ideal", False)])
def test_an_error_of_the_queue_is_no_success_of_the_fence(variant: str, freed: bool) -> None:
    """N2: `cqcsr` shows an illegal command, before which the IOTINVAL was never executed."""
    machine = Machine(variant, cpus=2)
    domain = machine.boot()
    machine.run(iommu_map(machine.driver, domain, IOVA, DATA, PAGE, BOTH))
    iommu = machine.core.iommus["iommu0"]
    machine.run(machine.driver.send(iommu, Command((0x7F, 0))), "cpu1")
    gather = Gather()

    async def unmap() -> bool | None:
        await iommu_unmap_fast(machine.driver, domain, IOVA, PAGE, gather)
        return await machine.driver.iotlb_sync(domain, gather)

    assert (machine.run(unmap(), "cpu1") is not False) is freed


@pytest.mark.slow
def test_freed_tables_do_not_go_when_their_fence_has_failed() -> None:
    machine = Machine("ideal", iommu={})
    domain = machine.boot()

    async def filled() -> None:
        for n in range(512):
            await iommu_map(machine.driver, domain, IOVA + n * PAGE, DATA + 2 * n * PAGE, PAGE, BOTH)

    machine.run(filled())
    machine.iommus[0].commands.stall(machine.sim.now, 1000 * S)
    machine.run(iommu_unmap(machine.driver, domain, IOVA, 512 * PAGE))
    assert [known.purpose for known, _ in machine.kernel.pages.quarantined] == ["table"]


def test_an_attach_whose_fence_has_failed_fails_and_leaves_the_bond_where_it_was() -> None:
    """The consumer stops for 100 s: nobody knows whether the old context is gone, and no new one is written."""
    machine = Machine("ideal", cpus=2)
    domain = machine.boot()
    machine.run(iommu_map(machine.driver, domain, IOVA, DATA, PAGE, BOTH))
    other = machine.run(machine.core.domain_alloc("other", "dev0"))
    for target in (other, machine.driver.identity):
        machine.iommus[0].commands.stall(machine.sim.now, 100 * S)
        with pytest.raises(KernelError, match="ETIMEDOUT"):
            machine.run(machine.core.replace("dev0", target), "cpu1")
        assert not machine.memory.peek(machine.context(1), 8) & 1
        assert (bonds(machine, domain), bonds(machine, other)) == ([(1, 1)], [])
        assert pscids(machine) == {"iommu0": {1}}
        machine.go(machine.sim.now + 20 * S)
    machine.trace()
    machine.run(machine.core.replace("dev0", other), "cpu1")
    assert machine.commands() == [context(1), FENCE, vma(1), FENCE]
    machine.run(iommu_map(machine.driver, other, IOVA, DATA + PAGE, PAGE, BOTH))
    assert machine.read(1, IOVA) == DATA + PAGE
    assert not machine.kernel.pages.quarantined


@pytest.mark.parametrize("flushes_of_old", [False, True])
def test_a_number_and_its_tables_do_not_go_when_the_fence_of_the_leave_has_failed(flushes_of_old: bool) -> None:
    """Either the context may be there yet, and the bond is, or what was cached under the number."""
    machine = Machine("ideal", cpus=2)
    domain = machine.boot()
    page = machine.run(machine.kernel.pages.alloc(purpose="buffer"))
    machine.run(iommu_map(machine.driver, domain, IOVA, page, PAGE, BOTH))
    if flushes_of_old:
        machine.start(machine.core.replace("dev0", machine.driver.identity), "cpu1", "l")
        while vma(1) not in machine.commands():
            machine.go(machine.sim.now + 100_000)
        machine.iommus[0].commands.stall(machine.sim.now, 1000 * S)
        machine.go(machine.sim.now + 200 * S)
    else:
        machine.iommus[0].commands.stall(machine.sim.now, 1000 * S)
        machine.run(machine.core.release_device("dev0"), "cpu1")
    assert pscids(machine) == {"iommu0": {1}}
    machine.run(machine.core.domain_free(domain.name), "cpu1")
    machine.run(machine.kernel.pages.free(page), "cpu1")
    kept = Counter(known.purpose for known, _ in machine.kernel.pages.quarantined)
    assert kept == Counter(table=5, buffer=1, Bond=int(not flushes_of_old))
    assert pscids(machine) == {"iommu0": {1}}


def test_what_waits_for_a_lazy_flush_is_kept_when_that_fails() -> None:
    machine = Machine("ideal")
    domain = DmaDomain(machine.core, machine.boot())
    told: list[tuple[str, int]] = []
    machine.sim.probe(FlushGivenUp).watch(lambda event: told.append((event.domain, event.iova)))

    async def unmapped() -> int:
        await domain.be_lazy()
        page = await machine.kernel.pages.alloc(purpose="buffer")
        iova = await domain.map(page, PAGE)
        machine.iommus[0].commands.stall(machine.sim.now, 95 * S)
        await domain.unmap_sg([Segment(iova, PAGE)])
        return iova

    iova = machine.run(unmapped())
    machine.go(machine.sim.now + 100 * S)
    assert told == [("d", iova)]

    async def mapped_again() -> int:
        return await domain.map(DATA, PAGE)

    assert machine.run(mapped_again()) != iova


@pytest.mark.parametrize(("variant", "commands"), [("latest", 2), ("ideal", 0)])
def test_a_sync_of_nothing_sends_nothing(variant: str, commands: int) -> None:
    """N3: `latest` flushes the whole PSCID."""
    machine = Machine(variant)
    domain = machine.boot()
    before = int(machine.iommus[0].registers.cqt)
    machine.run(machine.driver.iotlb_sync(domain, Gather()))
    assert int(machine.iommus[0].registers.cqt) - before == commands
