"""pcie-bench's throughput against the window and the size of requests, with what a hit and a miss take from latency."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import log

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
READS = {64: 35, 128: 35, 256: 17, 512: 12}
"""Reads under way, of each size: 35 by Little's law from the rate and the latency of 64 B, of either host."""
WRITES = 64
PLACES, WALKERS, INTERVAL = (
    f"iommu0.{name}" for name in ("geometry.in_flight", "geometry.walkers", "timing.walk_read_interval")
)
TURNAROUND, LARGE, LINE, WALKER = (
    f"iommu0.timing.{name}" for name in ("turnaround", "turnaround_large", "turnaround_line", "walker_turnaround")
)
ALLOCATION, ORDER, UNTIL = "iommu0.geometry.iotlb_allocation", "iommu0.geometry.order", "iommu0.geometry.place_until"
FOR = {"rd": 6, "wr": 10}
"""Places for reads, and for writes."""
CHOSEN = {
    HOSTS[0].name: {ORDER: "kind", ALLOCATION: "miss"},
    HOSTS[1].name: {ORDER: "writes", ALLOCATION: "fill"},
}
WINDOWS = {
    64: (256, 512, 1024, 1536, 2048, 3072, 4096, 8192),
    128: (256, 512, 1024, 4096, 8192),
    256: (256, 512, 1024, 4096, 8192),
    512: (256, 1024, 8192),
}
WAYS = {"rd": "read", "wr": "write"}
BALANCED = (64, 128)
"""The sizes of writes between which the walkers' turnaround is balanced."""
ON_KB = 4096
ALSO_ON = (("rd", 64, 512), ("rd", 64, 1024), ("wr", 64, 1024), ("rd", 256, 1024))
"""Where a choice was made: of the order, the places, and how many reads of 256 B are under way."""
ALSO_OF = {HOSTS[1].name: ("rd", 512, 8192)}
"""Where it was chosen how many reads of 512 B are under way."""

HYPOTHESES: Mapping[str, Mapping[str, object]] = {
    "as calibrated": {},
    "reads keep their order": {ORDER: "kind"},
    "reads are answered in any order": {ORDER: "writes"},
    "a place is kept until its turn has come": {ORDER: "kind", UNTIL: "departure"},
    "the entry is taken at the fill": {ALLOCATION: "fill"},
    "the entry is taken at the miss": {ALLOCATION: "miss"},
    "a place is free once its request is translated": {TURNAROUND: "0"},
    "64 places": {PLACES: 64},
    "5 places": {PLACES: 5},
    "7 places": {PLACES: 7},
}
OF_LARGE: Mapping[str, Mapping[str, object]] = {
    "as calibrated": {},
    "35 under way, as of 64 B": {"nic0.traffic.outstanding": 35},
    "large ones take no longer": {LARGE: "0"},
}
OF_WRITES: Mapping[str, Mapping[str, object]] = {
    "as calibrated": {},
    "a walker is free at once": {WALKER: "0"},
    "five walkers, free at once": {WALKERS: 5, WALKER: "0"},
    "6 places": {PLACES: 6},
    "64 places": {PLACES: 64},
    "the entry is taken at the fill": {ALLOCATION: "fill"},
    "the entry is taken at the miss": {ALLOCATION: "miss"},
}
TRIED_WRITES = ((64, 1024), (64, 8192), (128, 1024), (128, 8192), (256, 8192))
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
        chosen = parameters[host.name]
        tables.append(tried(runs, host, 64, chosen, HYPOTHESES))
        lines = {LARGE: "0", LINE: f"{float(chosen[LARGE].removesuffix(' ns')) / 3:.3f} ns"}
        tables.append(tried(runs, host, 128, chosen, {"as calibrated": {}, "each further line takes a third": lines}))
        tables.append(tried(runs, host, 256, chosen, OF_LARGE))
        tables.append(tried_writes(runs, host, chosen))
    return Outcome(rows, "M/s", parameters, tables)


def calibrated(runs: Runs, host: Host, found: Mapping[str, str]) -> dict[str, str]:
    """All parameters of a host: those of the latency test, and three numbers from four points.

    The entries are those of the closed form, which draws nothing: of 128 pages one more or less is a third of the
    misses.
    """
    chosen = {**found, ENTRIES: closed_form(host)[ENTRIES], **CHOSEN[host.name]}
    chosen |= _fitted(runs, host, 64, TURNAROUND, "1 ns..120 ns", "55 ns", chosen)
    chosen[WALKER] = _walker(runs, host, chosen)
    return chosen | _fitted(runs, host, 256, LARGE, "1 ns..150 ns", "40 ns", chosen)


def _fitted(
    runs: Runs, host: Host, size: int, path: str, bounds: str, start: str, chosen: Mapping[str, str]
) -> dict[str, str]:
    """A parameter, from the rate of reads of one size."""
    fitted = runs.fit(
        "pcie_bench_throughput",
        FILE,
        value=f"nic0.{_number('rd')}=value_iommu*{8e-9 * size:.3e}",
        at={WINDOW: "window_kb KiB"},
        parameters={path: bounds},
        rows={"source_dir": host.folder_of(superpages=False), "test": _test("rd", size), "window_kb": [ON_KB]},
        on={"window_kb": [ON_KB]},
        start={path: start},
        sets=_system(host, "rd", size, chosen),
    )
    return dict(fitted.values)


def _walker(runs: Runs, host: Host, chosen: Mapping[str, str]) -> str:
    """How long a walker is taken after its walk: so that one size of writes is as much too fast as another too slow."""

    def error(ns: float) -> float:
        total = 0.0
        for size in BALANCED:
            sets = {**_system(host, "wr", size, chosen), WALKER: f"{ns:.2f} ns"}
            measured = pcie_bench.measured(host, _test("wr", size), "trans_per_s", ON_KB)
            assert measured is not None
            total += log(_rates(runs, "wr", size, (ON_KB,), sets)[0] * 1e6 / measured)
        return total / len(BALANCED)

    low, high = 20.0, 70.0
    ends = error(low), error(high)
    middle = low
    for _ in range(5):
        middle = low + (high - low) * ends[0] / (ends[0] - ends[1])
        found = error(middle)
        if abs(found) < 0.002:
            break
        low, high, ends = (middle, high, (found, ends[1])) if found > 0 else (low, middle, (ends[0], found))
    return f"{middle:.2f} ns"


def _rows(runs: Runs, host: Host, way: str, size: int, chosen: Mapping[str, str]) -> Iterator[Row]:
    rates = _rates(runs, way, size, WINDOWS[size], _system(host, way, size, chosen))
    for window, rate in zip(WINDOWS[size], rates, strict=True):
        measured = pcie_bench.measured(host, _test(way, size), "trans_per_s", window)
        assert measured is not None
        fitted = window == ON_KB and (way, size) in {("wr", 64), ("wr", 128), ("rd", 64), ("rd", 256)}
        point = (way, size, window)
        on = window == 256 or fitted or point in ALSO_ON or point == ALSO_OF.get(host.name)
        yield Row(f"{host.name}, {size} B {WAYS[way]}s", f"{window / 4:g} pages", measured / 1e6, rate, on)


def tried(
    runs: Runs, host: Host, size: int, chosen: Mapping[str, str], hypotheses: Mapping[str, Mapping[str, object]]
) -> Table:
    """The error of reads under each hypothesis, nothing calibrated anew."""
    rows = []
    for name, changes in hypotheses.items():
        if _is_chosen(changes, chosen):
            continue
        measured = [pcie_bench.measured(host, _test("rd", size), "trans_per_s", window) or 1.0 for window in TRIED_KB]
        rates = _rates(runs, "rd", size, TRIED_KB, {**_system(host, "rd", size, chosen), **changes})
        errors = [100 * (rate * 1e6 / value - 1) for rate, value in zip(rates, measured, strict=True)]
        rows.append((name, *(f"{error:+.1f}" for error in errors)))
    headings = ("error in %, at pages", *(f"{window // 4:,}" for window in TRIED_KB))
    return Table(f"What was tried: {size} B reads of {host.name}", headings, rows)


def tried_writes(runs: Runs, host: Host, chosen: Mapping[str, str]) -> Table:
    """The error of writes under each hypothesis, nothing calibrated anew."""
    rows = []
    for name, changes in OF_WRITES.items():
        if _is_chosen(changes, chosen):
            continue
        errors = []
        for size, window in TRIED_WRITES:
            measured = pcie_bench.measured(host, _test("wr", size), "trans_per_s", window) or 1.0
            (rate,) = _rates(runs, "wr", size, (window,), {**_system(host, "wr", size, chosen), **changes})
            errors.append(100 * (rate * 1e6 / measured - 1))
        rows.append((name, *(f"{error:+.1f}" for error in errors)))
    headings = ("error in %, of", *(f"{size} B, {window // 4:,} pages" for size, window in TRIED_WRITES))
    return Table(f"What was tried: writes of {host.name}", headings, rows)


def _is_chosen(changes: Mapping[str, object], chosen: Mapping[str, str]) -> bool:
    """Whether a hypothesis is what was chosen anyway."""
    return len(changes) == 1 and all(chosen.get(path) == value for path, value in changes.items())


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
    "way, by Little's law, on a link of 63 Gb/s. Both hosts have six walkers, six places for reads and ten for "
    "writes. Three numbers of a host are calibrated, on rates at 1,024 pages: how long a walker is taken beyond its "
    "walk (64 B and 128 B writes, as much too fast as too slow), how long a place is held when a read is translated "
    "(64 B reads), and how much longer for a read of more than two lines (256 B reads). That 17 reads of 256 B are "
    "under way is chosen on 256 pages, that 12 of 512 B are, on Ivy Bridge's 2,048. Two things are chosen for each "
    "host: whether a read that misses holds up those behind it, on 128 pages with 64 B reads, and whether an entry is "
    "taken at the miss or at the fill, on 256 pages with 64 B writes. Everything else is predicted.",
    run,
    0.03,
    "Both hosts are explained by sixes: six walks at a time, each of which takes a walker some 40 ns longer than its "
    "request, and six reads at a time, which hold their places 40 to 70 ns after their translation, hits as well. One "
    "line or two hold it alike, and four some 30 to 60 ns longer; a place is not held while a translated read waits "
    "for its turn. Writes are posted, and a hit holds nothing up. That Haswell answers reads in order and takes its "
    "entries at the miss, and Ivy Bridge does neither, is chosen by one point each: with the other order the knee is "
    "far off, and the rest is hardly touched. Farther off than is wanted are: Ivy Bridge's writes of 256 B, by 11.8 "
    "%, whose walks come as close together as six walkers allow that are free at once (49.9 ns for each miss; 298 ns "
    "by six are 49.7 ns), while those of 64 B and 128 B take 56.7 ns and 55.9 ns, as if it were the memory: beyond "
    "the last-level cache they take 53.7 ns and 52.2 ns; Ivy Bridge's reads of 128 B on 256 pages, by 10.7 %, which "
    "its reads of 64 B share by half; Haswell's writes of 128 B and 256 B on 2,048 pages, by 3.5 %, which take 3 % "
    "less for each miss than those of 64 B, on all pages; and the knee of Haswell's reads, 128 pages: of 64 B, where "
    "the order was chosen, and of 128 B by 5.2 %, where 5 % is wanted of a knee, and of 256 B by 3.4 %. What was "
    "tried on a numerical model of the same requests, which agrees with this one within 1 %, but for 4 % of Ivy "
    "Bridge on 256 pages, and is not in the model: a place that is held until its answer is all but 25 ns on the "
    "link, instead of a longer one for large reads: all reads of Ivy Bridge within 3.4 %, those of Haswell off by up "
    "to 7.8 %; a page that is walked for twice and then takes two entries: Haswell's knee -2.7 % without any order, "
    "Ivy Bridge's -18.6 %; data and tables that share a port of memory, 3 to 8.5 ns for each line: Haswell's reads "
    "off by 4.7 % at best; 24 reads of 128 B under way, which Little's law says as well: Ivy Bridge's 256 pages +5 %, "
    "Haswell's knee -15 %; a walk that takes another time each time, which the 95th percentile of the latency rules "
    "out; a larger request that asks for more translations, which is the wrong way round, since larger writes have "
    "the shorter walks.",
)
