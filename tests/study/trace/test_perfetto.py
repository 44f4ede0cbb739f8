"""A timeline has a track for each part and thread, nested slices, arrows and counters, as Perfetto defines them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import cosim
from cosim import events
from cosim.sim.simulation import Sim
from cosim.study.run.run import Point, run
from cosim.study.trace.perfetto.packets import AT_ONCE
from cosim.study.trace.selection import Selection
from cosim.study.trace.trace import open_traces
from cosim.study.trace.trace_file import TraceFile
from tests.study.trace.timeline import Slice, Timeline

ONE_WALKER = Path(__file__).parent / "one_walker.yaml"


def traced(path: Path, *kinds: type, selection: Selection | None = None, **set: Any) -> tuple[Timeline, list[Any]]:
    """The timeline of a run as it is read back, and the events of these kinds of the same run."""
    seen: list[Any] = []

    def watch(sim: Sim) -> None:
        for kind in kinds:
            sim.probe(kind).watch(seen.append)

    topology = cosim.load(ONE_WALKER, set=set)
    with open_traces([str(path)], topology, selection or Selection()) as watchers:
        run(Point(topology), watchers=[*watchers, watch])
    return Timeline(path), seen


KINDS = (events.DmaIssued, events.DmaDone, events.CallDone, events.QueueDepth)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Timeline, list[Any]]:
    """The timeline of a whole run, and events of it."""
    return traced(tmp_path_factory.mktemp("whole") / "t.pftrace", *KINDS)


Whole = tuple[Timeline, list[Any]]


def of(kind: type, events: list[Any]) -> list[Any]:
    """Those of one kind."""
    return [event for event in events if isinstance(event, kind)]


def test_each_request_is_a_slice_and_its_parts_lie_inside_without_a_gap(whole: Whole) -> None:
    timeline, seen = whole
    for device in ("nic0", "disk0"):
        slices = [each for each in timeline.slices(f"{device}/requests") if each.name != "unfinished"]
        requests = {event.sequence: event for event in of(events.DmaDone, seen) if event.who == device}
        assert {each.args["sequence"] for each in slices} == set(requests)
        for each in slices:
            request = requests[each.args["sequence"]]
            assert (each.began, each.ended) == (request.issued // 1000, request.time // 1000)
            assert each.args["iova"] == hex(request.iova)
            assert {part: each.args[f"{part} ps"] for part in request.parts} == request.parts
            assert {part.name for part in each.inside} == set(request.parts)
            assert all(one.ended == two.began for one, two in pairwise(each.inside))
            assert (each.inside[0].began, each.inside[-1].ended) == (each.began, each.ended)


def test_there_are_as_many_tracks_of_requests_as_overlap(whole: Whole) -> None:
    timeline, _ = whole
    lanes = Counter(timeline.path(track) for track in timeline.lanes)
    assert lanes["nic0/requests"] == 4  # outstanding
    assert lanes["iommu0/walks"] == 1  # there is one walker
    for lane in timeline.lanes.values():
        assert all(one.ended <= two.began for one, two in pairwise(lane))


def test_calls_lie_in_the_calls_that_make_them_and_waits_in_those(whole: Whole) -> None:
    timeline, seen = whole
    called = of(events.CallDone, seen)
    outermost = timeline.slices("cpu0/map-unmap")
    unmap = next(each for each in outermost if each.name == "unmap")
    names = [unmap.name]
    inner: Slice | None = unmap
    while inner := next((each for each in inner.inside if each.name in ("iotlb_inval", "cmd_sync", "fence")), None):
        names.append(inner.name)
    assert names == ["unmap", "iotlb_inval", "cmd_sync", "fence"]
    kinds = {event.call for event in called}
    told = [(each.name, each.ended) for one in outermost for each in one.everything() if each.name in kinds]
    calls = [(event.call, event.time // 1000) for event in called if event.who == "cpu0.map-unmap"]
    assert not Counter(calls) - Counter(told)
    assert len(told) - len(calls) < 4  # what has not returned at the end
    assert "map-unmap" in {each.name for each in timeline.slices("cpu0/running")}


def test_arrows_go_from_the_sender_to_the_command_to_its_fence_and_to_who_waits(whole: Whole) -> None:
    timeline, _ = whole
    sent = {each.flows[0]: (path, each) for path, all_ in timeline.instants.items() for each in all_ if each.flows}
    seen = {flow: (path, each) for path, all_ in timeline.instants.items() for each in all_ for flow in each.last}
    commands = timeline.slices("iommu0/commands")
    fenced = {flow: each for each in commands for flow in each.last}
    assert {each.name for each in fenced.values()} == {"IOFENCE.C"}
    waited = ended = 0
    for command in commands:
        (flow,) = command.flows
        path, sender = sent[flow]
        assert sender.began <= command.ended
        assert sender.name == f"sends {command.name}"
        assert path == command.args["sent_by"].replace(".", "/")
        if command.name == "IOFENCE.C" and flow in seen:
            assert seen[flow][0] == path
            assert seen[flow][1].began >= command.ended
            waited += 1
        elif flow in fenced:
            assert fenced[flow].args["sent_by"] == command.args["sent_by"]
            assert fenced[flow].ended >= command.ended
            ended += 1
    assert waited > 5
    assert ended > 5


def test_counters_are_what_queues_and_devices_tell(whole: Whole) -> None:
    timeline, seen = whole
    depths = [(event.time // 1000, event.depth) for event in of(events.QueueDepth, seen)]
    assert timeline.counters["iommu0/cq depth"] == depths
    assert max(value for _, value in timeline.counters["nic0/in flight"]) == 4
    assert {value for _, value in timeline.counters["iommu0/walkers busy"]} == {0, 1}
    issued = sum(event.who == "nic0" for event in of(events.DmaIssued, seen))
    done = sum(event.who == "nic0" for event in of(events.DmaDone, seen))
    assert timeline.counters["nic0/in flight"][-1][1] == issued - done


def test_a_window_has_what_overlaps_it_and_counters_open_with_what_they_are(whole: Whole, tmp_path: Path) -> None:
    first, end = 84_000, 86_000  # ns
    timeline, _ = whole
    part, _ = traced(tmp_path / "part.pftrace", selection=Selection(first * 1000, end * 1000))

    def requests(traced: Timeline) -> list[int]:
        slices = traced.slices("nic0/requests")
        return sorted(each.args["sequence"] for each in slices if first <= each.ended and each.began <= end)

    assert (
        requests(part) == requests(timeline) == sorted(each.args["sequence"] for each in part.slices("nic0/requests"))
    )
    assert len(requests(part)) > 10
    before = [value for time, value in timeline.counters["nic0/in flight"] if time < first]
    assert part.counters["nic0/in flight"][0] == (first, before[-1])
    calls = {each.name for each in part.slices("cpu0/map-unmap")}
    assert calls & {"map", "unmap"}
    assert all(each.began <= end for track in part.lanes.values() for each in track)


def test_what_is_kept_does_not_grow_with_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is written a thousand packets at a time."""
    chunks: list[int] = []
    put = TraceFile.put

    def noted(file: TraceFile, data: bytes) -> None:
        chunks.append(len(data))
        put(file, data)

    monkeypatch.setattr(TraceFile, "put", noted)
    cosim.run(ONE_WALKER, trace=tmp_path / "t.pftrace")
    assert len(chunks) > 3
    assert max(chunks) < 200 * AT_ONCE


@pytest.mark.slow
def test_a_run_of_four_times_the_length_needs_no_more_memory_to_be_traced(tmp_path: Path) -> None:
    """Four times as long is 15 MiB more of packets; as messages in memory they were ten times that."""

    def largest_mib(until: str) -> float:
        code = f"cosim.run('quickstart', until='{until}', trace={str(tmp_path / 't.pftrace')!r})"
        code = f"import resource, cosim; {code}; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        return int(ended.stdout) / 1024

    assert largest_mib("400 us") - largest_mib("100 us") < 30


def test_other_parts_have_no_track(tmp_path: Path) -> None:
    timeline, _ = traced(tmp_path / "t.pftrace", selection=Selection(parts=("disk0",)))
    parts = defaultdict(set)
    for track in timeline.tracks:
        part, _, below = timeline.path(track).partition("/")
        parts[part].add(below)
    assert parts["disk0"] == {"", "requests", "in flight"}
    assert set(parts) <= {"disk0", "iommu0"}  # a walk that is for it, or waits for one of it


def test_the_trace_processor_of_perfetto_finds_the_same(tmp_path: Path) -> None:
    binary = shutil.which("trace_processor_shell") or shutil.which("trace_processor")
    if binary is None:
        pytest.skip("there is no trace_processor_shell")
    from perfetto.trace_processor import TraceProcessor, TraceProcessorConfig

    path = tmp_path / "t.pftrace"
    timeline, done = traced(path, events.DmaDone)
    with TraceProcessor(trace=str(path), config=TraceProcessorConfig(bin_path=binary)) as processor:
        slices = "select slice.name, dur from slice join track on track_id = track.id where track.name = 'requests'"
        rows = [row for row in processor.query(f"{slices} and depth = 0") if row.name != "unfinished"]
        assert len(rows) == len(done)
        assert sum(row.dur for row in rows) == sum(event.time // 1000 - event.issued // 1000 for event in done)
        arrows = next(iter(processor.query("select count(*) as n from flow")))
        assert arrows.n >= sum(len(each.flows) for each in timeline.slices("iommu0/commands"))
