"""Runs made by hand, as a study keeps them."""

from collections.abc import Mapping, Sequence

from cosim.study.results.results import Results, SweepRow
from cosim.study.results.stored import Stored

ENTRIES = "iommu0.geometry.iotlb_entries"
READ = "nic0.read.mean_ps"


def stored(point: str = "a", replication: int = 0, outcome: str = "ok", **numbers: float) -> Stored:
    """A run of a point; numbers by name, `read` standing for the mean latency of reads."""
    named: Mapping[str, float] = {READ if name == "read" else name: value for name, value in numbers.items()}
    return Stored(
        id=f"{point}{replication}",
        point=point,
        replication=replication,
        seed=replication,
        outcome=outcome,
        reason="" if outcome == "ok" else "in words",
        digest=f"{point}-{replication}",
        numbers=named,
        histograms={"nic0.read": {200_000: 7, 300_000: 1}} if named else {},
    )


def swept(results: Results, points: Mapping[str, int], runs: Sequence[Stored] = (), model: str = "") -> SweepRow:
    """A sweep over the entries of the IOTLB: points by name, and the number of entries of each."""
    written = [str(entries) for entries in points.values()]
    row = results.begin(SweepRow("cosim sweep tiny", "tiny", "parts: {}\n", {ENTRIES: written}, (READ,)))
    results.plan(row, [(at, point, {ENTRIES: str(points[point])}) for at, point in enumerate(points)])
    for point, entries in points.items():
        results.note(point, "merged", f"parts: {{iommu0: {entries}}}\n")
    for run in runs:
        results.add(run, model)
    return row
