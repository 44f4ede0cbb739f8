"""An IOMMU leaves while others are busy with the devices behind it."""

from __future__ import annotations

from cosim.units.quantities import MS
from tests.sw.test_iommu_core import Bench


def test_a_device_that_is_unplugged_while_its_iommu_leaves_is_released_once_and_the_others_are_as_well() -> None:
    """The last one, while the first is being released."""
    bench = Bench()
    bench.machine.start(bench.core.remove_iommu("iommu0"), cpu="cpu0")
    bench.machine.start(bench.core.release_device("nic2"), cpu="cpu1")
    bench.machine.go(until=1 * MS)
    assert bench.driver.calls[:2] == ["attach nic0 home -> ", "attach nic2 home -> "]
    assert sorted(bench.driver.named("release")) == ["release nic0", "release nic1", "release nic2"]
    assert bench.driver.calls[-1] == "remove_iommu"
    assert not bench.core.iommus
    assert not bench.machine.log
    assert not bench.machine.touched
