"""What is derived from cumulative counters: rates over the window."""

from __future__ import annotations

from cosim.system.counters import derived
from cosim.units.quantities import NS


def test_rates_are_of_the_window_of_all_places_and_in_bits() -> None:
    counted = {"dram0.port.busy_ps": 150 * NS, "iommu0.cq.depth_ps": 250 * NS, "dram0.read_bytes": 1000}
    assert derived(counted, {"dram0.port": 2}, 100 * NS) == {
        "dram0.port.utilisation": 0.75,
        "iommu0.cq.depth_mean": 2.5,
        "dram0.read_gbps": 80.0,
    }
    assert derived(counted, {}, 0) == {}
