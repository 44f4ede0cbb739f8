"""pcie-bench's throughput against the window and the size of requests, with what a hit and a miss take from latency."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from validation import kept, pcie_bench
from validation.latency import ENTRIES, FIRST, LINK, WINDOW, closed_form
from validation.pcie_bench import FILE, HOSTS, SOURCE, Host
from validation.runs import Runs
from validation.target import Outcome, Row, Table, Target

HEADER = 24
LINK_GBPS = 63.0
"""PCIe gen 3 x8."""
ENGINE = "lat_dma_sweep_rd_rnd_64"
"""The latency of the device's DMA engine, which makes the requests of the throughput tests."""
READS = {64: 35, 128: 35, 256: 17, 512: 17}
"""Reads under way, of each size: 35 by Little's law from the rate and the latency of 64 B, of either host."""
WRITES = 64
PLACES, INTERVAL = "iommu0.geometry.in_flight", "iommu0.timing.walk_read_interval"
TURNAROUND, LINE = "iommu0.timing.turnaround", "iommu0.timing.turnaround_line"
ALLOCATION, ORDER, UNTIL = "iommu0.geometry.iotlb_allocation", "iommu0.geometry.order", "iommu0.geometry.place_until"
FOR = {"rd": 6, "wr": 64}
"""Places for reads, and for writes."""
ORDERS = {HOSTS[0].name: "kind", HOSTS[1].name: "writes"}
WINDOWS = {
    64: (256, 512, 1024, 1536, 2048, 3072, 4096, 8192),
    128: (256, 512, 1024, 4096, 8192),
    256: (256, 512, 1024, 4096, 8192),
    512: (256, 1024, 8192),
}
WAYS = {"rd": "read", "wr": "write"}
ON_KB = 4096
ALSO_ON = (("rd", 64, 512), ("rd", 64, 1024), ("rd", 256, 1024))
"""Where a choice was made: of the order, the places, and how many reads of 256 B are under way."""

HYPOTHESES: Mapping[str, Mapping[str, object]] = {
    "as calibrated": {},
    "reads keep their order": {ORDER: "kind"},
    "reads are answered in any order": {ORDER: "writes"},
    "a place is kept until its turn has come": {ORDER: "kind", UNTIL: "departure"},
    "the entry is taken at the fill": {ALLOCATION: "fill"},
    "a place is free once its request is translated": {TURNAROUND: "0"},
    "64 places": {PLACES: 64},
    "7 places": {PLACES: 7},
}
OF_LARGE: Mapping[str, Mapping[str, object]] = {
    "as calibrated": {},
    "35 under way, as of 64 B": {"nic0.traffic.outstanding": 35},
    "further lines take nothing": {LINE: "0"},
}
TRIED_KB = (512, 1024, 4096, 8192)


def run(runs: Runs) -> Outcome:
    """Reads, then writes, of each host, with what was tried beside."""
    rows: list[Row] = []
    parameters: dict[str, dict[str, str]] = {}
    tables: list[Table] = []
    for host in HOSTS:
        found = kept.read()["pcie-bench-latency"].outcome.parameters[host.name]
        chosen = parameters[host.name] = calibrated(runs, host, found)
        for way in WAYS:
            for size in WINDOWS:
                rows += _rows(runs, host, way, size, chosen)
    for host in HOSTS:
        tables.append(tried(runs, host, 64, parameters[host.name], HYPOTHESES))
        tables.append(tried(runs, host, 256, parameters[host.name], OF_LARGE))
    return Outcome(rows, "M/s", parameters, tables)


def calibrated(runs: Runs, host: Host, found: Mapping[str, str]) -> dict[str, str]:
    """All parameters of a host: those of the latency test, and three numbers from a point each.

    The entries are those of the closed form, which draws nothing: of 128 pages one more or less is a third of the
    misses.
    """
    chosen = {**found, ENTRIES: closed_form(host)[ENTRIES], ORDER: ORDERS[host.name]}
    for way, size, path, bounds, start in (
        ("wr", 64, INTERVAL, "40 ns..70 ns", "50 ns"),
        ("rd", 64, TURNAROUND, "1 ns..100 ns", "45 ns"),
        ("rd", 256, LINE, "1 ns..40 ns", "12 ns"),
    ):
        fitted = runs.fit(
            "pcie_bench_throughput",
            FILE,
            value=f"nic0.{_number(way)}=value_iommu*{8e-9 * size:.3e}",
            at={WINDOW: "window_kb KiB"},
            parameters={path: bounds},
            rows={"source_dir": host.folder_of(superpages=False), "test": _test(way, size), "window_kb": [ON_KB]},
            on={"window_kb": [ON_KB]},
            start={path: start},
            sets=_system(host, way, size, chosen),
        )
        chosen |= dict(fitted.values)
    return chosen


def _rows(runs: Runs, host: Host, way: str, size: int, chosen: Mapping[str, str]) -> Iterator[Row]:
    rates = _rates(runs, way, size, WINDOWS[size], _system(host, way, size, chosen))
    for window, rate in zip(WINDOWS[size], rates, strict=True):
        measured = pcie_bench.measured(host, _test(way, size), "trans_per_s", window)
        assert measured is not None
        fitted = window == ON_KB and (way, size) in {("wr", 64), ("rd", 64), ("rd", 256)}
        on = window == 256 or fitted or (way, size, window) in ALSO_ON
        yield Row(f"{host.name}, {size} B {WAYS[way]}s", f"{window / 4:g} pages", measured / 1e6, rate, on)


def tried(
    runs: Runs, host: Host, size: int, chosen: Mapping[str, str], hypotheses: Mapping[str, Mapping[str, object]]
) -> Table:
    """The error of reads under each hypothesis, nothing calibrated anew."""
    rows = []
    for name, changes in hypotheses.items():
        if changes == {ORDER: chosen[ORDER]}:
            continue
        measured = [pcie_bench.measured(host, _test("rd", size), "trans_per_s", window) or 1.0 for window in TRIED_KB]
        rates = _rates(runs, "rd", size, TRIED_KB, {**_system(host, "rd", size, chosen), **changes})
        errors = [100 * (rate * 1e6 / value - 1) for rate, value in zip(rates, measured, strict=True)]
        rows.append((name, *(f"{error:+.1f}" for error in errors)))
    headings = ("error in %, at pages", *(f"{window // 4:,}" for window in TRIED_KB))
    return Table(f"What was tried: {size} B reads of {host.name}", headings, rows)


def _rates(runs: Runs, way: str, size: int, windows: Sequence[int], sets: Mapping[str, object]) -> list[float]:
    """Million requests a second."""
    points = [{WINDOW: f"{window} KiB"} for window in windows]
    means = runs.means("pcie_bench_throughput", points, f"nic0.{_number(way)}", sets=sets)
    return [1000 * mean.value / (8 * size) for mean in means]


def _system(host: Host, way: str, size: int, chosen: Mapping[str, str]) -> dict[str, object]:
    return {**chosen, PLACES: FOR[way], **_device(host, way, size, chosen)}


def _device(host: Host, way: str, size: int, chosen: Mapping[str, str]) -> dict[str, object]:
    """The device, from what it does where the IOTLB holds everything.

    Of 64 B reads as many are under way as it has numbers for, and the link has room; what limits the others is taken
    as a rate. A hit takes what the latency test of the DMA engine says, and longer by the bytes on the link.
    """
    rate = pcie_bench.measured(host, _test(way, size), "trans_per_s", 256)
    engine, command = (pcie_bench.measured(host, test, "avg_ns", 256) for test in (ENGINE, FIRST))
    assert rate is not None
    assert engine is not None
    assert command is not None
    each_ns = 1e9 / rate
    outstanding = READS[size] if way == "rd" else WRITES
    if way == "rd" and size == 64:
        gbps, hit_ns = LINK_GBPS, outstanding * each_ns
    else:
        gbps, hit_ns = 8 * (size + HEADER) / each_ns, engine + 8 * (size - 64) / LINK_GBPS
    on_link_ns = 8 * (2 * HEADER + size) / gbps
    link_ns = float(chosen[LINK].removesuffix(" ns")) + (hit_ns - command - on_link_ns) / 2
    return {
        LINK: f"{max(0.0, link_ns):.3f} ns",
        "nic0.bandwidth": f"{gbps:.4f} Gb/s",
        "nic0.traffic.size": f"{size} B",
        "nic0.traffic.read": 1.0 if way == "rd" else 0.0,
        "nic0.traffic.outstanding": outstanding,
    }


def _test(way: str, size: int) -> str:
    return f"bw_dma_win_sweep_{way}_rnd_{size}"


def _number(way: str) -> str:
    return "read_gbps" if way == "rd" else "written_gbps"


TARGET = Target(
    "pcie-bench-throughput",
    "pcie-bench: throughput against the window and the size",
    "predicted",
    SOURCE,
    "Random requests, as many as the device can have under way. What a miss takes more, and the IOTLB's entries, are "
    "those of the latency test; what a hit takes is what the DMA engine's latency test says, since that engine makes "
    "the requests. Each size's rate on 64 pages, which all fit, is the device's; of 64 B reads it is that of 35 under "
    "way, by Little's law, on a link of 63 Gb/s. Three numbers of a host are calibrated, each on one rate at 1,024 "
    "pages: how far apart walks start (64 B writes), how long a place is held when a read is translated (64 B reads), "
    "and how much longer for each further line (256 B reads). Of both hosts reads have 6 places, entries are taken at "
    "the miss, and 17 reads of 256 B are under way, chosen on 256 pages. Whether a read that misses holds up those "
    "behind it is chosen for each host on 128 pages with 64 B. Everything else is predicted.",
    run,
    0.03,
    "Six reads are translated at a time, of both hosts; a place is held until the read is translated and some 30 to "
    "60 ns more, and longer for each further line of 64 B, but not while a translated read waits for its turn: that is "
    "what 64 B, 128 B and 256 B have in common, as the tables of what was tried say. Writes are posted and hold no "
    "places. That Haswell answers reads in order and Ivy Bridge in any is chosen by one point each, and nothing else "
    "tells: with the other order the knee is far off, and the rest is hardly touched. Farther off than the 3 % "
    "that are wanted are reads of 128 B, by up to 6.6 %, single reads of 256 B and 512 B, by up to 5 %, writes beyond "
    "the knee, by up to 5.2 %, and Ivy Bridge's writes of 256 B, by 11.6 %, whose walks start closer together than "
    "those of 64 B.",
)
