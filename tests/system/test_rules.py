"""What a topology may just say, and what goes just too far: each rule from both sides of its boundary."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cosim.config.problems import TopologyError
from cosim.config.source import Source
from cosim.spec.page import PAGE
from cosim.system.checks import LARGEST_BLOCK
from cosim.system.devices import device_ids
from cosim.system.load import load
from cosim.system.topology import Topology

PARTS: dict[str, dict[str, Any]] = {
    "dram0": {"kind": "memory", "base": 0x8000_0000, "size": "64 MiB"},
    "cpu0": {"kind": "cpu"},
    "iommu0": {"kind": "iommu", "base": 0x0300_0000},
    "nic0": {"kind": "dma", "through": "iommu0", "traffic": {"pattern": "none"}},
}
HIGH = 1 << 46
"""The lowest address that is beyond what an IOMMU can name which says nothing of it."""
ONLY = {"sv39": False, "sv48": False, "sv57": False}
ENDLESS = {"on": "cpu0", "does": "map-unmap", "domain": "nic0", "count": None}


def part(kind: str, **options: Any) -> dict[str, Any]:
    return {"kind": kind, **options}


def loaded(parts: dict[str, dict[str, Any]] | None = None, **sections: Any) -> Topology:
    """The topology with these parts in it or instead of others, and with these sections."""
    return load(Source.of({"parts": PARTS | (parts or {}), **sections}, "mine"))


def problems(parts: dict[str, dict[str, Any]] | None = None, **sections: Any) -> list[str]:
    try:
        loaded(parts, **sections)
    except TopologyError as error:
        return [f"{'.'.join(map(str, problem.path))}: {problem.message}" for problem in error.problems]
    return []


def direct(window: int) -> dict[str, dict[str, Any]]:
    return {"gpu0": part("dma", direct=True, traffic={"window": f"{window} B"})}


def first_stage(name: str) -> dict[str, dict[str, Any]]:
    return {"iommu0": PARTS["iommu0"] | {"capabilities": ONLY | ({name: True} if name else {})}}


def of_id(number: int) -> dict[str, dict[str, Any]]:
    return {
        "iommu0": PARTS["iommu0"] | {"geometry": {"ddt_levels": 1}},
        "nic0": PARTS["nic0"] | {"device_id": number},
    }


def high(*, reserved: bool) -> dict[str, dict[str, Any]]:
    return {"sram0": part("memory", base=HIGH, size="64 KiB", reserved=reserved)}


def apart(*, reserved: bool) -> dict[str, dict[str, Any]]:
    """A device whose window is to be on node 0, where there is memory beside that of node 1."""
    return {
        "dram0": PARTS["dram0"] | {"node": 1},
        "dram1": part("memory", base=1 << 33, size="64 MiB", reserved=reserved),
        "nic0": PARTS["nic0"] | {"traffic": {"node": 0}},
    }


def narrow(through: str) -> dict[str, dict[str, Any]]:
    """A second IOMMU, which cannot name all memory, and a device behind it or not."""
    return {
        "dram1": part("memory", base=1 << 33, size="64 KiB"),
        "iommu1": part("iommu", base=0x0300_1000, capabilities={"pas": 32}),
        "nic1": part("dma", through=through, traffic={"pattern": "none"}),
    }


RULES: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "memory that is given out is where IOMMUs can name it": (
        {"parts": high(reserved=True)},
        {"parts": high(reserved=False)},
        "parts.sram0.base: 0x40000000ffff needs more than the 46 bits",
    ),
    "and that is those which have devices": (
        {"parts": narrow("iommu0")},
        {"parts": narrow("iommu1")},
        "parts.dram1.base: 0x20000ffff needs more than the 32 bits of a physical address of iommu1",
    ),
    "a window without mappings is one block": (
        {"parts": direct(LARGEST_BLOCK)},
        {"parts": direct(LARGEST_BLOCK + PAGE)},
        "parts.gpu0.traffic.window: without an iommu a window is one block of memory",
    ),
    **{
        f"{name} is enough for a driver": (
            {"parts": first_stage(name)},
            {"parts": first_stage("")},
            "parts.iommu0.capabilities: the driver needs a first stage",
        )
        for name in ("sv39", "sv48", "sv57")
    },
    "a device is in one domain, whatever matches it there": (
        {"domains": {"shared": {"devices": ["nic0", "nic*"]}}},
        {"domains": {"shared": {"devices": "nic0"}, "other": {"devices": "nic*"}}},
        "domains.other.devices: nic0 is in the domain shared already",
    ),
    "a stall begins before the end": (
        {"stalls": [{"part": "iommu0.commands", "at": "99 us", "for": "1 us"}], "run": {"until": "100 us"}},
        {"stalls": [{"part": "iommu0.commands", "at": "100 us", "for": "1 us"}], "run": {"until": "100 us"}},
        "stalls.0.at: 100 us is not before the end of the run at 100 us",
    ),
    "a warm-up ends before the run": (
        {"run": {"until": "100 us", "warmup": "99 us"}},
        {"run": {"until": "100 us", "warmup": "100 us"}},
        "run: `warmup` must end before `until`",
    ),
    "a window is on a node whose memory is given out": (
        {"parts": apart(reserved=False)},
        {"parts": apart(reserved=True)},
        "parts.nic0.traffic.node: no memory is on node 0; there is node 1",
    ),
    "who is attached is behind an IOMMU": (
        {"parts": direct(PAGE), "threads": [{"on": "cpu0", "does": "attach", "devices": "nic0", "domain": "nic0"}]},
        {"parts": direct(PAGE), "threads": [{"on": "cpu0", "does": "attach", "devices": "gpu0", "domain": "nic0"}]},
        "threads.0.devices: gpu0 is of kind dma, not a device behind an iommu",
    ),
    "a device has a context in the directory": (
        {"parts": of_id(127)},
        {"parts": of_id(128)},
        "device_id 128 needs 8 bits, and the 1-level device directory of iommu0 names only 7 (128 devices)",
    ),
    "a thread that is expected to finish ends": (
        {"threads": [ENDLESS | {"count": 1}], "expect": {"threads": "finished"}},
        {"threads": [ENDLESS], "expect": {"threads": "finished"}},
        "threads.0: never ends, and expect.threads wants it finished",
    ),
}


@pytest.mark.parametrize("rule", RULES)
def test_what_a_rule_just_allows_is_taken_and_what_goes_a_little_further_is_told(rule: str) -> None:
    allowed, refused, told = RULES[rule]
    assert problems(**allowed) == []
    (problem,) = problems(**refused)
    assert told in problem


@pytest.mark.parametrize(("window", "fits"), [("12 KiB", True), ("8 KiB", False)])
def test_a_recording_that_just_fits_its_window_is_replayed(tmp_path: Path, window: str, fits: bool) -> None:
    """From its first request at 0x1000 to the end of its last one there are 12 KiB."""
    path = tmp_path / "requests.csv"
    path.write_text("time_ns,device,iova,size,access\n0,nic0,0x1000,64,read\n10,nic0,0x3fc0,64,read\n")
    nic = PARTS["nic0"] | {"traffic": {"pattern": "replay", "file": str(path), "window": window}}
    assert ["which needs 12 KiB" in problem for problem in problems({"nic0": nic})] == ([] if fits else [True])


def test_a_device_gets_the_lowest_id_that_is_free_behind_its_own_iommu() -> None:
    """Whatever those behind other IOMMUs have."""
    nic, iommu = PARTS["nic0"], part("iommu", base=0x0300_1000)
    there = {"iommu1": iommu} | {f"nic{n}": nic | {"through": f"iommu{n % 2}"} for n in range(5)}
    there["nic3"] |= {"device_id": 2}
    ids = device_ids(loaded(there).devices())
    assert ids == {"nic0": (1,), "nic1": (1,), "nic2": (2,), "nic3": (2,), "nic4": (3,)}
