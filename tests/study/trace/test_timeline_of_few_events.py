"""What a timeline makes of a few events that are told one by one: arrows, tracks, and the ends of calls."""

from __future__ import annotations

from pathlib import Path

from cosim.events import CallAbandoned, CallBegun, CallDone, CommandExecuted, CommandSent, ThreadSpent
from cosim.sim.simulation import Sim
from cosim.study.trace.perfetto.flows import Flows
from cosim.study.trace.perfetto.packets import Packets
from cosim.study.trace.perfetto.threads import Threads
from cosim.study.trace.perfetto.tracks import Tracks
from cosim.study.trace.selection import ALL
from cosim.study.trace.trace_file import TraceFile
from tests.study.trace.timeline import Timeline


def test_arrows_of_commands_end_in_the_next_fence_of_their_sender_and_that_of_the_fence_where_it_is_seen() -> None:
    flows = Flows()
    sent = ("cpu0.fox", "cpu1.hare", "cpu0.fox", "cpu0.fox", "cpu1.hare")
    kinds = ("iotinval_vma", "iotinval_vma", "iotinval_vma", "iofence", "iofence")
    arrows = [flows.sent(CommandSent(0, who, "iommu0", index, (0, 0))) for index, who in enumerate(sent)]
    first, other, second, fence, last = arrows
    assert len({*arrows}) == len(sent)
    assert [flows.executed(CommandExecuted(1, "iommu0", index, (0, 0), kind)) for index, kind in enumerate(kinds)] == [
        ("cpu0.fox", [first], []),
        ("cpu1.hare", [other], []),
        ("cpu0.fox", [second], []),
        ("cpu0.fox", [fence], [first, second]),
        ("cpu1.hare", [last], [other]),
    ]
    assert [flows.seen("cpu0.fox") for _ in range(2)] == [[fence], []]
    assert flows.seen("cpu1.hare") == [last]


def test_what_overlaps_has_tracks_of_its_own_and_what_does_not_shares_the_one_needed_last(tmp_path: Path) -> None:
    file = TraceFile(str(tmp_path / "t.pftrace"))
    tracks = Tracks(Packets(file, ALL), ("nic0",))
    spans = ((0, 5), (2, 6), (5, 7), (8, 9), (6, 10))
    first, second, third, fourth, fifth = (tracks.lane("nic0", "requests", *span) for span in spans)
    file.close()
    assert first != second
    assert (third, fourth, fifth) == (first, first, second)


def test_a_call_ends_when_it_returns_or_is_abandoned_whenever_it_began(tmp_path: Path) -> None:
    path = tmp_path / "t.pftrace"
    file, sim = TraceFile(str(path)), Sim()
    packets = Packets(file, ALL)
    threads = Threads(packets, Tracks(packets, ("cpu0",)), Flows(), ALL)
    threads.watch(sim)
    for event in (
        CallBegun(2_000, "cpu0.fox", "unmap", {}),
        ThreadSpent(4_000, "cpu0.fox", "cpu", 2_000),
        CallBegun(4_000, "cpu0.fox", "iotlb_inval", {}),
        ThreadSpent(7_000, "cpu0.fox", "fence", 4_000),
        CallDone(7_000, "cpu0.fox", "iotlb_inval", 4_000, {"fence": 3_000}, ""),
        CallAbandoned(9_000, "cpu0.fox", "unmap", 2_000),
        CallBegun(9_000, "cpu0.fox", "map", {}),
    ):
        sim.probe(type(event))(event)
    threads.close(11_000)
    packets.close(11_000)
    file.close()
    told = [
        (each.name, each.began, each.ended) for one in Timeline(path).slices("cpu0/fox") for each in one.everything()
    ]
    assert told == [("unmap", 2, 9), ("cpu", 2, 4), ("iotlb_inval", 4, 7), ("fence", 4, 7), ("map", 9, 11)]
