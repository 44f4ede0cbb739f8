"""In which order a driver takes its steps: each is there (test_steps), and stands where the argument needs it."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby
from typing import Any

import pytest

from cosim.spec.registers import Cqcsr
from cosim.sw.driver.device import IommuDevice
from cosim.sw.driver.policies.interrupts import Repairs
from cosim.sw.driver.variants import variant
from cosim.sw.iommu_map import iommu_map, iommu_unmap
from cosim.sw.kernel.ids import Ida
from tests.sw.driver.machine import DRAM, Machine
from tests.sw.driver.test_steps import BOTH, IOVA, PAGE, Listed, Noted, Tokens

SHORT = {
    "fence rw,rw": "smp_mb",
    "fence ow,ow": "dma_wmb",
    "IODIR.INVAL_DDT": "IODIR",
    "IOTINVAL.VMA": "IOTINVAL-page",
    "IOTINVAL.VMA of all": "IOTINVAL",
    "IOFENCE.C": "IOFENCE",
    "amo.aq.rl": "synchronize",
    "amo": "mark",
}
PLAIN = ("lock", "store", "amo", "amo.aq.rl")
TOLD = ("lock", "store", "store.rl", "wait", "kfree_rcu", "rcu_read_lock", "free", *SHORT)

BOND = "lock store lock store store.rl store smp_mb"
"""The group's mutex; the bond is filled in, and published under the domain's lock; the barrier."""
FLUSH = "IOTINVAL IOFENCE wait"
UNBOND = f"lock store kfree_rcu {FLUSH}"
OFF = "IODIR IOTINVAL IOFENCE"
"""Behind each write of `ddtp`, also that which lets an IOMMU translate."""


def contexts(forget: str) -> dict[str, str]:
    """A new context; one in place of another, which the IOMMU forgets first; and what is left of the last one."""
    write = f"store dma_wmb store {forget} IOFENCE wait"
    return {
        "attach": f"{BOND} {write} store",
        "move": f"{BOND} store {forget} IOFENCE wait {write} {UNBOND} store",
        "release": f"lock store {forget} IOFENCE wait {write} {UNBOND} store kfree_rcu store",
        "remove": f"store {OFF}",
    }


ORDER = {
    "merged": contexts("IODIR"),
    "current": contexts("IODIR IOTINVAL"),
    "latest": contexts("IODIR IOTINVAL"),
    "ideal": {
        "attach": f"{BOND} lock store dma_wmb store",
        "move": f"{BOND} lock store IODIR IOFENCE wait store dma_wmb store {UNBOND} store",
        "release": f"lock store IODIR IOFENCE wait store dma_wmb store {UNBOND} store kfree_rcu store",
        "remove": f"mark smp_mb synchronize store {OFF}",
    },
}
UNMAP = "smp_mb rcu_read_lock IOTINVAL-page IOFENCE wait"


class Life:
    """A driver whose calls are written down."""

    def __init__(self, row: str, **cells: str) -> None:
        self.said: Tokens = []
        self.machine = Machine(replace(variant(row, cells), queue=Listed(self.said)))
        rcu = self.machine.kernel.rcu
        for name, what in (("read", "rcu_read_lock"), ("kfree", "kfree_rcu")):
            called = getattr(rcu, name)

            def noted(*given: Any, called: Any = called, what: str = what) -> Any:
                self.said.append(what)
                return called(*given)

            setattr(rcu, name, noted)

    def do(self, body: Any, *unimportant: str) -> str:
        """What the call does, in order; several of one kind in a row are told once."""
        self.said.clear()

        async def noting() -> None:
            await Noted(body, self.said)

        self.machine.run(noting())
        told = [SHORT.get(token, token) for token in self.said if token in TOLD and token not in unimportant]
        return " ".join(token for token, _ in groupby(told))


@pytest.mark.parametrize("row", ORDER)
def test_each_step_stands_where_it_is_needed(row: str) -> None:
    life = Life(row)
    core, driver = life.machine.core, life.machine.driver
    assert life.do(core.probe_iommu(life.machine.hardware[0])).endswith(f"store {OFF} wait")
    life.machine.run(core.probe_device("dev0", (0,), "iommu0"))
    first, second = [life.machine.run(core.domain_alloc(name, "dev0")) for name in "ab"]
    found = {"attach": life.do(core.attach("dev0", first))}
    life.machine.run(iommu_map(driver, first, IOVA, DRAM, PAGE, BOTH))
    assert life.do(iommu_unmap(driver, first, IOVA, PAGE), "store", "amo") == UNMAP
    found["move"] = life.do(core.replace("dev0", second))
    found["release"] = life.do(core.release_device("dev0"))
    found["remove"] = life.do(core.remove_iommu("iommu0")).partition(" wait")[0]
    assert found == ORDER[row]


def test_a_command_in_place_of_an_illegal_one_is_in_memory_before_the_error_is_cleared() -> None:
    life = Life("merged")
    life.machine.run(life.machine.core.probe_iommu(life.machine.hardware[0]))
    iommu = IommuDevice(life.machine.core.iommus["iommu0"].address)
    assert life.do(Repairs().repair(iommu, Cqcsr(Cqcsr.of(cmd_ill=1)))) == "store dma_wmb"
    assert life.do(Repairs().repair(iommu, Cqcsr(Cqcsr.of(cqmf=1, cmd_to=1, fence_w_ip=1)))) == "", "it may be right"


def test_a_number_goes_back_once_its_flush_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    life = Life("merged", pscid="per-iommu")
    core = life.machine.core
    life.machine.run(core.probe_iommu(life.machine.hardware[0]))
    life.machine.run(core.probe_device("dev0", (0,), "iommu0"))
    domain = life.machine.run(core.domain_alloc("a", "dev0"))
    life.machine.run(core.attach("dev0", domain))
    free = Ida.free

    async def noted(self: Ida, number: int) -> None:
        life.said.append("free")
        await free(self, number)

    monkeypatch.setattr(Ida, "free", noted)
    assert f"{FLUSH} free" in life.do(core.release_device("dev0"), *PLAIN)


@pytest.mark.parametrize(("row", "there"), [("merged", True), ("v2", False)])
def test_a_number_of_a_domain_goes_back_before_its_tables_and_in_v2_behind_them(
    row: str, there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine, found = Machine(row), list[bool]()
    domain, free = machine.boot(), Ida.free

    async def noted(self: Ida, number: int) -> None:
        found.append("table" in machine.kernel.pages.purposes())
        await free(self, number)

    monkeypatch.setattr(Ida, "free", noted)
    machine.run(iommu_map(machine.driver, domain, IOVA, DRAM, PAGE, BOTH))
    machine.run(machine.core.release_device("dev0"))
    machine.run(machine.core.domain_free("d"))
    assert found == [there]
