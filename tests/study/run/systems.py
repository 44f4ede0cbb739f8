"""Random systems: one to three devices behind an IOMMU, of which anything may be what limits them.

Or spread over two memories and two IOMMUs, where what is full may be on the way of another device alone. Or varied in
all else that parts can be set to.
"""

from __future__ import annotations

import math
import random
import re
import shlex
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import cosim
from cosim.study.run.result import Result
from cosim.system.load import load
from cosim.system.topology import Topology

MARGIN = 0.02
"""A throughput or a mean latency that is better by less than this is not better."""

FEW = 20
"""Fewer requests than this in a window say nothing of a throughput: both runs are then measured for longer."""

LONGER = {"until": "600 us"}


def memory(chance: random.Random, node: int) -> dict[str, Any]:
    pick = chance.choice
    found: dict[str, Any] = {"kind": "memory", "base": 0x8000_0000 + (node << 28), "size": "64 MiB", "node": node}
    found["latency"] = pick(["20 ns", "60 ns", "150 ns", "400 ns"])
    if chance.random() < 0.6:
        found |= {"bandwidth": pick(["1 GB/s", "4 GB/s", "16 GB/s", "64 GB/s"]), "ports": pick([1, 1, 2, 4])}
    return found


def iommu(chance: random.Random, number: int) -> dict[str, Any]:
    pick = chance.choice
    return {
        "kind": "iommu",
        "base": 0x0300_0000 + (number << 16),
        "geometry": {
            "iotlb_entries": pick([0, 4, 16, 64, 256]),
            "nonleaf_entries": pick([0, 4, 16]),
            "walkers": pick([1, 2, 4, 16]),
            "in_flight": pick([1, 2, 4, 8, 64]),
        },
        "timing": {
            "link": pick(["1 ns", "10 ns", "100 ns"]),
            "lookup_interval": pick(["1 ns", "4 ns", "20 ns"]),
            "turnaround": pick(["0 ns", "0 ns", "10 ns"]),
        },
    }


def spread(seed: int) -> dict[str, Any]:
    """The system of a seed with a second memory and a second IOMMU, over which its devices are spread."""
    data = system(seed)
    chance = random.Random(f"spread {seed}")
    data["parts"] |= {"dram1": memory(chance, 1), "iommu1": iommu(chance, 1) | {"node": chance.choice([0, 1])}}
    for device in (part for name, part in data["parts"].items() if name.startswith("dev")):
        device["through"] = chance.choice(["iommu0", "iommu1"])
        device["traffic"]["node"] = chance.choice([0, 1])
    return data


def system(seed: int) -> dict[str, Any]:
    """The topology of a seed, as data."""
    chance = random.Random(seed)
    pick = chance.choice
    parts: dict[str, Any] = {"dram0": memory(chance, 0), "cpu0": {"kind": "cpu"}, "iommu0": iommu(chance, 0)}
    for number in range(pick([1, 1, 2, 3])):
        traffic: dict[str, Any] = {
            "pattern": pick(["random", "random", "sequential", "strided"]),
            "size": pick(["8 B", "64 B", "256 B", "1 KiB"]),
            "window": pick(["16 KiB", "64 KiB", "256 KiB"]),
            "outstanding": pick([1, 2, 4, 8, 16, 32]),
            "read": pick([1.0, 1.0, 0.5, 0.0]),
        }
        if chance.random() < 0.35:
            traffic |= {
                "interval": pick(["100 ns", "300 ns", "1 us", "3 us"]),
                "arrivals": pick(["regular", "poisson"]),
            }
        device: dict[str, Any] = {"kind": "dma", "through": "iommu0", "link": pick(["10 ns", "50 ns", "200 ns"])}
        if chance.random() < 0.5:
            device["bandwidth"] = pick(["1 GB/s", "4 GB/s", "16 GB/s"])
        if chance.random() < 0.25:
            device["posted"] = True
        parts[f"dev{number}"] = device | {"traffic": traffic}
    return {"parts": parts, "run": {"until": "180 us", "warmup": "110 us", "seed": seed}}


def varied(seed: int) -> dict[str, Any]:
    """The system of a seed, every third one spread, with all else that its parts can be set to."""
    data = system(seed) if seed % 3 else spread(seed)
    chance = random.Random(f"varied {seed}")
    for part in data["parts"].values():
        if part["kind"] == "iommu":
            vary_iommu(chance, part["geometry"], part["timing"])
        elif part["kind"] == "memory":
            vary_memory(chance, part, has_remote=data["parts"].get("iommu1", {}).get("node", 0) != 0)
        elif part["kind"] == "dma":
            vary_device(chance, part)
    return data


def vary_iommu(chance: random.Random, geometry: dict[str, Any], timing: dict[str, Any]) -> None:
    pick, some = chance.choice, partial(varies, chance)
    some(geometry, "order", ["writes", "kind", "device"])
    some(geometry, "arbitration", ["reads-first"])
    some(geometry, "ddtc_entries", [0, 1, 2])
    some(geometry, "ddt_nonleaf_entries", [0])
    if geometry["iotlb_entries"]:
        some(geometry, "iotlb_ways", [1, 2, 4])
        some(geometry, "iotlb_allocation", ["miss"])
        some(timing, "fill", ["10 ns", "100 ns"])
    if geometry.get("ddtc_entries", 16):
        some(timing, "context_fill", ["10 ns", "100 ns"])
    timing |= {
        "lookup": pick(["2 ns", "2 ns", "20 ns", "100 ns"]),
        "walk_step": pick(["1 ns", "1 ns", "20 ns", "100 ns"]),
    }
    some(timing, "walk_start", ["50 ns"])
    some(timing, "walk_read_interval", ["2 ns", "10 ns", "40 ns"])
    some(timing, "beat", ["2 ns", "20 ns"])
    some(timing, "turnaround", ["50 ns", "200 ns"])


def vary_memory(chance: random.Random, memory: dict[str, Any], *, has_remote: bool) -> None:
    varies(chance, memory, "write_latency", ["20 ns", "200 ns"])
    varies(chance, memory, "cache_lines", [16, 1024])
    if has_remote:
        varies(chance, memory, "remote", ["50 ns", "300 ns"])


def vary_device(chance: random.Random, device: dict[str, Any]) -> None:
    traffic, some = device["traffic"], partial(varies, chance)
    if "bandwidth" in device:
        some(device, "header", ["0 B", "64 B"])
    some(device, "posted", [True])
    if chance.random() < 0.1:
        device |= {"direct": True}
        del device["through"]
    some(traffic, "pattern", ["hot_cold", "zipf"])
    if traffic["pattern"] == "strided":
        some(traffic, "stride", ["64 B", "8 KiB"])
    some(traffic, "page", ["2 MiB"])
    if chance.random() < 0.2:
        del traffic["size"]
        traffic["sizes"] = {"64 B": 3, "1 KiB": 1}
    if chance.random() < 0.2:
        traffic |= {"burst_requests": chance.choice([4, 32]), "burst_off": chance.choice(["1 us", "3 us"])}


def varies(chance: random.Random, section: dict[str, Any], name: str, values: list[Any]) -> None:
    """Set what is often left as it is."""
    if chance.random() < 0.25:
        section[name] = chance.choice(values)


def gain(before: Result, after: Result, name: str) -> float:
    """By what fraction a change made requests of a kind better: throughput of their device, or latency."""
    device = name.rpartition(".")[0]
    bytes_before, bytes_after = (
        sum(result.scalars[f"{device}.{what}_bytes"] for what in ("read", "written")) for result in (before, after)
    )
    if not bytes_before:
        return math.inf if bytes_after else 0.0
    if name not in before.latencies or name not in after.latencies:
        return bytes_after / bytes_before - 1
    mean_before, mean_after = (result.latencies[name].mean_ps for result in (before, after))
    return max(bytes_after / bytes_before, mean_before / mean_after) - 1


def improvement(
    seed: int,
    sets: list[str] | None = None,
    run: Mapping[str, str] | None = None,
    drawn: Callable[[int], dict[str, Any]] = system,
) -> tuple[str, float | None]:
    """The first sentence on a system, and by what fraction its proposal (or `sets`) makes better what it speaks of.

    `run` changes the window, `drawn` says which system a seed is. None if nothing was measured: too little time for it.
    """
    data = drawn(seed)
    data["run"] |= run or {}
    topology = load(Topology.model_validate(data))
    before = cosim.run(topology)
    said = before.limit
    if said.startswith("nothing was measured"):
        return said, None
    if sets is None:
        _, _, proposal = said.partition("; try ")
        sets = [word for word in shlex.split(proposal.partition(";")[0]) if word != "-s"]
        assert sets, f"system {seed}: {said!r} proposes nothing"
    spoken = re.search(r"(?:p99 of|slowest|latency of) (dev\d\.\w+)|(?:: |slot of )(dev\d) ", said)
    assert spoken, f"system {seed}: {said!r} speaks of no requests"
    name = spoken[1] or max(
        (name for name in before.latencies if name.startswith(f"{spoken[2]}.")),
        key=lambda name: before.latencies[name].count * before.latencies[name].mean_ps,
        default=f"{spoken[2]}.read",
    )
    device = name.rpartition(".")[0]
    if sum(before.scalars[f"{device}.{what}"] for what in ("reads", "writes")) < FEW:
        data["run"] |= LONGER
        topology = load(Topology.model_validate(data))
        before = cosim.run(topology)
    return said, gain(before, cosim.run(load(topology, sets=sets)), name)
