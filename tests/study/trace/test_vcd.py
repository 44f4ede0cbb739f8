"""Waveforms hold what registers, queues and threads were, at every moment; read back by another program's reader."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

import cosim
from cosim import events
from cosim.sim.simulation import Sim
from cosim.study.run.run import Point, run
from cosim.study.trace.selection import Selection
from cosim.study.trace.trace import open_traces

pywellen = pytest.importorskip("pywellen")

ONE_WALKER = Path(__file__).parent / "one_walker.yaml"

Changes = list[tuple[int, Any]]


def traced(path: Path, *kinds: type, selection: Selection | None = None) -> tuple[dict[str, Changes], list[Any]]:
    """The changes of each variable of a trace, as they are read, and the events of these kinds of the same run."""
    seen: list[Any] = []

    def watch(sim: Sim) -> None:
        for kind in kinds:
            sim.probe(kind).watch(seen.append)

    topology = cosim.load(ONE_WALKER)
    with open_traces([str(path)], topology, selection or Selection()) as watchers:
        run(Point(topology), watchers=[*watchers, watch])
    waves = pywellen.Waveform(str(path))
    assert str(waves.timescale) == "1ps"
    return {wave.full_name: list(wave.signal) for wave in waves.all_vars()}, seen


Whole = tuple[dict[str, Changes], list[Any]]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """The waveform of a whole run, and events of it."""
    path = tmp_path_factory.mktemp("whole") / "t.vcd"
    return traced(path, events.RegisterChanged, events.Switched, events.CallBegun)


def test_registers_change_in_the_waveform_when_they_change(whole: Whole) -> None:
    waves, seen = whole
    expected: dict[str, Changes] = defaultdict(list)
    for event in seen:
        if not isinstance(event, events.RegisterChanged):
            continue
        expected[f"{event.who}.registers.{event.register}"].append((event.time, event.value))
    for name, changes in expected.items():
        assert [change for change in waves[name] if change[0] > 0] == changes
    assert len(expected["iommu0.registers.cqh"]) > 10
    assert {name.rpartition(".")[2] for name in expected} > {"ddtp", "cqb", "cqt", "cqcsr", "fqb"}


def test_queues_cpus_and_threads_have_a_state(whole: Whole) -> None:
    waves, seen = whole
    states = [value for _, value in waves["iommu0.cq.state"]]
    assert states == ["off", "turning_on", "on"]
    for cpu in ("cpu0", "cpu1"):
        switched = [event for event in seen if isinstance(event, events.Switched) and event.who == cpu]
        assert waves[f"{cpu}.running"][1:] == [(event.time, event.thread) for event in switched]
    begun = {event.call for event in seen if isinstance(event, events.CallBegun) and event.who == "cpu0.map-unmap"}
    assert {value for _, value in waves["cpu0.map-unmap.call"]} == begun | {""}
    assert {value for _, value in waves["iommu0.commands.executing"]} > {"", "IOTINVAL.VMA", "IOFENCE.C"}
    assert {value for _, value in waves["iommu0.walkers.busy"]} == {0, 1}  # there is one
    assert max(value for _, value in waves["nic0.in_flight"]) == 4


def test_a_window_opens_with_the_values_that_there_are(whole: Whole, tmp_path: Path) -> None:
    waves, _ = whole
    opens, closes = 82_000_000, 86_000_000
    part, _ = traced(tmp_path / "part.vcd", selection=Selection(opens, closes))
    assert set(part) == set(waves)
    some = 0
    for name, changes in waves.items():
        if ".interrupt." in name:
            continue
        before = [value for time, value in changes if time <= opens]
        inside = [(time, value) for time, value in changes if opens < time <= closes]
        some += len(inside)
        assert [change for change in part[name] if change[0] > opens] == inside
        assert not before or part[name][-len(inside) - 1][1] == before[-1]
    assert some > 20


def test_parts_that_are_not_chosen_have_no_variables(tmp_path: Path) -> None:
    waves, _ = traced(tmp_path / "t.vcd", selection=Selection(parts=("cpu1", "iommu0.cq")))
    assert {name.split(".")[0] for name in waves} == {"cpu1", "iommu0"}
    assert {name for name in waves if name.startswith("iommu0")} == {"iommu0.cq.depth", "iommu0.cq.state"}
    assert len(waves["iommu0.cq.depth"]) > 5


def test_a_call_whose_thread_waited_for_its_cpu_begins_behind_what_was_told_by_then(tmp_path: Path) -> None:
    """It began when its thread was ready, but an interrupt had the CPU."""
    path, name = tmp_path / "t.vcd", "cpu0.map-unmap"
    sim = Sim()
    with open_traces([str(path)], cosim.load(ONE_WALKER), Selection()) as watchers:
        for watch in watchers:
            watch(sim)
        for event in (
            events.CallBegun(2_000, name, "map", {}),
            events.Switched(9_000, "cpu0", name),
            events.CallBegun(4_000, name, "unmap", {}),
            events.CallDone(12_000, name, "unmap", 4_000, {}, ""),
        ):
            sim.probe(type(event))(event)
    waves = {wave.full_name: list(wave.signal) for wave in pywellen.Waveform(str(path)).all_vars()}
    assert waves["cpu0.running"] == [(0, ""), (9_000, name)]
    assert waves[f"{name}.call"] == [(0, ""), (2_000, "map"), (9_000, "unmap"), (12_000, "map")]
