"""Where the open RTL IOMMU departs from the specification (target 11), and which driver sequences that exposes.

```
walk reads the entry      |
                          |  driver changes it
                          |  IOTINVAL or IODIR: drops what is cached; the walk goes on
                          |  IOFENCE: does not wait for the walk
                          |  driver returns
walk fills the cache with what it has read
```

The walk has to last as long as the driver's whole sequence: it is the schedule that holds its fill for 5 us.
"""

from __future__ import annotations

from typing import NamedTuple

import pytest

from cosim.events import CallDone
from cosim.sim.actions import Taken
from cosim.sim.simulation import Sim
from cosim.study.run.result import Result
from cosim.study.run.run import Point, run
from cosim.system.load import load

QUICK = ["run.until=50 us", "iommu0.geometry.cq_log2=6", "iommu0.geometry.fq_log2=6"]
SOUND = ["iommu0.defects.stale_fill=false", "iommu0.defects.early_fence=false"]
ATTACH = (
    "threads=[{on: cpu1, does: attach-detach, devices: nic0, domains: other, detach: false, count: 1, start: 6 us}]"
)


class Sequence(NamedTuple):
    """What the driver does while nic0 misses at each request, and how a violation reads."""

    call: str
    sets: list[str]
    violation: str


UNMAP = Sequence(
    "unmap",
    ["iommu0.geometry.iotlb_entries=2", "threads.0.pages=4", "threads.0.hold=5 us", "nic0.traffic.requests=80"],
    "after cpu1.map-unmap had freed it",
)
OTHER = ["domains={other: {}}", ATTACH, "expect={violations: 0, faults: {min: 0}}"]
"""Nothing is mapped in the domain that is entered: all later requests are refused."""
REATTACH = Sequence("attach", [*OTHER, "nic0.traffic.start=5 us"], "detached from nic0")
FIRST_REQUEST = Sequence("attach", [*OTHER, "nic0.traffic.start=7500 ns"], "detached from nic0")


def perturbed(sequence: Sequence, sets: list[str], choice: str) -> tuple[Result, list[str]]:
    """A run under one choice, and the fills that took hold from shortly before the last such call to its end."""
    fills: list[tuple[int, str]] = []
    calls: list[CallDone] = []

    def watch(sim: Sim) -> None:
        def took(action: Taken) -> None:
            if ".fill#" in action.name:
                fills.append((action.time, action.name))

        sim.actions.watchers.append(took)
        sim.probe(CallDone).watch(calls.append)

    result = run(
        Point(load("zero_day_rtl", sets=[*QUICK, *sequence.sets, *sets]), schedule=(choice,)), watchers=[watch]
    )
    last = [call for call in calls if call.call == sequence.call][-1]
    return result, [name for time, name in fills if last.began - 500_000 <= time <= last.time]


def exposed(sequence: Sequence, sets: list[str]) -> list[str]:
    """The fills that lead to a violation when they are held until the sequence is over."""
    result, fills = perturbed(sequence, sets, "nic0.fill#0:0")
    assert result.outcome == "ok"
    assert fills
    found = []
    for fill in fills[:3]:
        result, _ = perturbed(sequence, sets, f"{fill}:2")
        if result.violation_count:
            assert any(sequence.violation in violation.message for violation in result.violations)
            found.append(fill)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("sequence", [UNMAP, REATTACH, FIRST_REQUEST], ids=["unmap", "attach", "attach, context cold"])
def test_a_walk_that_outlasts_the_sequence_leaves_the_device_with_what_is_gone(sequence: Sequence) -> None:
    assert exposed(sequence, [])
    assert not exposed(sequence, SOUND)


@pytest.mark.slow
def test_it_is_the_fill_that_exposes_an_unmap_since_a_walk_that_starts_again_finds_no_page() -> None:
    fence, fill = SOUND[1], SOUND[0]
    assert exposed(UNMAP, [fence])
    assert not exposed(UNMAP, [fill])


@pytest.mark.slow
def test_a_context_that_survives_its_invalidation_is_used_until_the_next_one() -> None:
    """One stale page is one page; a stale context is the whole of the domain that the device has left."""
    result, _ = perturbed(FIRST_REQUEST, [], "nic0.fill#0:2")
    assert result.violation_count > 50
    assert not result.faults


@pytest.mark.slow
def test_a_map_is_not_exposed() -> None:
    """What was not valid is not cached, so a walk that a map overtakes faults, and the next one finds the page."""
    result, fills = perturbed(UNMAP._replace(call="map"), [], "nic0.fill#0:0")
    assert result.outcome == "ok"
    for fill in fills:
        assert not perturbed(UNMAP, [], f"{fill}:2")[0].violation_count
