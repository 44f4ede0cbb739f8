"""pcie-bench's latency against the window: calibrated on three windows of one test, predicted on all others."""

from __future__ import annotations

from collections.abc import Iterator

from validation import pcie_bench
from validation.pcie_bench import FILE, HOSTS, SOURCE, Host
from validation.runs import Runs
from validation.target import Outcome, Row, Target

MOST_KB = 8192
"""Beyond this window the data leave the last-level cache, which is not modelled."""
ON_KB = (256, 1024, 4096)
READ = "nic0.read.mean_ps"
WINDOW = "nic0.traffic.window"
TESTS = {
    "lat_cmd_sweep_rd_rnd_64": ("64 B", 64),
    "lat_cmd_sweep_rd_rnd_08": ("8 B", 8),
    "lat_dma_sweep_rd_rnd_64": ("64 B, DMA engine", 64),
}
FIRST = "lat_cmd_sweep_rd_rnd_64"
WALK_NS = 2
"""What a walk takes beside its read: timing.walk_start and timing.walk_step."""
LINK, MEMORY, ENTRIES = "nic0.link", "dram0.latency", "iommu0.geometry.iotlb_entries"
BOUNDS = {LINK: "0 ns..250 ns", MEMORY: "50 ns..400 ns", ENTRIES: "32..256"}
SHORT, LONG = "1500 us", "12 ms"
"""When runs end that always take the same, and those that count: some 20,000 requests."""


def run(runs: Runs) -> Outcome:
    """All hosts, tests, and sizes of pages."""
    rows: list[Row] = []
    parameters: dict[str, dict[str, str]] = {}
    for host in HOSTS:
        found = calibrated(runs, host)
        parameters[host.name] = found
        rows += predicted(runs, host, found)
    return Outcome(rows, "ns", parameters)


def calibrated(runs: Runs, host: Host) -> dict[str, str]:
    """What a hit takes, what a miss takes more, and how many entries there are, from three windows of 64 B reads."""
    fitted = runs.fit(
        "pcie_bench",
        FILE,
        value=f"{READ}=value_iommu ns",
        at={WINDOW: "window_kb KiB"},
        parameters=BOUNDS,
        rows={
            "source_dir": host.folder_of(superpages=False),
            "test": FIRST,
            "metric": "avg_ns",
            "window_kb": list(ON_KB),
        },
        on={"window_kb": list(ON_KB)},
        start=closed_form(host),
        rough=SHORT,
        until=LONG,
    )
    return dict(fitted.values)


def closed_form(host: Host) -> dict[str, str]:
    """Where the calibration begins: on the same three windows hit + P (1 - E / N) has one solution."""
    hit, some, many = (pcie_bench.measured(host, FIRST, "avg_ns", window) or 0.0 for window in ON_KB)
    few_pages, many_pages = (window / 4 for window in ON_KB[1:])
    more, most = some - hit, many - hit
    entries = (most - more) / (most / few_pages - more / many_pages)
    penalty = more / (1 - entries / few_pages)
    return {
        LINK: f"{(hit - penalty) / 2:.3f} ns",
        MEMORY: f"{penalty - WALK_NS:.3f} ns",
        ENTRIES: str(round(entries)),
    }


def predicted(runs: Runs, host: Host, found: dict[str, str]) -> Iterator[Row]:
    """Every test and window; of other tests what a hit takes is calibrated on the window that the IOTLB holds."""
    for test, (series, size) in TESTS.items():
        for superpages in (False, True):
            yield from _series(runs, host, test, size, found, superpages=superpages, series=series)


def _series(
    runs: Runs, host: Host, test: str, size: int, found: dict[str, str], *, superpages: bool, series: str
) -> Iterator[Row]:
    windows = [
        window
        for window in pcie_bench.windows(host, test, "avg_ns", MOST_KB)
        if not superpages or window in (256, 1024, 8192)
    ]
    hit = pcie_bench.measured(host, test, "avg_ns", 256)
    base = pcie_bench.measured(host, FIRST, "avg_ns", 256)
    assert hit is not None
    assert base is not None
    link_ns = float(found[LINK].removesuffix(" ns")) + (hit - base) / 2
    sets = {
        **found,
        LINK: f"{link_ns:.3f} ns",
        "nic0.traffic.size": f"{size} B",
        "nic0.traffic.page": "2 MiB" if superpages else "4 KiB",
    }
    lengths = [SHORT if superpages or window <= ON_KB[0] else LONG for window in windows]
    points = [{WINDOW: f"{window:g} KiB", "run.until": until} for window, until in zip(windows, lengths, strict=True)]
    means = runs.means("pcie_bench", points, READ, sets=sets)
    for window, mean in zip(windows, means, strict=True):
        value = pcie_bench.measured(host, test, "avg_ns", window, superpages=superpages)
        if value is not None:
            on = (test == FIRST and window in ON_KB) or window == 256
            yield Row(
                f"{host.name}, {series}, {'2 MiB' if superpages else '4 KiB'} pages",
                f"{window:g} KiB",
                value,
                mean.value / 1000,
                on and not superpages,
                mean.half / 1000,
            )


TARGET = Target(
    "pcie-bench-latency",
    "pcie-bench: read latency against the window",
    "predicted",
    SOURCE,
    "One DMA read at a time, at random in a window of so many 4 KiB pages. Three numbers of each host are "
    "calibrated on three windows of the 64 B test (64, 256 and 1,024 pages): what a hit takes (the device's link), "
    "what a miss takes more (the memory's latency), and the entries of the IOTLB. Every other window is predicted; of "
    "the tests with 8 B and with the DMA engine a hit's time is calibrated on 64 pages, and nothing else; of "
    "superpages nothing is.",
    run,
    0.005,
    "Windows above 8 MiB are left out: there the data leave the host's last-level cache, which shows without an IOMMU "
    "as well, and is not modelled.",
)
