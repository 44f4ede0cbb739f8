"""Under schedules drawn at random both executors make the same run, and none of them stops, breaks or miscounts.

Each schedule has up to five deviations: holds, past states, and latitude, of what the unperturbed run comes to. The
later ones may be questions that are asked only since something was held (`st#7.1`).
"""

from __future__ import annotations

from functools import cache
from random import Random
from typing import Any

import pytest

from cosim.events import BootDone
from cosim.study.run.result import Result
from cosim.study.run.run import Point, run
from cosim.system.build import build
from cosim.system.topology import Topology
from tests.seeds import seeds
from tests.system.recorder import Recorder

TOPOLOGIES = 10
HELD = 3
"""Answers of an action: now, after a conflict, after the hold."""
MOST = 5
"""Deviations of a schedule."""


@cache
def topology(number: int) -> Topology:
    """A small system: one to three CPUs, shared by threads that map, unmap, attach, receive and wait for RCU."""
    draw = Random(number)
    cpus = [f"cpu{n}" for n in range(draw.randint(1, 3))]
    iommus = [f"iommu{n}" for n in range(draw.randint(1, 2))]
    latitude = ("out_of_order", "walk_across_invalidation", "evict", "invalidate_more")
    traffic = {"pattern": "random", "requests": 20, "interval": "400 ns", "window": "4 KiB"}
    gap = draw.choice(["0 ns", "500 ns"])
    threads: list[dict[str, Any]] = [
        {"does": "map-unmap", "domain": "nic0", "pages": 1, "count": 3, "hold": "1 us", "gap": gap},
        {"does": "map-unmap", "domain": "nic0", "pages": 3, "count": 2, "mode": draw.choice(["lazy", "strict"])},
        {"does": "attach-detach", "devices": "nic1", "domains": "nic0", "count": 2},
        {"does": "receive-ring", "device": "ring0", "entries": 4, "count": 4},
        {"does": "hold-rcu", "for": "3 us", "count": 2},
        {"does": "synchronize-rcu", "count": 1},
    ]
    cpu = {
        "kind": "cpu",
        "memory_model": draw.choice(["rvwmo", "rvwmo", "tso"]),
        "preempt": draw.choice(["full", "voluntary"]),
        "slice": draw.choice(["3 us", "4 ms"]),
        "store_buffer": draw.choice([4, 16]),
    }
    return Topology.model_validate(
        {
            "parts": {
                "dram0": {"kind": "memory", "base": 0x8000_0000, "size": "64 MiB"},
                **dict.fromkeys(cpus, cpu),
                **{
                    name: {
                        "kind": "iommu",
                        "base": 0x0300_0000 + 0x1000 * n,
                        "capabilities": {"igs": draw.choice(["wsi", "msi"])},
                        "latitude": dict.fromkeys(latitude, draw.choice(["off", "explore"])),
                    }
                    for n, name in enumerate(iommus)
                },
                **{
                    f"nic{n}": {"kind": "dma", "through": draw.choice(iommus), "traffic": dict(traffic)}
                    for n in range(2)
                },
                "ring0": {"kind": "ring", "through": iommus[0], "requests": 6},
            },
            "driver": draw.choice(["merged", "current", "latest", "ideal"]),
            "threads": [{"on": draw.choice(cpus), **thread} for thread in draw.sample(threads, 3)],
            "kernel": {"kfree_rcu_delay": "5 us"},
            "run": {"until": "20 us", "seed": number, "hold": draw.choice(["200 ns", "2 us", "10 us"])},
        }
    )


@cache
def questions(number: int) -> dict[str, int]:
    """What the unperturbed run of a system asks."""
    made = topology(number)
    chooser = Recorder(number)
    system = build(made, chooser)
    system.start()
    system.sim.probe(BootDone).watch(lambda _: system.sim.stop())
    system.sim.env.run()
    system.sim.env.run(until=system.end_ps)
    system.close()
    return {name: answers for name, answers in chooser.asked.items() if ".alloc#" not in name}


def schedule(number: int, draw: Random) -> tuple[str, ...]:
    """Up to five deviations; an action may be held twice."""
    asked = questions(number)
    names = [*asked]
    chosen: dict[str, int] = {}
    for _ in range(draw.randint(1, MOST)):
        name = draw.choice(names)
        chosen[name] = draw.randrange(1, asked[name])
        if asked[name] == HELD and not name.endswith(".past") and draw.random() < 0.3:
            chosen[f"{name}.1"] = draw.randrange(1, HELD)
    return tuple(f"{name}:{answer}" for name, answer in [*chosen.items()][:MOST])


def perturbed(number: int, chosen: tuple[str, ...], executor: str) -> Result:
    """The run of a system under a schedule; an error in it, and Little's law broken, are raised."""
    made = topology(number)
    settings = made.run.model_copy(update={"executor": executor})
    return run(Point(made.model_copy(update={"run": settings}), schedule=chosen))


def judge(seed: int, *, again: bool) -> None:
    number, draw = seed % TOPOLOGIES, Random(seed)
    chosen = schedule(number, draw)
    agenda = perturbed(number, chosen, "agenda")
    assert agenda.digest == perturbed(number, chosen, "plain").digest, chosen
    if again:
        assert agenda.digest == perturbed(number, chosen, "agenda").digest, chosen
    assert agenda.outcome in ("ok", "failed"), (chosen, agenda.failures)
    broken = [each for each in agenda.violations if each.oracle == "kernel"]
    assert not broken, (chosen, broken)


@pytest.mark.parametrize("number", seeds(range(TOPOLOGIES), 1))
def test_to_explore_without_a_deviation_changes_nothing(number: int) -> None:
    free = run(Point(topology(number)))
    assert perturbed(number, ("nobody#0:0",), "agenda").digest == free.digest
    assert len(questions(number)) > 100


@pytest.mark.parametrize("seed", seeds(range(12), 4))
def test_a_random_schedule_makes_one_run(seed: int) -> None:
    judge(seed, again=seed == 0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12, 360))
def test_many_random_schedules_make_one_run_each(seed: int) -> None:
    judge(seed, again=True)


@pytest.mark.slow
def test_most_of_what_is_drawn_is_asked() -> None:
    """Else the equality of two runs says little; what one answer has changed, another may never come to."""
    drawn = [(seed % TOPOLOGIES, schedule(seed % TOPOLOGIES, Random(seed))) for seed in range(20)]
    missed = sum(len(perturbed(number, chosen, "agenda").unasked) for number, chosen in drawn)
    assert missed < sum(len(chosen) for _, chosen in drawn) / 3
