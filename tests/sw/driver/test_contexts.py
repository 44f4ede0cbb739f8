"""What an attach writes into device contexts, and what it leaves alone: the bits of a context, and its order."""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from cosim.sim.operations import Fence, Store
from cosim.spec.translation import IosatpMode, Tc
from cosim.sw.driver.axes import Skeleton
from cosim.sw.driver.device import IommuDevice
from cosim.sw.driver.domain import Bond, DomainObject
from cosim.sw.driver.policies.bonds import ReviewedBonds
from cosim.sw.driver.variants import variant
from cosim.sw.iommu_ops import Device
from cosim.sw.kernel.errors import KernelError
from tests.sw.driver.machine import DEVICE_CONTEXT, SMALL_QUEUES, Machine
from tests.sw.driver.test_ideal import pscids


async def written(body: Coroutine[Any, Any, Any], place: int) -> list[str]:
    """The words of the context at `place` that a routine stores to, and its barriers."""
    told, answer = list[str](), None
    while True:
        try:
            op = body.send(answer)
        except StopIteration:
            return told
        if isinstance(op, Store) and 0 <= op.address - place < 8 * len(DEVICE_CONTEXT):
            told.append(DEVICE_CONTEXT[(op.address - place) // 8])
        elif isinstance(op, Fence):
            told.append("barrier")
        answer = await op


@pytest.mark.parametrize("driver", ["merged", "current", "latest", "ideal"])
def test_all_of_a_context_stands_before_the_barrier_behind_which_it_becomes_valid(driver: str) -> None:
    machine = Machine(driver)
    machine.boot()
    core = machine.core
    other = machine.run(core.domain_alloc("other", "dev0"))
    told = machine.run(written(core.replace("dev0", other), machine.context(1)))
    valid = len(told) - 1 - told[::-1].index("tc")
    assert told[valid - 3 : valid] == ["fsc", "ta", "barrier"]
    assert told.index("tc") < valid - 3, "the old one was made invalid before"


@pytest.mark.parametrize("able", [True, False])
@pytest.mark.parametrize(
    ("driver", "cells", "lets"),
    [
        ("merged", {}, True),
        ("merged", {"attach": "half-way"}, True),
        ("v2", {}, True),
        ("v2", {"tables": "generic"}, False),
        ("current", {}, False),
        ("ideal", {}, False),
    ],
)
def test_a_context_lets_an_iommu_that_can_set_a_and_d_do_so_until_7_1(
    driver: str, cells: dict[str, str], lets: bool, able: bool
) -> None:
    """Also one that is used again; v2 asks the domain, and the page table of 7.1 sets A and D itself."""
    geometry = {"capabilities": {"amo_hwad": able}, "geometry": SMALL_QUEUES}
    machine = Machine(driver, cells=cells, iommu=geometry)
    machine.boot()
    core, place = machine.core, machine.context(1)
    for _ in range(2):
        assert Tc(machine.memory.peek(place, 8)) == Tc.of(v=1, sade=lets and able)
        machine.run(core.release_device("dev0"))
        machine.run(core.probe_device("dev0", (1,), "iommu0"))
        machine.run(core.attach("dev0", core.domains["d"]))


@pytest.mark.parametrize("driver", ["merged", "ideal"])
def test_an_attach_to_an_iommu_that_has_not_the_domains_scheme_leaves_the_domain_as_it_was(driver: str) -> None:
    """Without a root where that comes with the first attach."""
    geometry = {"capabilities": {"sv57": False}, "geometry": SMALL_QUEUES}
    machine = Machine(driver, cells={"tables": "root-at-attach"}, iommu=geometry)
    machine.boot()
    core = machine.core
    domain = machine.run(core.domain_alloc("other", "dev0"))
    machine.memory.poke(domain.object.mode.address, 8, IosatpMode.SV57)
    before = machine.kernel.pages.purposes()
    with pytest.raises(KernelError, match="the IOMMU has no SV57"):
        machine.run(core.replace("dev0", domain))
    assert machine.table_of(domain)[1] == 0
    assert machine.kernel.pages.purposes() == before


@dataclass(frozen=True)
class NotedBonds(ReviewedBonds):
    """Tells when it is asked to link and to unlink."""

    told: list[str] = field(default_factory=list)

    async def link(self, driver: Skeleton, iommu: IommuDevice, domain: DomainObject, bond: Bond) -> None:
        self.told.append("link")
        await super().link(driver, iommu, domain, bond)

    async def unlink(self, driver: Skeleton, iommu: IommuDevice, device: Device, domain: DomainObject) -> bool:
        self.told.append("unlink")
        return await super().unlink(driver, iommu, device, domain)


def test_v2_links_the_new_bond_before_it_unlinks_the_old_one() -> None:
    """A device that moves is on one list at any time."""
    bonds = NotedBonds()
    machine = Machine(replace(variant("v2"), bonds=bonds))
    machine.boot()
    other = machine.run(machine.core.domain_alloc("other", "dev0"))
    machine.run(machine.core.replace("dev0", other))
    assert bonds.told == ["link", "link", "unlink"]


def test_v2_gives_a_number_back_with_the_last_device_that_has_left_for_another_domain() -> None:
    """Where each IOMMU numbers the domains that it serves."""
    machine = Machine("v2", cells={"pscid": "per-iommu"})
    machine.boot()
    other = machine.run(machine.core.domain_alloc("other", "dev0"))
    machine.run(machine.core.replace("dev0", other))
    assert pscids(machine) == {"iommu0": {2}}
