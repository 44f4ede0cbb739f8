"""docs/schedules.md lists every effect and choice that runs come to, and what a schedule can do to it; and no other."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

from cosim.sim.actions import Taken
from cosim.spec import descriptor_ring, dma_device, register_map
from cosim.spec.pagetable import Pte
from cosim.spec.queues import Iofence, Iotinval
from cosim.system.build import build
from cosim.system.topology import Topology
from tests.hw.iommu.harness import DATA, LEAF, System
from tests.hw.iommu.register_bench import FLAG, Bench
from tests.system.recorder import Recorder

PAGE = Path(__file__).parents[2] / "docs" / "schedules.md"
ROW = re.compile(r"^\| [^|]+ \| (?P<agents>`[^|]+) \|[^|]*\| (?P<held>yes|no: [^|]+|a choice) \|$", re.M)
REGISTERS = {name for names in (register_map, descriptor_ring, dma_device) for name in names.REGISTERS}
WHOSE = {"T": r"cpu\d+\.[^.]+", "cpu0": r"cpu\d+", "nic0": r"(nic|ring)\d+", "iommu0": r"iommu\d+(\.\w+)?"}
"""What the page's short names of agents stand for."""


def listed() -> dict[str, tuple[str, str]]:
    """By verb, what the page says: whose the effect is, and whether it is held."""
    section = PAGE.read_text(encoding="utf-8").partition("## All effects")[2].partition("\n## ")[0]
    found = {}
    for row in ROW.finditer(section):
        for agent in re.findall(r"`([^`]+)`", row["agents"]):
            who, _, verb = agent.replace("ld#n.past", "past").rpartition(".")
            found[verb] = (who, row["held"].partition(":")[0])
    return found


def verb_of(name: str) -> tuple[str, str]:
    """Who acts, and what is done, in the page's words; all registers are `cqh` there."""
    who, _, verb = name.partition("#")[0].rpartition(".")
    if name.endswith(".past"):
        verb = "past"
    return ("iommu0", "cqh") if verb in REGISTERS else (who, verb)


def topology(**iommu: Any) -> Topology:
    """Two devices and a ring behind one IOMMU: mapped and unmapped, strictly and lazily, attached and detached."""
    traffic = {"requests": 400, "interval": "200 ns", "window": "16 KiB"}
    return Topology.model_validate(
        {
            "parts": {
                "dram0": {"kind": "memory", "base": 0x8000_0000, "size": "64 MiB"},
                "cpu0": {"kind": "cpu"},
                "cpu1": {"kind": "cpu"},
                "iommu0": {"kind": "iommu", "base": 0x0300_0000, **iommu},
                **{name: {"kind": "dma", "through": "iommu0", "traffic": traffic} for name in ("nic0", "nic1")},
                "ring0": {"kind": "ring", "through": "iommu0", "requests": 8},
            },
            "threads": [
                {"on": "cpu0", "does": "map-unmap", "domain": "nic0", "hold": "5 us", "count": 3, "pages": 1},
                {"on": "cpu1", "does": "map-unmap", "domain": "nic0", "hold": "5 us", "count": 3, "mode": "lazy"},
                {"on": "cpu1", "does": "attach-detach", "devices": "nic1", "domains": "nic0", "count": 5},
                {"on": "cpu0", "does": "hold-rcu", "for": "6 ms", "count": 1},
                {"on": "cpu1", "does": "synchronize-rcu", "count": 1, "start": "100 us"},
                {"on": "cpu0", "does": "receive-ring", "device": "ring0", "entries": 4, "count": 4},
            ],
            "kernel": {"kfree_rcu_delay": "10 us"},
            "run": {"until": "12 ms"},
        }
    )


ANSWERS_OF_AN_ACTION = 3
LATITUDE = dict.fromkeys(("out_of_order", "walk_across_invalidation", "evict", "invalidate_more"), "explore")


@cache
def seen() -> dict[str, tuple[str, str]]:
    """By verb, what runs come to: one who does it, and whether it is held."""
    found: dict[str, tuple[str, str]] = {}

    def note(taken: Taken) -> None:
        who, verb = verb_of(taken.name)
        if who == "cpu0" and verb == "mmio":
            return  # a bench's own access of a register
        kind = (who, "yes" if taken.asks else "no")
        assert found.setdefault(verb, kind)[1] == kind[1], taken.name

    def choices(chooser: Recorder) -> None:
        for name, answers in chooser.asked.items():
            who, verb = verb_of(name)
            if verb == "past" or answers != ANSWERS_OF_AN_ACTION:
                assert found.setdefault(verb, (who, "a choice"))[1] == "a choice", name

    for options in ({}, {"capabilities": {"igs": "msi"}, "latitude": LATITUDE}):
        chooser = Recorder(1)
        system = build(topology(**options), chooser)
        system.sim.actions.watchers.append(note)
        system.start()
        system.sim.env.run(until=system.topology.run.boot_limit)
        system.close()
        choices(chooser)
    bench = Bench(chooser=Recorder(1))
    bench.sim.actions.watchers.append(note)
    bench.enable()
    bench.sim.explore()
    bench.submit(Iofence.c(addr=FLAG))
    chooser = Recorder(1)
    overtaken = System(chooser=chooser, latitude=LATITUDE, memory_ps=10_000)
    overtaken.device(1, pscid=1).map(0, DATA)
    overtaken.sim.explore()
    overtaken.request(0, at_ps=1_000)
    overtaken.at(30_000, lambda: overtaken.invalidate(Iotinval.vma(pscid=1)))
    overtaken.run()
    choices(chooser)
    updating = System(chooser=Recorder(1))
    updating.sim.actions.watchers.append(note)
    updating.device(1, pscid=1, sade=1).map(0, DATA, flags=LEAF & ~Pte.of(a=1))
    updating.sim.explore()
    updating.translate(0)
    return found


def test_every_effect_and_choice_of_a_run_is_on_the_page() -> None:
    page = listed()
    for verb, (who, held) in seen().items():
        assert verb in page, f"{who}.{verb}: {held}"
        assert re.fullmatch(WHOSE[page[verb][0]], who), (who, verb)


def test_the_page_says_of_each_whether_a_schedule_holds_it() -> None:
    assert {verb: held for verb, (_, held) in seen().items()} == {verb: held for verb, (_, held) in listed().items()}
