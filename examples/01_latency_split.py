"""Run a topology from Python, and print what the mean latency of each DMA master's reads is made of."""

import cosim

result = cosim.run("quickstart", set={"iommu0.geometry.walkers": 4})

print(result.limit)
print()
print(f"{'':12} {'reads':>6} {'mean ns':>8}  made of")
for name, latency in result.latencies.items():
    if name.endswith(".read"):
        assert sum(latency.parts.values()) == latency.mean_ps  # exactly
        largest = sorted(latency.parts, key=lambda part: -latency.parts[part])[:4]
        parts = ", ".join(f"{part} {latency.parts[part] / 1000:.1f}" for part in largest)
        print(f"{name:12} {latency.count:6} {latency.mean_ps / 1000:8.1f}  {parts}, ...")

hits, misses = (result.scalars[f"iommu0.iotlb.{what}"] for what in ("hits", "misses"))
print()
print(f"IOTLB: {hits / (hits + misses):.1%} of {hits + misses} look-ups hit")
