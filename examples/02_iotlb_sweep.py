"""Sweep the IOTLB's entries against the window that a device reads at random, in a pool of processes."""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import product

import cosim
from cosim.study.run.result import Result

ENTRIES = (8, 16, 32, 64)
PAGES = (16, 32, 64, 128)

ALONE = {
    "threads": [],
    "disk0.traffic.pattern": "none",
    "gpu0.traffic.outstanding": 1,
    "run.warmup": "220 us",  # the first touch of a page is a miss, however large the IOTLB is
    "run.until": "320 us",
}


def run(point: tuple[int, int]) -> Result:
    """One run, with so many entries and a window of so many pages."""
    entries, pages = point
    return cosim.run(
        "quickstart",
        set={**ALONE, "iommu0.geometry.iotlb_entries": entries, "gpu0.traffic.window": f"{4 * pages} KiB"},
    )


def cell(result: Result) -> str:
    """The mean latency of a read, and the IOTLB's hit rate."""
    hits, misses = (result.scalars[f"iommu0.iotlb.{what}"] for what in ("hits", "misses"))
    return f"{result.latencies['gpu0.read'].mean_ps / 1000:6.1f} ns {hits / (hits + misses):4.0%}"


def table(results: dict[tuple[int, int], Result]) -> Iterator[str]:
    """A line for each number of entries."""
    yield "entries | " + " | ".join(f"{pages:8} pages" for pages in PAGES)
    for entries in ENTRIES:
        yield f"{entries:7} | " + " | ".join(cell(results[entries, pages]) for pages in PAGES)


if __name__ == "__main__":
    points = list(product(ENTRIES, PAGES))
    with ProcessPoolExecutor(2) as pool:
        results = dict(zip(points, pool.map(run, points), strict=True))
    print("mean latency of a read, and hit rate of the IOTLB, which is entries / pages for a random window")
    print("\n".join(table(results)))
