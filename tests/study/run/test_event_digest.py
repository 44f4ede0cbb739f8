"""The digest of a run depends on what each event says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cosim.events import CallDone, CommandExecuted, FaultRecorded
from cosim.sim.simulation import Sim
from cosim.study.run.event_digest import EventDigest

CALL = CallDone(5, "cpu0.t", "map", 0, {}, "")
COMMAND = CommandExecuted(5, "iommu0", 1, (0x1, 0x2000), "iotinval_vma")
FAULT = FaultRecorded(5, "iommu0", 1, 13, 0x1000, 0, recorded=True, reported=True, fqcsr=0)


def digest(*events: CallDone | CommandExecuted | FaultRecorded) -> tuple[int, str]:
    sim = Sim()
    made = EventDigest(sim)
    for event in events:
        sim.probe(type(event))(event)
    return made.events, str(made)


@pytest.mark.parametrize(
    ("event", "other"),
    [
        (CALL, replace(CALL, failed="ENOMEM")),
        (COMMAND, replace(COMMAND, words=(0x1, 0x3000))),
        (FAULT, replace(FAULT, cause=15)),
    ],
)
def test_events_that_differ_in_what_they_say_have_different_digests(event: CallDone, other: CallDone) -> None:
    assert digest(event) == digest(replace(event))
    assert digest(event)[0] == digest(other)[0] == 1
    assert len({digest()[1], digest(event)[1], digest(other)[1]}) == 3
