"""pcie-bench's raw data: which hosts, tests and windows there are, and what was measured."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache

from validation.runs import DATA

FILE = "pcie_bench.csv"
SOURCE = (
    "Neugebauer et al., Understanding PCIe performance for end host networking, SIGCOMM 2018; raw data "
    "[pcie-bench/data](https://github.com/pcie-bench/data) commit b2abf2f, of which validation/data/pcie_bench.csv is "
    "a part. Netronome NFP6000, PCIe gen 3 x8, VT-d, data in the last-level cache"
)


@dataclass(frozen=True)
class Host:
    """A host: what it is called here, and the folder of its runs; those with 4 KiB pages alone end in -nosp."""

    name: str
    folder: str

    def folder_of(self, *, superpages: bool) -> str:
        """The folder of runs with superpages, or without."""
        return self.folder if superpages else f"{self.folder}-nosp"


HOSTS = (
    Host("Haswell E5-2620v3", "nfp6000-1.2GHz_hsw-Xeon-E5-2620v3_dell-t630-iommu"),
    Host("Ivy Bridge E5-2620v2", "nfp6000-1.2GHz_ib-Xeon-E5-2620v2_dell-t620-s0-s0-s0-iommu"),
)


@cache
def _table() -> dict[tuple[str, str, str, float], float]:
    with (DATA / FILE).open(newline="", encoding="utf-8") as file:
        return {
            (row["source_dir"], row["test"], row["metric"], float(row["window_kb"])): float(row["value_iommu"])
            for row in csv.DictReader(file)
        }


def measured(host: Host, test: str, metric: str, window_kb: float, *, superpages: bool = False) -> float | None:
    """What was measured with an IOMMU; None if that window was not."""
    return _table().get((host.folder_of(superpages=superpages), test, metric, window_kb))


def windows(host: Host, test: str, metric: str, most_kb: float) -> list[float]:
    """The windows of a test up to one, in KiB."""
    folder = host.folder_of(superpages=False)
    return sorted(key[3] for key in _table() if key[:3] == (folder, test, metric) and key[3] <= most_kb)
