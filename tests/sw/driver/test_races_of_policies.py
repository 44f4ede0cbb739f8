"""Where two threads, or a thread and the hardware, meet: each defect by a schedule that brings it out, and without.

A schedule names which action is held, or which past state a load returns; the names are found by running once.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cosim.events import FreedTouched
from cosim.sim.actions import Taken
from cosim.sim.chooser import Scheduled
from cosim.sim.operations import Sleep
from cosim.spec.pagetable import Pte
from cosim.sw.driver.domain import Bond, DomainObject
from cosim.sw.iommu_map import iommu_map, iommu_unmap
from cosim.sw.iommu_ops import Device, Prot
from cosim.units.quantities import MS, US
from tests.sw.driver.machine import DRAM, SIZE, Machine
from tests.sw.driver.test_ideal import bonds

PAGE = 4096
IOVA = 0x4000_0000
DATA = DRAM + SIZE // 2
BOTH = Prot.READ | Prot.WRITE


def explored(
    variant: str, cells: dict[str, str], schedule: dict[str, int], hold_ps: int = 5 * US, devices: int = 2
) -> Machine:
    """A machine that is booted, and follows a schedule once it explores; the last CPU has the kernel's own threads."""
    chooser = Scheduled(0, schedule)
    machine = Machine(variant, cells=cells, cpus=4, chooser=chooser, hold_ps=hold_ps, cpu={"history": "1 ms"})
    machine.boot(devices=devices)
    return machine


def actions(machine: Machine) -> list[Taken]:
    """What takes hold from here on."""
    seen: list[Taken] = []
    machine.sim.actions.watchers.append(seen.append)
    return seen


# --- The list of bonds ----------------------------------------------------------------------------------------------


STORES = 9
"""As many as one who joins a domain makes at most, the one that gives the lock back among them."""


def meetings(policy: str, there: int, *two: tuple[str, int]) -> Iterator[tuple[int, list[bool]]]:
    """Two devices, of two groups, at once join or leave a domain that the first devices are in.

    How many are in it then, and whether those who left were told to be the last ones: unperturbed, and with each store
    of the first held by turns.
    """
    held = {f"cpu1.a{n}.st#{n}": 2 for n in range(STORES)}
    machine = explored("merged", {"bonds": policy}, held, devices=3)
    core, own = machine.core, machine.driver.policies.bonds
    iommu = core.iommus["iommu0"]

    async def change(domain: DomainObject, what: str, device: Device, left: list[bool]) -> None:
        if what == "leaves":
            left.append(await own.unlink(machine.driver, iommu, device, domain))
        else:
            await own.link(machine.driver, iommu, domain, await own.new(machine.driver, iommu, device, 9))

    machine.sim.explore()
    for n in range(STORES + 1):
        domain, left = machine.run(core.domain_alloc(f"fresh{n}", "dev0")), list[bool]()
        for first in range(there):
            machine.run(change(domain.object, "joins", core.devices[f"dev{first}"], left))
        for cpu, name, (what, number) in zip(("cpu1", "cpu2"), "ab", two, strict=True):
            machine.start(change(domain.object, what, core.devices[f"dev{number}"], left), cpu, f"{name}{n}")
        machine.go(machine.sim.now + 50 * US)
        yield sum(max(users, 1) for _, users in bonds(machine, domain)), sorted(left)


@pytest.mark.parametrize(("policy", "lost"), [("grouped", False), ("counted", False), ("unlocked", True)])
def test_c6_of_two_bonds_that_are_linked_at_once_without_a_lock_one_is_lost(policy: str, lost: bool) -> None:
    """Both read the same first entry; the later store of the head wins."""
    found = {users for users, _ in meetings(policy, 0, ("joins", 0), ("joins", 1))}
    assert (found != {2}) is lost


@pytest.mark.parametrize("policy", ["grouped", "counted"])
@pytest.mark.parametrize(
    ("there", "two", "possible"),
    [
        (1, (("joins", 1), ("joins", 2)), [(3, [])]),
        (3, (("leaves", 0), ("leaves", 1)), [(1, [False, False])]),
        (2, (("leaves", 0), ("leaves", 1)), [(0, [False, True])]),
        (1, (("joins", 1), ("leaves", 0)), [(1, [False]), (1, [True])]),
        (1, (("leaves", 0), ("joins", 1)), [(1, [False]), (1, [True])]),
    ],
)
def test_of_two_devices_that_join_or_leave_at_once_each_is_counted(
    policy: str, there: int, two: tuple[tuple[str, int], ...], possible: list[tuple[int, list[bool]]]
) -> None:
    """And one of those that leave is the last one, if nobody is left."""
    assert all(found in possible for found in meetings(policy, there, *two))


# --- Attach beside unmap --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variant", "cells", "stale"),
    [
        ("merged", {}, False),
        ("current", {}, False),
        ("merged", {"attach": "context-first"}, True),
        ("v2", {}, True),
    ],
)
def test_b6_who_unmaps_between_context_and_bond_does_not_flush(
    variant: str, cells: dict[str, str], stale: bool
) -> None:
    """Fences take long, so that the attach waits for its own while the device works already."""
    slow = {"geometry": {"cq_log2": 8, "fq_log2": 8}, "timing": {"fence": "20 us"}}
    machine = Machine(variant, cells=cells, cpus=3, iommu=slow)
    machine.boot(devices=2)
    domain = machine.run(machine.core.domain_alloc("fresh", "dev0"))
    if not machine.memory.peek(domain.object.root.address, 8):
        driver, iommu = machine.driver, machine.core.iommus["iommu0"]
        machine.run(driver.policies.tables.attaching(driver, iommu, domain.object))
    machine.run(iommu_map(machine.driver, domain, IOVA, DATA, PAGE, BOTH))
    machine.run(machine.core.replace("dev0", machine.driver.identity))
    machine.start(machine.core.replace("dev0", domain), "cpu1", "a")
    unmapped: list[int] = []

    async def unmap() -> None:
        unmapped.append(await iommu_unmap(machine.driver, domain, IOVA, PAGE))

    while machine.read(1, IOVA, settle_ps=2 * US) != DATA:
        pass
    machine.start(unmap(), "cpu2", "u")
    while not unmapped:
        machine.go(machine.sim.now + 1 * US)
    assert (machine.read(1, IOVA) == DATA) is stale


def stale_after(variant: str, cells: dict[str, str], schedule: dict[str, int]) -> tuple[bool, str]:
    """A domain without a device is unmapped while one is attached to it; whether x is still reached in the end.

    Also the name of the unmap's first look at the bonds.
    """
    machine = explored(variant, cells, schedule, hold_ps=40 * US)
    domain = machine.run(machine.core.domain_alloc("fresh", "dev0"))
    machine.run(iommu_map(machine.driver, domain, IOVA, DATA, PAGE, BOTH))
    seen = actions(machine)
    machine.sim.explore()
    machine.start(iommu_unmap(machine.driver, domain, IOVA, PAGE), "cpu2", "u")
    machine.start(machine.core.replace("dev0", domain), "cpu1", "a")
    for _ in range(30):
        machine.read(1, IOVA, settle_ps=1 * US)
    machine.go(machine.sim.now + 1 * MS)
    bonds = int(domain.object.bonds.next.address)
    looks = [t.name for t in seen if t.name.startswith("cpu2.u.ld#") and bonds in t.footprint]
    return machine.read(1, IOVA) == DATA, looks[0]


@pytest.mark.parametrize(("invalidate", "stale"), [("with-freelist", False), ("with-freelist-no-barrier", True)])
def test_c9_a_cleared_entry_stays_in_the_store_buffer_while_the_bonds_are_read(invalidate: str, stale: bool) -> None:
    """The unmap finds no bond; the device is attached, and the IOMMU walks the old entry."""
    entry_late = {"cpu2.u.st#0": 2}
    found, _ = stale_after("current", {"invalidate": invalidate}, entry_late)
    assert found is stale


@pytest.mark.parametrize(("invalidate", "stale"), [("per-iommu", False), ("no-barrier", True)])
def test_c9_a_load_of_the_bonds_may_be_older_than_the_cleared_entry(invalidate: str, stale: bool) -> None:
    """A relaxed compare-and-swap does not keep a later load from returning what was there before the link."""
    swap_late = {"cpu2.u.amo#0": 2}
    _, look = stale_after("merged", {"invalidate": invalidate}, swap_late)
    found, _ = stale_after("merged", {"invalidate": invalidate}, swap_late | {f"{look}.past": 1})
    assert found is stale


def stale_beside_first_attach(attach: str, schedule: dict[str, int]) -> tuple[bool, str]:
    """A device's first attach, of which the unmap comes as soon as the device has read x; whether x is still reached.

    Also the name of the store that links the bond.
    """
    machine = explored("merged", {"attach": attach}, schedule, hold_ps=40 * US)
    domain = machine.run(machine.core.domain_alloc("fresh", "dev0"))
    machine.run(iommu_map(machine.driver, domain, IOVA, DATA, PAGE, BOTH))
    machine.run(machine.core.probe_device("idle", (9,), "iommu0"))
    seen = actions(machine)
    machine.sim.explore()
    machine.start(machine.core.attach("idle", domain), "cpu1", "a")
    for _ in range(30):
        if machine.read(9, IOVA, settle_ps=2 * US) == DATA:
            break
    machine.run(iommu_unmap(machine.driver, domain, IOVA, PAGE), "cpu2")
    first = int(domain.object.bonds.next.address)
    names = (t.name for t in seen if t.changes and first in t.footprint)
    return machine.read(9, IOVA) == DATA, next(names, "still held")


@pytest.mark.parametrize(
    ("attach", "stale"), [("bond-first", False), ("no-barrier", False), ("no-dma-wmb", False), ("no-barriers", True)]
)
def test_b6_a_link_stays_in_the_store_buffer_while_the_context_is_in_use(attach: str, stale: bool) -> None:
    """Either barrier of the attach alone keeps the context behind the link; without both the unmap finds no bond."""
    found, link = stale_beside_first_attach(attach, {})
    assert not found
    found, _ = stale_beside_first_attach(attach, {link: 2})
    assert found is stale


# --- What is published before it is zeroed --------------------------------------------------------------------------


ZEROES_LATE = {"cpu1.m.st#3": 2}
"""The zeroes of the fourth new table, the one of the leaves, stay in the store buffer."""


@pytest.mark.parametrize(("tables", "wrong"), [("per-page", True), ("released", False), ("generic", False)])
def test_c14_a_table_is_reached_before_it_is_zeroed(tables: str, wrong: bool) -> None:
    """The page was used for other things before; what is left of them is walked as page-table entries."""
    cells = {"tables": tables} | ({"invalidate": "with-freelist"} if tables == "generic" else {})
    machine = explored("merged", cells, ZEROES_LATE, hold_ps=20 * US)
    domain = machine.run(machine.core.domain_of("dev0"))
    assert domain is not None

    async def used_before() -> None:
        pages = [await machine.kernel.pages.alloc(purpose="buffer") for _ in range(6)]
        for page in pages:
            for n in range(512):
                machine.memory.poke(page + 8 * n, 8, Pte.of(v=1, r=1, w=1, u=1, a=1, d=1, ppn=DATA >> 12))
            await machine.kernel.pages.free(page)

    machine.run(used_before())
    machine.sim.explore()
    machine.start(iommu_map(machine.driver, domain, IOVA, DATA, PAGE, BOTH), "cpu1", "m")
    reached = {machine.read(1, IOVA + 77 * PAGE, settle_ps=1 * US) for _ in range(30)}
    assert reached == ({None, DATA} if wrong else {None})


# --- What readers hold ----------------------------------------------------------------------------------------------


def unmap_beside_release(bonds: str, held_at: str) -> list[FreedTouched]:
    """A device leaves while an unmap is held at its first load of the bond or of the device.

    Returns what was touched after it was freed.
    """
    names: list[str] = []
    touched: list[FreedTouched] = []
    for schedule in ({}, None):
        chosen = dict.fromkeys(names, 2) if schedule is None else schedule
        machine = explored("merged", {"bonds": bonds}, chosen, hold_ps=200 * US)
        machine.sim.probe(FreedTouched).watch(touched.append)
        domain = machine.run(machine.core.domain_of("dev1"))
        assert domain is not None
        machine.run(iommu_map(machine.driver, domain, IOVA, DATA, PAGE, BOTH))
        bond = machine.memory.peek(domain.object.bonds.next.address, 8)
        device = machine.memory.peek(Bond(bond).device.address, 8)
        where = {"bond": Bond(bond).device.address, "device": device}[held_at]
        seen = actions(machine)
        machine.sim.explore()
        machine.start(iommu_unmap(machine.driver, domain, IOVA, PAGE), "cpu1", "u")
        if schedule is None:
            leaving = next(name for name, made in machine.core.devices.items() if made.object.address == device)

            async def leave(machine: Machine = machine, leaving: str = leaving) -> None:
                await Sleep(3 * US)
                await machine.core.release_device(leaving)

            machine.start(leave(), "cpu2", "r")
        machine.go(machine.sim.now + 2 * MS)
        if schedule is not None:
            loads = [t.name for t in seen if t.name.startswith("cpu1.u.ld#") and where in t.footprint]
            names = loads[:1]
    return touched


def test_b3_a_reader_may_follow_a_bond_to_a_device_that_is_gone() -> None:
    """The bond is freed after a grace period; the device that it holds is not."""
    touched = unmap_beside_release("grouped", "device")
    assert touched
    assert all(event.who == "cpu1.u" and "Bond" not in event.what for event in touched)


def test_b3_a_bond_that_holds_the_iommu_needs_no_device() -> None:
    assert not unmap_beside_release("holds-iommu", "bond")


@pytest.mark.parametrize(("bonds", "gone"), [("grouped", False), ("freed-at-once", True), ("waits-in-unlink", False)])
def test_a_bond_lives_as_long_as_those_who_stand_on_it(bonds: str, gone: bool) -> None:
    """Held between the pointer to a bond and what is in it, a reader finds it as it was, given a grace period."""
    assert any("Bond" in event.what for event in unmap_beside_release(bonds, "bond")) is gone


def unmap_beside_removal(variant: str, cells: dict[str, str]) -> list[FreedTouched]:
    """The IOMMU is removed while an unmap that waits for its fence is held between two looks at the queue.

    That takes longer than a grace period.
    """
    schedule: dict[str, int] = {}
    touched: list[FreedTouched] = []

    async def remove(machine: Machine) -> None:
        await Sleep(20 * US)
        await machine.core.remove_iommu("iommu0")

    for held in (False, True):
        machine = explored(variant, cells, schedule, hold_ps=50 * MS)
        machine.sim.probe(FreedTouched).watch(touched.append)
        domain = machine.run(machine.core.domain_of("dev0"))
        assert domain is not None
        machine.run(iommu_map(machine.driver, domain, IOVA, DATA, PAGE, BOTH))
        entries = int(machine.core.iommus["iommu0"].commands.entries.address)
        seen = actions(machine)
        machine.sim.explore()
        machine.start(iommu_unmap(machine.driver, domain, IOVA, PAGE), "cpu1", "u")
        if held:
            machine.start(remove(machine), "cpu2", "r")
        machine.go(machine.sim.now + 100 * MS)
        # Its fence is under way, and it is about to wait for it.
        looks = [t.name for t in seen if t.name.startswith("cpu1.u.ld#") and entries in t.footprint]
        schedule = {looks[-1]: 2}
    return touched


@pytest.mark.parametrize(
    ("variant", "cells", "gone"),
    [
        ("merged", {}, True),
        ("merged", {"bonds": "holds-iommu"}, False),
        ("merged", {"bonds": "counted"}, False),
        ("latest", {}, True),
        ("latest", {"bonds": "holds-iommu"}, False),
        ("ideal", {}, False),
    ],
)
def test_b3_the_removal_of_an_iommu_waits_for_readers_only_if_told_to(
    variant: str, cells: dict[str, str], gone: bool
) -> None:
    """The second form of B3: nobody keeps the IOMMU's structure and its rings for a reader that has its address."""
    assert any("IommuDevice" in event.what for event in unmap_beside_removal(variant, cells)) is gone
