"""Each defect of the reviewed driver, alone and in the whole, does what the review or a later fix says it does.

Both sides: what the defect lets happen, and that the repaired policy does not. Device requests are the real ones,
through the real IOMMU. (Those that need two threads to meet are in `test_races_of_policies`.)
"""

from __future__ import annotations

from typing import Any

import pytest

from cosim.events import FreedTouched
from cosim.hw.dma.transaction import Transaction
from cosim.spec.register_map import FQT
from cosim.spec.registers import Interrupt
from cosim.spec.translation import Tc
from cosim.sw.driver.table import CELLS, NEEDS
from cosim.sw.iommu_map import iommu_map, iommu_unmap
from cosim.sw.iommu_ops import Domain, Prot
from cosim.sw.kernel.errors import KernelError
from cosim.units.quantities import MS, NS
from tests.sw.driver.machine import DRAM, SIZE, Machine

PAGE = 4096
IOVA = 0x4000_0000
DATA = DRAM + SIZE // 2
"""Memory that devices may reach; nothing allocates it in these tests."""
BOTH = Prot.READ | Prot.WRITE


def touched(machine: Machine) -> list[FreedTouched]:
    """What is touched from here on after it was freed."""
    seen: list[FreedTouched] = []
    machine.sim.probe(FreedTouched).watch(seen.append)
    return seen


def by_hardware(seen: list[FreedTouched]) -> bool:
    return any(event.who.startswith("iommu") for event in seen)


def mapped(machine: Machine, domain: Domain, pages: int = 1, iova: int = IOVA, address: int = DATA) -> None:
    machine.run(iommu_map(machine.driver, domain, iova, address, pages * PAGE, BOTH))


# --- Contexts that become invalid -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variant", "cells", "reached"),
    [
        ("merged", {}, False),
        ("current", {}, False),
        ("merged", {"attach": "keeps-invalidated"}, True),
        ("v2", {}, True),
    ],
)
def test_c1_the_hardware_walks_freed_tables_for_a_released_device(
    variant: str, cells: dict[str, Any], reached: bool
) -> None:
    """A context that became invalid was not flushed: the IOMMU goes on with it after the domain was freed."""
    machine = Machine(variant, cells=cells)
    domain = machine.boot()
    mapped(machine, domain, 2, address=DATA)
    assert machine.read(1, IOVA) == DATA
    seen = touched(machine)

    async def release() -> None:
        await machine.core.release_device("dev0")
        await machine.core.domain_free(domain.name)

    machine.run(release())
    machine.read(1, IOVA + (1 << 30))
    assert by_hardware(seen) is reached


@pytest.mark.parametrize(
    ("variant", "cells", "stale"),
    [("merged", {}, False), ("current", {}, False), ("merged", {"attach": "no-old-flush"}, True)],
)
def test_c3_the_next_domain_with_the_pscid_inherits_translations(
    variant: str, cells: dict[str, Any], stale: bool
) -> None:
    """The old PSCID is not flushed when its last device leaves, and the lowest free id is given out next."""
    machine = Machine(variant, cells=cells)
    old = machine.boot(devices=2)
    mapped(machine, old)
    assert machine.read(1, IOVA) == DATA

    async def reuse() -> Domain:
        core = machine.core
        for n in range(2):
            await core.replace(f"dev{n}", core.driver.identity)
        await core.domain_free(old.name)
        return await core.domain_alloc("fresh", "dev1")

    fresh = machine.run(reuse())
    assert machine.memory.peek(fresh.object.pscid.address, 8) == 1
    mapped(machine, fresh, address=DATA + PAGE)
    machine.run(machine.core.replace("dev1", fresh))
    assert machine.read(2, IOVA) == (DATA if stale else DATA + PAGE)


def test_c3_v2_flushes_only_the_pscid_that_it_enters() -> None:
    """A device moves from X to Y; X's number is used again before anything flushes it."""
    machine = Machine("v2")
    old = machine.boot(devices=1)
    mapped(machine, old)
    machine.read(1, IOVA)
    other = machine.run(machine.core.domain_alloc("other", "dev0"))
    machine.trace()
    machine.run(machine.core.replace("dev0", other))
    assert "IOTINVAL.VMA(pscid=0x1,pscv=0x1)" not in machine.trace()


@pytest.mark.parametrize(("attach", "leaked"), [("bond-first", False), ("live-update", True)])
def test_c4_a_live_context_may_be_read_half(attach: str, leaked: bool) -> None:
    """The new table is walked under the old PSCID: another device of the old domain then gets the new one's page.

    Without a context cache every request reads the context; the device never stops. Slow atomics widen the window.
    """
    machine = Machine(
        cells={"attach": attach},
        cpus=2,
        iommu={"geometry": {"cq_log2": 8, "fq_log2": 8, "ddtc_entries": 0, "nonleaf_entries": 0}},
        cpu={"timing": {"atomic": "1 us"}},
    )
    old = machine.boot(devices=2)
    mapped(machine, old)

    async def prepare() -> Domain:
        other = await machine.core.domain_alloc("other", "dev0")
        await iommu_map(machine.driver, other, IOVA + PAGE, DATA + PAGE, PAGE, BOTH)
        return other

    other = machine.run(prepare())
    machine.start(machine.core.replace("dev0", other), "cpu1")  # cpu0 is busy with the faults
    for _ in range(100):
        machine.dma(Transaction(1, IOVA + PAGE, 8))
        machine.go(machine.sim.now + 400 * NS)
    machine.go(machine.sim.now + 1 * MS)
    found = machine.read(2, IOVA + PAGE)
    assert (found == DATA + PAGE) is leaked
    assert leaked or found is None


@pytest.mark.parametrize("attach", [name for name, policy in CELLS["attach"].items() if policy.has_blocked])
def test_a_device_that_is_blocked_reaches_nothing_and_one_without_a_table_everything(attach: str) -> None:
    """Whatever is wrong with the attach, but that one leaves the IOMMU with what it knows (C1)."""
    machine = Machine(cells={"attach": attach, **NEEDS.get(("attach", attach), {})})
    machine.boot()
    driver = machine.core.driver
    assert driver.blocked is not None
    kept = DATA if attach == "keeps-invalidated" else None
    last: list[str] = []
    for domain, reached in ((driver.blocked, None), (driver.identity, DATA), (driver.blocked, kept)):
        machine.run(machine.core.replace("dev0", domain))
        assert Tc(machine.memory.peek(machine.context(1), 8)).v == (domain is driver.identity)
        last = machine.commands()[-1:]
        assert all(command.startswith("IOFENCE") for command in last)
        assert machine.read(1, DATA) == reached
    assert last, "a context that was valid is gone behind a fence"


def test_v2_flushes_no_pscid_for_a_device_that_leaves_for_no_table_and_takes_it_back() -> None:
    machine = Machine("v2")
    domain = machine.boot()
    mapped(machine, domain)
    machine.run(machine.core.replace("dev0", machine.core.driver.identity))
    sent = [command.partition("(")[0] for command in machine.commands()]
    assert sent[-2:] == ["IODIR.INVAL_DDT", "IOFENCE.C"]
    assert machine.read(1, DATA) == DATA
    machine.run(machine.core.replace("dev0", domain))
    assert machine.read(1, IOVA) == DATA


def test_v2_switches_each_id_of_a_device_and_takes_it_back() -> None:
    """An IOMMU is told of contexts that become valid, one by one."""
    machine = Machine("v2")
    domain = machine.boot(ids=lambda n: (1, 2, 5))
    mapped(machine, domain)
    core, valid = machine.core, [f"IODIR.INVAL_DDT(dv=0x1,did={n:#x})" for n in (1, 2, 5)]
    for change, v, told in (
        (core.replace("dev0", core.driver.identity), 1, valid),
        (core.replace("dev0", domain), 1, valid),
        (core.release_device("dev0"), 0, []),
    ):
        machine.run(change)
        assert [command for command in machine.commands() if command.startswith("IODIR")] == told
        assert [Tc(machine.memory.peek(machine.context(n), 8)).v for n in (1, 2, 5)] == [v] * 3


# --- Page tables ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("tables", "reached"), [("per-page", False), ("released", False), ("freed-at-once", True)])
def test_c5_the_hardware_walks_a_table_that_a_large_page_replaced(tables: str, reached: bool) -> None:
    """The IOMMU has cached the way to the table, which was freed in the same breath."""
    machine = Machine(cells={"tables": tables}, iommu={"geometry": {"cq_log2": 8, "fq_log2": 8, "iotlb_entries": 0}})
    domain = machine.boot()

    async def replace() -> None:
        await iommu_map(machine.driver, domain, IOVA, DATA, PAGE, BOTH)
        await iommu_unmap(machine.driver, domain, IOVA, PAGE)

    machine.run(replace())
    machine.read(1, IOVA + 5 * PAGE)
    seen = touched(machine)
    mapped(machine, domain, 512)
    found = machine.read(1, IOVA + 5 * PAGE)
    assert by_hardware(seen) is reached
    assert (found == DATA + 5 * PAGE) is not reached


@pytest.mark.parametrize(("variant", "both"), [("merged", False), ("v2", True)])
def test_b11_the_last_attach_decides_on_the_node_and_on_dirty_bits(variant: str, both: bool) -> None:
    """Two IOMMUs, one of which sets D by itself: in v2 whoever is attached last decides for all."""
    machine = Machine(variant, iommus=2)
    machine.boot(devices=1)

    async def attach() -> Domain:
        await machine.core.probe_device("dev1", (9,), "iommu1")
        for node, name in ((2, "iommu0"), (1, "iommu1")):
            await machine.core.iommus[name].node.store(node)
        domain = await machine.core.domain_alloc("shared", "dev0")
        await machine.core.replace("dev0", domain)
        await machine.core.attach("dev1", domain)
        return domain

    domain = machine.run(attach())
    assert machine.memory.peek(domain.object.node.address, 8) == (1 if both else 2)


# --- Attach ---------------------------------------------------------------------------------------------------------

ONE_LEVEL = {"geometry": {"cq_log2": 8, "fq_log2": 8, "ddt_levels": 1}}
"""A directory of one level has room for 128 device ids."""


@pytest.mark.parametrize(("variant", "cells"), [("v2", {}), ("merged", {"attach": "half-way"})])
def test_c7_an_attach_fails_half_way_and_leaves_the_first_id_switched(variant: str, cells: dict[str, str]) -> None:
    """The second id has no context: the attach fails, but the first id is live, and its bond is on no list.

    What it has cached is therefore flushed by no unmap.
    """
    machine = Machine(variant, cells=cells, iommu=ONE_LEVEL)
    machine.boot()

    async def attach() -> Domain:
        await machine.core.probe_device("wide", (5, 200), "iommu0")
        domain = await machine.core.domain_alloc("own", "wide")
        await machine.core.attach("wide", domain)
        return domain

    before = machine.kernel.pages.purposes()["Bond"]
    with pytest.raises(KernelError, match="ENODEV"):
        machine.run(attach())
    assert machine.memory.peek(machine.context(5), 8) & 1
    assert machine.kernel.pages.purposes()["Bond"] > before
    domain = machine.core.domains["own"]
    mapped(machine, domain)
    assert machine.read(5, IOVA) == DATA
    machine.trace()
    machine.run(iommu_unmap(machine.driver, domain, IOVA, PAGE))
    assert machine.commands() == []
    assert machine.read(5, IOVA) == DATA


def test_c7_merged_finds_out_in_the_probe() -> None:
    machine = Machine("merged", iommu=ONE_LEVEL)
    machine.boot()
    before = machine.kernel.pages.purposes()
    with pytest.raises(KernelError, match="ENODEV"):
        machine.run(machine.core.probe_device("wide", (5, 200), "iommu0"))
    assert not machine.memory.peek(machine.context(5), 8) & 1
    assert machine.kernel.pages.purposes() == before


def test_b2_with_one_iommu_pointer_only_the_last_iommu_is_flushed() -> None:
    for cells, stale in (({}, False), ({"bonds": "one-iommu-pointer"}, True)):
        machine = Machine(cells=cells, iommus=2)
        domain = machine.boot(devices=2)
        assert bool(machine.kernel.pages.purposes()["Bond"]) is not stale
        mapped(machine, domain)
        assert machine.read(1, IOVA) == DATA
        assert machine.read(2, IOVA, iommu=1) == DATA
        machine.run(iommu_unmap(machine.driver, domain, IOVA, PAGE))
        assert (machine.read(1, IOVA) == DATA) is stale
        assert machine.read(2, IOVA, iommu=1) is None


def test_the_last_device_behind_an_iommu_has_the_pscid_flushed_there() -> None:
    """Whatever bonds the domain has with devices behind another one."""
    machine = Machine(iommus=2)
    machine.boot(devices=2)
    machine.run(machine.core.release_device("dev0"))
    assert [line for line in machine.trace() if "IOTINVAL" in line] == ["iommu0: IOTINVAL.VMA(pscid=0x1,pscv=0x1)"]


def test_b4_ungrouped_bonds_are_flushed_more_than_once() -> None:
    """Four devices behind two IOMMUs in turn: neighbours on the list are never alike."""
    for bonds, commands in (("grouped", 4), ("ungrouped", 8), ("v2", 8)):
        machine = Machine(cells={"bonds": bonds}, iommus=2)
        domain = machine.boot(devices=4)
        mapped(machine, domain)
        machine.trace()
        machine.run(iommu_unmap(machine.driver, domain, IOVA, PAGE))
        assert len([line for line in machine.trace() if ": IO" in line]) == commands


def test_b1_one_number_space_for_all_iommus_runs_out() -> None:
    """Each domain is used on one IOMMU only; numbered on each IOMMU, there are twice as many."""
    for policy, most in (("shared", 4), ("per-iommu", 8)):
        machine = Machine(cells={"pscid": {"policy": policy, "highest": 4}}, iommus=2)

        async def fill(machine: Machine = machine) -> int:
            for hardware in machine.hardware:
                await machine.core.probe_iommu(hardware)
            for n in range(20):
                try:
                    await machine.core.probe_device(f"dev{n}", (n,), f"iommu{n % 2}")
                    await machine.core.attach(f"dev{n}", await machine.core.domain_alloc(f"d{n}", f"dev{n}"))
                except KernelError:
                    return n
            return 20

        assert machine.run(fill()) == most


def test_numbers_of_each_iommu_are_flushed_and_given_back() -> None:
    """Two devices of one domain behind two IOMMUs; the one that leaves frees its IOMMU's number, not the other's."""
    machine = Machine(cells={"pscid": "per-iommu"}, iommus=2)
    domain = machine.boot(devices=4)
    mapped(machine, domain)
    assert machine.read(1, IOVA) == machine.read(2, IOVA, iommu=1) == DATA
    machine.run(iommu_unmap(machine.driver, domain, IOVA, PAGE))
    assert machine.read(1, IOVA) is machine.read(2, IOVA, iommu=1) is None
    ids = machine.driver.ids
    assert {key: ida.taken for key, ida in ids.items()} == {"iommu0": {1}, "iommu1": {1}}
    machine.run(machine.core.release_device("dev0"))
    assert {key: ida.taken for key, ida in ids.items()} == {"iommu0": {1}, "iommu1": {1}}, "dev2 is still there"
    machine.trace()
    machine.run(machine.core.release_device("dev2"))
    assert "iommu0: IOTINVAL.VMA(pscid=0x1,pscv=0x1)" in machine.trace()
    assert {key: ida.taken for key, ida in ids.items()} == {"iommu0": set(), "iommu1": {1}}
    for n in (1, 3):
        machine.run(machine.core.release_device(f"dev{n}"))
    machine.run(machine.core.domain_free(domain.name))
    assert not any(ida.taken for ida in ids.values())
    assert not machine.kernel.pages.purposes()["Tag"]


# --- Fences ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("invalidate", "stale"), [("per-iommu", False), ("short-fence", True)])
def test_c8_a_page_is_reached_after_its_unmap_returned(invalidate: str, stale: bool) -> None:
    """The consumer is busy for 200 ms; what the unmap wanted flushed is flushed after it has returned."""
    machine = Machine(cells={"invalidate": invalidate})
    domain = machine.boot()
    mapped(machine, domain)
    assert machine.read(1, IOVA) == DATA
    machine.iommus[0].commands.stall(machine.sim.now, 200 * MS)
    machine.run(iommu_unmap(machine.driver, domain, IOVA, PAGE))
    assert (machine.read(1, IOVA) == DATA) is stale


# --- Faults, kexec --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("interrupts", "head"), [("prints-and-clears", 0), ("v2", 256 - 16)])
def test_c12_a_fault_queue_that_cannot_be_read_moves_its_head_back(interrupts: str, head: int) -> None:
    """`fqt` shows what is no index for 150 ms: v2 takes the error, -16, for a number of records."""
    machine = Machine(cells={"interrupts": interrupts})
    machine.boot()
    registers = machine.iommus[0].registers
    registers.put(FQT, 0x8000_0000)
    machine.iommus[0].interrupts.raise_(Interrupt.FQ)
    machine.go(machine.sim.now + 400 * MS)
    assert registers.fqh == head


@pytest.mark.parametrize(("bringup", "works"), [("hands-over", True), ("no-hand-over", False)])
def test_c16_a_next_kernel_finds_the_iommu_as_the_last_one_left_it(bringup: str, works: bool) -> None:
    """After the shutdown another kernel probes the same hardware."""
    machine = Machine(cells={"bringup": bringup})
    machine.boot()

    async def kexec() -> None:
        await machine.driver.shutdown(machine.core.iommus["iommu0"])
        await machine.kernel.sleep(1 * MS)
        await machine.driver.probe_iommu(machine.hardware[0])

    if works:
        machine.run(kexec())
    else:
        with pytest.raises(KernelError, match="EBUSY"):
            machine.run(kexec())
