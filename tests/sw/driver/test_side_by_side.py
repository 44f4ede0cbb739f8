"""Two CPUs do the same thing at the same moment: what both begin one of them ends, and nothing is left over."""

from __future__ import annotations

import pytest

from cosim.sw.iommu_map import iommu_map
from cosim.sw.iommu_ops import Prot
from cosim.units.quantities import MS
from tests.sw.driver.machine import DRAM, SIZE, SMALL_QUEUES, Machine

PAGE = 4096
IOVA = 0x4000_0000
DATA = DRAM + SIZE // 2


def machine_of(variant: str = "merged") -> Machine:
    return Machine(variant, cpus=2, iommu={"geometry": SMALL_QUEUES | {"ddt_levels": 3}})


def test_two_probes_that_make_the_same_tables_of_the_directory_keep_one_of_each() -> None:
    machine = machine_of()
    machine.run(machine.core.probe_iommu(machine.hardware[0]))
    for cpu, device_id in (("cpu0", 1), ("cpu1", 2)):
        machine.start(machine.core.probe_device(f"dev{device_id}", (device_id,), "iommu0"), cpu=cpu, name="probe")
    machine.go(machine.sim.now + 1 * MS)
    assert set(machine.core.devices) == {"dev1", "dev2"}
    assert machine.kernel.pages.purposes()["ddt"] == 3 * PAGE, "one for each level"


@pytest.mark.parametrize("variant", ["merged", "current"])
def test_two_maps_that_make_the_same_page_tables_keep_one_of_each(variant: str) -> None:
    machine, alone = machine_of(variant), machine_of(variant)
    domain = machine.boot()
    for cpu, page in (("cpu0", 0), ("cpu1", 1)):
        body = iommu_map(machine.driver, domain, IOVA + page * PAGE, DATA + page * PAGE, PAGE, Prot.READ)
        machine.start(body, cpu=cpu, name="map")
    machine.go(machine.sim.now + 1 * MS)
    assert [machine.read(1, IOVA + page * PAGE) for page in (0, 1)] == [DATA, DATA + PAGE]
    domain = alone.boot()
    alone.run(iommu_map(alone.driver, domain, IOVA, DATA, PAGE, Prot.READ))
    assert machine.kernel.pages.purposes()["table"] == alone.kernel.pages.purposes()["table"]
