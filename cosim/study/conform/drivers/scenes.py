"""The scenes in which two drivers are held against each other: topologies, and drawn ones."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

from cosim.config.source import Source
from cosim.system.load import load, shipped
from cosim.system.topology import Topology

FIRST = "kernel_traces"
FOLDER = "review"
PAGES = (1, 2, 3, 16, 64, 511, 512, 513, 600)
"""How many pages are unmapped at once: around where a driver changes from addresses to a whole domain."""
THREADS = 12
RING_LG2 = 13
"""So many commands that a ring is never full: when it has room is decided by time."""


def names() -> list[str]:
    """The scenes that are compared if none is named."""
    return [FIRST, *(name for name, path in shipped().items() if path.parent.name == FOLDER)]


def loaded(scene: str | Source, driver: str) -> Topology:
    """A scene with a driver. TopologyError."""
    return load(scene, driver=driver)


def drawn(seed: int, count: int) -> Iterator[tuple[str, Source]]:
    """Scenes of threads one after the other, so that time decides nothing; equal seeds give equal ones."""
    for number in range(count):
        name = f"random {seed}.{number}"
        yield name, Source.of(_scene(random.Random(f"{seed}.{number}")), name)


def _scene(draw: random.Random) -> dict[str, Any]:
    iommus = [f"iommu{n}" for n in range(draw.choice((1, 1, 2)))]
    devices = [f"nic{n}" for n in range(draw.randint(2, 4))]
    parts: dict[str, Any] = {
        "dram0": {"kind": "memory", "base": 0x8000_0000, "size": "256 MiB"},
        "cpu": {"kind": "cpu", "count": 2},
    }
    mode = draw.choice(({}, {"sv57": False}, {"sv57": False, "sv48": False}))
    capabilities = {**mode, **dict.fromkeys(("s", "nl"), draw.random() < 0.4)}
    for number, iommu in enumerate(iommus):
        parts[iommu] = {
            "kind": "iommu",
            "base": 0x0300_0000 + 0x1_0000 * number,
            "capabilities": capabilities,
            "geometry": {"cq_log2": RING_LG2},
        }
    for device in devices:
        parts[device] = {"kind": "dma", "through": draw.choice(iommus), "traffic": {"pattern": "none"}}
    shared = draw.sample(devices, 2) if draw.random() < 0.5 else []
    domains: dict[str, Any] = {"shared": {"devices": shared}} if shared else {}
    own = [device for device in devices if device not in shared] + ["shared"] * bool(shared)
    others = ["identity", *domains] if shared else ["identity"]
    threads = [{**_thread(draw, devices, own, others), "start": f"{2 * n} ms"} for n in range(THREADS)]
    gone = draw.choice((None, devices[-1]))
    if gone:
        threads.append({"on": "cpu0", "does": "unplug", "devices": gone, "start": f"{2 * THREADS} ms"})
    threads.append({"on": "cpu1", "does": "shutdown", "start": f"{2 * THREADS + 2} ms"})
    run = {"until": f"{2 * THREADS + 4} ms", "seed": draw.randrange(1 << 16)}
    return {"parts": parts, "domains": domains, "threads": threads, "run": run}


def _thread(draw: random.Random, devices: Sequence[str], own: Sequence[str], others: Sequence[str]) -> dict[str, Any]:
    cpu = draw.choice(("cpu0", "cpu1"))
    if draw.random() < 0.25:
        to = draw.choice(others)
        return {"on": cpu, "does": "attach-detach", "devices": draw.choice(devices), "domains": to, "count": 1}
    pages = draw.choice(PAGES)
    return {
        "on": cpu,
        "does": "map-unmap",
        "domain": draw.choice(own),
        "pages": pages,
        "contiguous": pages > 1 and draw.random() < 0.5,
        "mode": draw.choice(("strict", "strict", "lazy")),
        "count": draw.randint(1, 2),
    }
