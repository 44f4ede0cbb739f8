"""Every way to get a topology wrong ends in a clear message at the right place, exit code 2, and no traceback."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from cosim.cli import main

GOOD = """\
parts:
  dram0:  {kind: memory, base: 0x8000_0000, size: 16 MiB}
  cpu0:   {kind: cpu}
  iommu0: {kind: iommu, base: 0x0300_0000}
  nic0:   {kind: dma, through: iommu0}
domains:
  shared: {devices: nic0}
driver: merged
threads:
  - {on: cpu0, does: map-unmap, domain: shared}
stalls:
  - {part: iommu0.commands, at: 10 us, for: 1 us}
run: {until: 100 us}
"""

CASES = {
    "unknown section": ("driver: merged", "drvier: merged", "8:1: drvier: unknown field; did you mean driver?"),
    "unknown field": ("size: 16 MiB", "sise: 16 MiB", "2:45: parts.dram0.sise: unknown field; did you mean size?"),
    "unknown kind": ("kind: iommu", "kind: iomu", "4:18: parts.iommu0.kind: unknown kind iomu; did you mean iommu?"),
    "no kind": ("{kind: cpu}", "{}", "3:3: parts.cpu0"),
    "missing field": (", base: 0x0300_0000", "", "4:3: parts.iommu0.base: missing"),
    "duplicate key": ("driver: merged", "driver: merged\ndriver: v2", "9:1: driver: "),
    "duplicate part": ("  cpu0:   {kind: cpu}", "  cpu0: {kind: cpu}\n  cpu0: {kind: cpu}", "4:3: parts.cpu0: "),
    "no unit": ("until: 100 us", "until: 100", "13:14: run.until: 100 has no unit"),
    "unknown unit": ("until: 100 us", "until: 100 usec", "13:14: run.until: "),
    "wrong dimension": ("size: 16 MiB", "size: 16 ns", "2:51: parts.dram0.size: "),
    "part of a picosecond": ("until: 100 us", "until: 0.5 ps", "13:14: run.until: "),
    "negative": ("until: 100 us", "until: -1 us", "13:14: run.until: "),
    "text for a number": (
        "0x0300_0000}",
        "0x0300_0000, geometry: {walkers: four}}",
        "4:64: parts.iommu0.geometry.walkers",
    ),
    "zero walkers": (
        "0x0300_0000}",
        "0x0300_0000, geometry: {walkers: 0}}",
        "4:64: parts.iommu0.geometry.walkers: 0 is",
    ),
    "unknown choice": (
        "0x0300_0000}",
        "0x0300_0000, geometry: {iotlb_replacement: lrru}}",
        "4:74: parts.iommu0.geometry.iotlb_replacement: lrru is not possible here; did you mean lru?",
    ),
    "sets of unequal size": (
        "0x0300_0000}",
        "0x0300_0000, geometry: {iotlb_entries: 10, iotlb_ways: 4}}",
        "iotlb_entries: 10 entries cannot be cut into sets of 4 ways",
    ),
    "a capability that is not implemented": (
        "0x0300_0000}",
        "0x0300_0000, capabilities: {ats: true}}",
        "4:64: parts.iommu0.capabilities.ats: this capability of the specification is not implemented",
    ),
    "a capability that the driver needs": (
        "0x0300_0000}",
        "0x0300_0000, capabilities: {sv39: false, sv48: false, sv57: false}}",
        "the driver needs a first stage of 64-bit entries",
    ),
    "a queue at a hardwired address where there is no memory": (
        "0x0300_0000}",
        "0x0300_0000, hardwired: {cqb: 0x0400_0000}}",
        "4:61: parts.iommu0.hardwired.cqb: 0x4000000 is in no memory; there are: dram0 at 0x80000000..0x80ffffff",
    ),
    "a hardwired directory that is not at a page": (
        "0x0300_0000}",
        "0x0300_0000, hardwired: {ddtp: 0x8080_0004}}",
        "0x80800004 is not a multiple of the size of a directory's root page (4 KiB); use 0x80800000 or 0x80801000",
    ),
    "reference to nothing": ("through: iommu0", "through: iommu1", "5:32: parts.nic0.through: iommu1 is not an iommu"),
    "reference to the wrong kind": ("through: iommu0", "through: cpu0", "cpu0 is of kind cpu, not an iommu"),
    "a device on no iommu": (", through: iommu0", "", "5:3: parts.nic0: a device needs either `through: <iommu>`"),
    "overlapping ranges": ("0x0300_0000", "0x8000_0000", "0x80000000..0x80000fff overlaps with dram0 at"),
    "a range that is not of pages": ("size: 16 MiB", "size: 1000 B", "2:32: parts.dram0.base: "),
    "a device id twice": (
        "  nic0:   {kind: dma, through: iommu0}",
        "  nic0: {kind: dma, through: iommu0, device_id: 1}\n  nic1: {kind: dma, through: iommu0, device_id: 1}",
        "6:49: parts.nic1.device_id: device_id 1 is nic0's already",
    ),
    "a device id twice in one device": (
        "through: iommu0}",
        "through: iommu0, device_id: [3, 4, 3]}",
        "5:40: parts.nic0.device_id: device_id 3 stands there twice",
    ),
    "a second device id that is another's": (
        "  nic0:   {kind: dma, through: iommu0}",
        "  nic0: {kind: dma, through: iommu0, device_id: [1, 2]}\n  nic1: {kind: dma, through: iommu0, device_id: 2}",
        "6:49: parts.nic1.device_id: device_id 2 is nic0's already",
    ),
    "no device id": ("through: iommu0}", "through: iommu0, device_id: []}", "parts.nic0.device_id: "),
    "a device that nobody finds": (
        "through: iommu0}",
        "through: iommu0, plugged: false, traffic: {pattern: told}}",
        "parts.nic0.plugged: no thread finds nic0; write `does: plug, devices: nic0`",
    ),
    "a device that boot does not find, with a window from boot": (
        "through: iommu0}",
        "through: iommu0, plugged: false}",
        "with `plugged: false`, let a thread tell it of one: `traffic: {pattern: told}`",
    ),
    "a device behind nothing that boot does not find": (
        "through: iommu0}",
        "direct: true, plugged: false}",
        "`plugged: false` is for a device behind an iommu",
    ),
    "more devices than the directory names": (
        "0x0300_0000}\n  nic0:   {kind: dma, through: iommu0}",
        "0x0300_0000, geometry: {ddt_levels: 1}}\n  nic:   {kind: dma, count: 200, through: iommu0}",
        "the 1-level device directory of iommu0 names only 7 (128 devices)",
    ),
    "a count of nothing": ("nic0:   {kind: dma,", "nic: {kind: dma, count: 0,", "a count is a whole number from 1 to"),
    "a name made twice": (
        "  nic0:   {kind: dma, through: iommu0}",
        "  nic0: {kind: dma, through: iommu0}\n  nic: {kind: dma, count: 2, through: iommu0}",
        "this makes a part nic0, and there is another of that name",
    ),
    "a domain that nobody uses": (
        "domains:\n",
        "domains:\n  lonely: {}\n",
        "7:3: domains.lonely: no device and no thread",
    ),
    "a domain of nobody": ("devices: nic0", "devices: nci*", "7:21: domains.shared.devices: nci* matches no device"),
    "a device in two domains": (
        "domains:\n",
        "domains:\n  other: {devices: nic*}\n",
        "nic0 is in the domain other already",
    ),
    "a domain that a device would have if it were in none": (
        "domain: shared",
        "domain: nic0",
        "threads.0.domain: nic0 has no domain of its own, since it begins in shared",
    ),
    "an unknown driver": ("driver: merged", "driver: mergd", "8:9: driver.variant: "),
    "an unknown policy": (
        "driver: merged",
        "driver: {variant: merged, attach: context-frist}",
        "did you mean context-first?",
    ),
    "an unknown axis": ("driver: merged", "driver: {variant: merged, atach: context-first}", "did you mean attach?"),
    "a thread on no cpu": ("on: cpu0", "on: cpu1", "10:10: threads.0.on: cpu1 is not a cpu"),
    "an unknown workload": ("does: map-unmap", "does: map-unmp", "10:22: threads.0.does: map-unmp is unknown here"),
    "a thread in no domain": ("domain: shared", "domain: shard", "10:41: threads.0.domain: shard is not a domain"),
    "a stall of nobody": ("part: iommu0.commands", "part: iommu0.command", "12:12: stalls.0.part: "),
    "a stall after the end": ("at: 10 us", "at: 1 s", "12:33: stalls.0.at: 1 s is not before the end"),
    "a warm-up after the end": ("until: 100 us", "until: 100 us, warmup: 1 ms", "`warmup` must end before `until`"),
    "no cpu": ("  cpu0:   {kind: cpu}\n", "", "there is no part of kind cpu"),
    "syntax": ("  cpu0:   {kind: cpu}", "  cpu0:   {kind: cpu", "topology.yaml:4:"),
    "a tab": ("  cpu0:   {kind: cpu}", "\tcpu0: {kind: cpu}", "topology.yaml:3:1"),
    "a tag": ("kind: cpu}", "kind: !!python/object cpu}", "topology.yaml:3:"),
    "a list for a mapping": ("driver: merged", "driver: [merged]", "topology.yaml:8:"),
    "nothing": (GOOD, "", "topology.yaml:1:1: the file is empty"),
    "a scalar": (GOOD, "42", "a topology is a mapping of sections"),
}


def checked(path: Path) -> tuple[int, str]:
    found = CliRunner().invoke(main, ["check", str(path)])
    assert found.exception is None or isinstance(found.exception, SystemExit), found.exception
    return found.exit_code, found.output


def test_the_topology_that_they_are_made_from_is_good(tmp_path):
    path = tmp_path / "topology.yaml"
    path.write_text(GOOD)
    assert checked(path) == (0, f"{path}: ok\n")


@pytest.mark.parametrize("case", CASES)
def test_a_malformed_topology_is_told_where_and_why(tmp_path, case):
    old, new, expected = CASES[case]
    assert GOOD.count(old) == 1
    path = tmp_path / "topology.yaml"
    path.write_text(GOOD.replace(old, new))
    code, output = checked(path)
    assert code == 2
    assert expected in output
    assert "Traceback" not in output


def test_what_is_no_text_file_is_told_so(tmp_path):
    garbage = tmp_path / "garbage.yaml"
    garbage.write_bytes(bytes(range(256)))
    assert checked(garbage)[0] == 2
    assert "a folder, not a file" in checked(tmp_path)[1]
    assert "no such file; did you mean" in checked(tmp_path / "garbge.yaml")[1]


@pytest.mark.parametrize("name", ["tests.jsonl", "vectors.jsonl.gz"])
def test_scenarios_are_no_topology_and_the_verb_for_them_is_named(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"{}\n{}\n")
    code, output = checked(path)
    assert code == 2
    assert "`cosim conform` replays scenarios" in output


def test_all_errors_of_a_file_come_at_once_in_the_order_of_the_file(tmp_path):
    path = tmp_path / "topology.yaml"
    path.write_text(GOOD.replace("size: 16 MiB", "size: 16").replace("mergd", "x").replace("on: cpu0", "on: cpu9"))
    code, output = checked(path)
    lines = output.splitlines()
    assert code == 2
    assert [line.split(":")[1] for line in lines] == ["2", "10"]
