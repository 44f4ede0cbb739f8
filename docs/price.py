"""What the remarks of the review cost and save: ratios of simulated times, each with the command that shows it again.

Without arguments all four tables; `devices`, `fence`, `identity` or `range` is one of them alone, `--csv FILE` writes
its numbers for a plot. `topology NAME [DEVICES IOMMUS]` prints the topology that a table is of.
"""

import argparse
import csv
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import cosim

SCRIPT = "docs/price.py"
Row = dict[str, object]

DRIVERS = ("v2", "merged", "ideal")
SIZES = ((1, 1), (4, 1), (16, 1), (64, 1), (8, 8), (64, 8))
"""Devices, and the IOMMUs that they are behind."""
FETCHES = ("20 ns", "2 us", "20 us", "200 us")
"""How long the command consumer takes to read a command."""
PAGES = (1, 8, 64, 256)
ROUNDS = 4


def devices_topology(devices: int, iommus: int) -> str:
    """So many devices of one domain, behind so many IOMMUs; a thread unmaps from it, then another attaches to it."""
    parts = "".join(
        f"  iommu{at}: {{kind: iommu, base: {0x0300_0000 + 0x1000 * at:#x}}}\n"
        f"  dev{at}n: {{kind: dma, count: {devices // iommus}, through: iommu{at}, traffic: {{pattern: none}}}}\n"
        for at in range(iommus)
    )
    return f"""\
parts:
  dram0: {{kind: memory, base: 0x8000_0000, size: 64 MiB}}
  cpu: {{kind: cpu, count: 2}}
{parts}  late0: {{kind: dma, through: iommu0, traffic: {{pattern: none}}}}
domains:
  shared: {{devices: dev*}}
threads:
  - {{on: cpu0, does: map-unmap, domain: shared, pages: 4, count: 2}}
  - {{on: cpu1, does: attach-detach, devices: late0, domains: shared, count: 2, start: 1 ms}}
run: {{until: threads}}
"""


FENCE = """\
parts:
  dram0: {kind: memory, base: 0x8000_0000, size: 64 MiB}
  cpu: {kind: cpu, count: 2}
  iommu0: {kind: iommu, base: 0x0300_0000}
  nic0: {kind: dma, through: iommu0, traffic: {pattern: none}}
threads:
  - {on: cpu0, does: map-unmap, domain: nic0, pages: 256, count: 1}
  - {on: cpu1, does: synchronize-rcu, count: 1, start: 80 us}
run: {until: threads, limit: 100 ms}
"""

IDENTITY = """\
parts:
  dram0: {kind: memory, base: 0x8000_0000, size: 64 MiB}
  cpu: {kind: cpu, count: 2}
  iommu0: {kind: iommu, base: 0x0300_0000, geometry: {iotlb_entries: 64}}
  gpu0: {kind: dma, through: iommu0, traffic: {pattern: random, size: 64 B, window: 128 KiB, interval: 100 ns}}
  nic0: {kind: dma, through: iommu0, traffic: {pattern: none}}
threads:
  - {on: cpu0, does: attach-detach, devices: nic0, domains: identity, stay: 2 us, gap: 2 us}
run: {until: 200 us, warmup: 20 us}
"""

RANGE = f"""\
parts:
  dram0: {{kind: memory, base: 0x8000_0000, size: 64 MiB}}
  cpu: {{kind: cpu, count: 2}}
  iommu0: {{kind: iommu, base: 0x0300_0000, geometry: {{iotlb_entries: 64}}}}
  gpu0: {{kind: dma, through: iommu0, traffic: {{pattern: random, size: 64 B, window: 128 KiB, interval: 100 ns}}}}
threads:
  - {{on: cpu0, does: map-unmap, domain: gpu0, pages: 1, count: {ROUNDS}, gap: 20 us, start: 30 us}}
run: {{until: 350 us, warmup: 20 us}}
"""

NAMED = {"fence": FENCE, "identity": IDENTITY, "range": RANGE}


def ran(text: str, driver: str, **given: object) -> cosim.Result:
    """The result of a topology that is given as text."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "price.yaml"
        path.write_text(text)
        return cosim.run(path, driver=driver, **given)  # type: ignore[arg-type]


def ns(result: cosim.Result, name: str) -> float:
    """The mean latency of this name."""
    return result.latencies[name].mean_ps / 1000


def hits(result: cosim.Result) -> tuple[int, int]:
    """Hits and misses of the IOTLB."""
    return int(result.scalars["iommu0.iotlb.hits"]), int(result.scalars["iommu0.iotlb.misses"])


def devices() -> Iterator[Row]:
    """Unmap and attach, by the number of devices and IOMMUs, as ratios to `merged`."""
    for count, iommus in SIZES:
        results = {driver: ran(devices_topology(count, iommus), driver) for driver in DRIVERS}
        for driver, result in results.items():
            unmap, whole = "cpu0.map-unmap.unmap", results["merged"]
            fences, of = (each.latencies[unmap].parts.get("fence", 0) for each in (result, whole))
            commands = [
                sum(int(each.scalars[f"iommu{at}.commands.total"]) for at in range(iommus)) for each in (result, whole)
            ]
            attach = "cpu1.attach-detach.attach"
            yield {
                "devices": count,
                "iommus": iommus,
                "driver": driver,
                "unmap": f"{ns(result, unmap) / ns(whole, unmap):.2f}",
                "its_fences": f"{fences / of:.2f}",
                "attach": f"{ns(result, attach) / ns(whole, attach):.2f}",
                "commands": f"{commands[0] / commands[1]:.2f}",
                "merged_unmap_ns": f"{ns(whole, unmap):.0f}",
            }


def fence() -> Iterator[Row]:
    """A grace period beside an unmap of 256 pages, whose fence is awaited in an RCU read section, or in none."""
    first = None
    for section, sets in (("yes", {}), ("no", {"driver.invalidate.without": "reading"})):
        for fetch in FETCHES:
            result = ran(FENCE, "merged", set={"iommu0.timing.command_fetch": fetch, **sets})
            waited = ns(result, "cpu1.synchronize-rcu.synchronize_rcu")
            first = first or waited
            unmap = ns(result, "cpu0.map-unmap.unmap")
            yield {
                "read_section": section,
                "command_fetch": fetch.replace(" ", ""),
                "unmap_us": f"{unmap / 1000:.1f}",
                "grace_period_us": f"{waited / 1000:.1f}",
                "grace_period": f"{waited / first:.2f}",
            }


def identity() -> Iterator[Row]:
    """A device that is moved to the identity domain and back, as another device of another domain feels it."""
    quiet = ran(IDENTITY, "merged", set={"threads.0.start": "1 ms"})
    for driver, result in (("(no moves)", quiet), *((name, ran(IDENTITY, name)) for name in (*DRIVERS, "current"))):
        hit, miss = hits(result)
        attaches = result.latencies.get("cpu0.attach-detach.attach")
        yield {
            "driver": driver,
            "moves": attaches.count if attaches else 0,
            "hit_rate": f"{hit / (hit + miss):.3f}",
            "read": f"{ns(result, 'gpu0.read') / ns(quiet, 'gpu0.read'):.2f}",
        }


def range_() -> Iterator[Row]:
    """An unmap by the number of its pages, each page by itself against the whole PSCID, beside a device that reads."""
    quiet = ran(RANGE, "merged", set={"threads.0.start": "1 ms"})
    for pages in PAGES:
        sets: dict[str, object] = {"threads.0.pages": pages}
        each = ran(RANGE, "merged", set=sets)
        for way, result in (
            ("pages", each),
            ("pscid", ran(RANGE, "merged", set={**sets, "driver.invalidate.limit": 1})),
        ):
            unmap = "cpu0.map-unmap.unmap"
            yield {
                "pages": pages,
                "way": way,
                "unmap": f"{ns(result, unmap) / ns(each, unmap):.2f}",
                "pages_unmap_ns": f"{ns(each, unmap):.0f}",
                "misses_after_each": f"{(hits(result)[1] - hits(quiet)[1]) / ROUNDS:.1f}",
                "read": f"{ns(result, 'gpu0.read') / ns(quiet, 'gpu0.read'):.3f}",
            }


TABLES = {
    "devices": (devices, f"python {SCRIPT} topology devices 64 8 > t.yaml && cosim run t.yaml --driver v2"),
    "fence": (
        fence,
        f"python {SCRIPT} topology fence > t.yaml && cosim run t.yaml -s 'iommu0.timing.command_fetch=200 us'",
    ),
    "identity": (identity, f"python {SCRIPT} topology identity > t.yaml && cosim run t.yaml --driver current"),
    "range": (
        range_,
        f"python {SCRIPT} topology range > t.yaml && cosim run t.yaml -s threads.0.pages=64 "
        "-s driver.invalidate.limit=1",
    ),
}


def table(rows: list[Row]) -> Iterator[str]:
    """The rows under their heading, in columns."""
    texts = [list(rows[0]), *([str(value) for value in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    for line in texts:
        yield "  ".join(text.rjust(width) for text, width in zip(line, widths, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="*", help=f"{', '.join(TABLES)}, or: topology NAME [DEVICES IOMMUS]")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write the numbers of one table there")
    options = parser.parse_args()
    if options.what[:1] == ["topology"]:
        name, *size = options.what[1:] or [""]
        if name == "devices" and len(size) == 2:
            print(devices_topology(*map(int, size)), end="")
        elif name in NAMED and not size:
            print(NAMED[name], end="")
        else:
            parser.error(f"topology devices DEVICES IOMMUS, or topology {' or '.join(NAMED)}")
        return
    for name in options.what:
        if name not in TABLES:
            parser.error(f"there is no table {name}; there are: {', '.join(TABLES)}")
    for name in options.what or TABLES:
        make, command = TABLES[name]
        rows = list(make())
        print((make.__doc__ or "").rstrip("."))
        print("\n".join(table(rows)))
        print(f"a row again: {command}\n")
        if options.csv:
            with options.csv.open("w", newline="") as file:
                writer = csv.DictWriter(file, list(rows[0]))
                writer.writeheader()
                writer.writerows(rows)


if __name__ == "__main__":
    sys.exit(main())
