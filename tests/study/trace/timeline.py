"""Reads a timeline back, by the definitions that come with Perfetto and nothing of ours."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace, TracePacket, TrackEvent

Type = TrackEvent.Type


@dataclass
class Slice:
    """What begins and ends on a track, with what lies inside of it."""

    name: str
    began: int
    args: dict[str, Any]
    flows: list[int]
    last: list[int]
    ended: int = -1
    inside: list[Slice] = field(default_factory=list)

    def everything(self) -> list[Slice]:
        """It and all inside of it."""
        return [self, *(each for one in self.inside for each in one.everything())]


class Timeline:
    """Slices and instants by the path of their track, counters as pairs of time and value."""

    def __init__(self, path: Path) -> None:
        self.tracks: dict[int, Any] = {}
        self.lanes: dict[int, list[Slice]] = defaultdict(list)
        self.instants: dict[str, list[Slice]] = defaultdict(list)
        self.counters: dict[str, list[tuple[int, int]]] = defaultdict(list)
        packets = Trace.FromString(path.read_bytes()).packet
        assert packets[0].sequence_flags & TracePacket.SequenceFlags.SEQ_INCREMENTAL_STATE_CLEARED
        names: dict[int, str] = {}
        keys: dict[int, str] = {}
        happened = []
        for packet in packets:
            names |= {each.iid: each.name for each in packet.interned_data.event_names}
            keys |= {each.iid: each.name for each in packet.interned_data.debug_annotation_names}
            if packet.HasField("track_descriptor"):
                assert packet.track_descriptor.uuid not in self.tracks
                self.tracks[packet.track_descriptor.uuid] = packet.track_descriptor
            else:
                happened.append(packet)
        open_: dict[int, list[Slice]] = defaultdict(list)
        for packet in sorted(happened, key=lambda packet: packet.timestamp):  # stable, as Perfetto does
            event, time = packet.track_event, packet.timestamp
            track = event.track_uuid
            assert track in self.tracks
            if event.type == Type.TYPE_COUNTER:
                self.counters[self.path(track)].append((time, event.counter_value))
            elif event.type == Type.TYPE_SLICE_END:
                open_[track].pop().ended = time
            else:
                args = {
                    keys[each.name_iid]: each.string_value if each.HasField("string_value") else each.int_value
                    for each in event.debug_annotations
                }
                found = Slice(names[event.name_iid], time, args, [*event.flow_ids], [*event.terminating_flow_ids])
                if event.type == Type.TYPE_INSTANT:
                    found.ended = time
                    self.instants[self.path(track)].append(found)
                    continue
                (open_[track][-1].inside if open_[track] else self.lanes[track]).append(found)
                open_[track].append(found)
        assert not any(open_.values())

    def path(self, track: int) -> str:
        """The names of a track and those above it: ``iommu0/commands``."""
        descriptor = self.tracks[track]
        above = f"{self.path(descriptor.parent_uuid)}/" if descriptor.parent_uuid else ""
        return f"{above}{descriptor.name}"

    def slices(self, path: str) -> list[Slice]:
        """The outermost slices on all tracks of this path, in the order of their begins."""
        found = [each for track, lane in self.lanes.items() if self.path(track) == path for each in lane]
        return sorted(found, key=lambda each: each.began)
