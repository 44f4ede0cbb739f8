"""What `cosim run zero_day_rtl -t trace.jsonl` shows of the cycles of the open RISC-V IOMMU in RTL (target 11)."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import pytest

from cosim.events import BootDone, CommandExecuted, DmaDone, FaultRecorded
from cosim.sim.simulation import Sim
from cosim.study.run.run import Point, run
from cosim.system.load import load
from tests.validation.zero_day import CYCLE

TICKS = 4
"""Picoseconds that the hops of a link of no length add up to."""


class Traced(NamedTuple):
    """Requests and faults of a run, and the commands after boot."""

    done: list[DmaDone]
    recorded: list[FaultRecorded]
    executed: list[CommandExecuted]


def traced(*sets: str) -> Traced:
    topology = load("zero_day_rtl", sets=["iommu0.geometry.cq_log2=6", "iommu0.geometry.fq_log2=6", *sets])
    found = Traced([], [], [])

    def watch(sim: Sim) -> None:
        def booted(_: BootDone) -> None:
            sim.probe(CommandExecuted).watch(found.executed.append)

        sim.probe(BootDone).watch(booted)
        sim.probe(DmaDone).watch(found.done.append)
        sim.probe(FaultRecorded).watch(found.recorded.append)

    assert run(Point(topology), watchers=[watch]).outcome == "ok"
    return found


@pytest.mark.parametrize("write_latency", [1, 10, 30])
def test_a_trace_shows_answers_and_records(write_latency: int) -> None:
    found = traced(f"dram0.write_latency={write_latency} ns")
    answered = {(event.iova, event.time): event.parts for event in found.done if event.status == "UR"}
    assert len(answered) == len(found.recorded) > 100
    for (_, time), record in zip(answered, found.recorded, strict=True):
        assert abs(record.time - time - (5 + write_latency - 2) * CYCLE) <= TICKS
    assert {parts["fault"] for parts in answered.values()} == {2 * CYCLE}
    assert {parts["walk"] for parts in answered.values()} == {(1 + 3 * 11) * CYCLE}


def test_a_trace_shows_commands_back_to_back_where_memory_is_slower_than_the_driver() -> None:
    executed = traced("dram0.latency=400 ns", "nic0.traffic.pattern=none").executed
    assert [event.kind for event in executed] == ["iotinval_vma"] * 32 + ["iofence"]
    assert {after.time - before.time for before, after in pairwise(executed)} == {404 * CYCLE}


def test_a_trace_shows_whom_a_request_waits_for() -> None:
    """Two requests under way, all of them misses: each waits for the one before it, and a cycle more."""
    sets = ["threads=[]", "run.until=35 us", "nic0.traffic.outstanding=2", "nic0.traffic.interval=1 ns"]
    done = traced(*sets, "dram0.latency=50 ns").done
    first, second = done[0].parts, done[1].parts
    miss = 3 + 3 * 51
    assert first["iotlb"] + first["ddt"] + first["walk"] == (8 + 6 * 51) * CYCLE
    assert second["place"] == (8 + 6 * 51) * CYCLE + CYCLE - (done[1].issued - done[0].issued)
    assert {event.parts["iotlb"] + event.parts["walk"] for event in done[1:40]} == {miss * CYCLE}
