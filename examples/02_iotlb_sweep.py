"""Sweep the IOTLB's entries against the window that a device reads at random, in a pool of processes."""

import cosim

ALONE = {
    "threads": [],
    "disk0.traffic.pattern": "none",
    "gpu0.traffic.outstanding": 1,
    "run.warmup": "220 us",  # the first touch of a page is a miss, however large the IOTLB is
    "run.until": "320 us",
}
AXES = {"iommu0.geometry.iotlb_entries": [8, 16, 32, 64], "gpu0.traffic.window": "64KiB..512KiB*2"}

print(cosim.sweep("quickstart", AXES, set=ALONE, metrics=["gpu0.read.mean_ps", "iommu0.iotlb.hit_rate"]))
