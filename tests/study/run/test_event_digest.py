"""The digest of a run depends on what each event says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cosim.events import CallDone, CommandExecuted, DmaDone, FaultRecorded
from cosim.sim.simulation import Sim
from cosim.study.gather.event_digest import EventDigest
from cosim.study.gather.latencies_by_name import LatenciesByName
from cosim.study.gather.requests import Requests
from cosim.study.run.window import Window
from cosim.sw.runtime import Origin

CALL = CallDone(5, "cpu0.t", "map", 0, {}, "")
COMMAND = CommandExecuted(5, "iommu0", 1, (0x1, 0x2000), "iotinval_vma")
FAULT = FaultRecorded(5, "iommu0", 1, 13, 0x1000, 0, recorded=True, reported=True, fqcsr=0)


DMA = DmaDone(5, "nic0", 1, 7, 0x1000, 64, False, 1, "SUCCESS", {"link": 4})


def digest(*events: object) -> tuple[int, str]:
    sim = Sim()
    made = EventDigest(sim)
    sim.probe(DmaDone).watch(Requests(made, LatenciesByName(sim, Window(sim, 0, Origin()))).done)
    for event in events:
        sim.probe(type(event))(event)
    return made.events, str(made)


@pytest.mark.parametrize(
    ("event", "other"),
    [
        (CALL, replace(CALL, failed="ENOMEM")),
        (COMMAND, replace(COMMAND, words=(0x1, 0x3000))),
        (FAULT, replace(FAULT, cause=15)),
        (DMA, replace(DMA, status="UR")),
        (DMA, replace(DMA, who="nic1")),
    ],
)
def test_events_that_differ_in_what_they_say_have_different_digests(event: Any, other: Any) -> None:
    assert digest(event) == digest(replace(event))
    assert digest(event)[0] == digest(other)[0] == 1
    assert len({digest()[1], digest(event)[1], digest(other)[1]}) == 3


def test_each_status_of_a_device_counts():
    refused = replace(DMA, status="UR")
    assert len({digest(DMA, each)[1] for each in (DMA, refused)}) == 2
