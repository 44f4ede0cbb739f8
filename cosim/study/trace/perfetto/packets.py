"""The packets of a Perfetto trace: tracks, slices on them, instants, counters; written as they come."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import (
    Trace,
    TracePacket,
    TrackDescriptor,
    TrackEvent,
)

from cosim.study.trace.selection import Selection
from cosim.study.trace.trace_file import TraceFile

AT_ONCE = 1000
"""So many packets are kept before they are written."""

SEQUENCE = 1
PS_PER_NS = 1000

Args = Mapping[str, int | str]


class Packets:
    """What is written of a trace. Times are picoseconds here, and nanoseconds rounded down in the file, its finest.

    Packets need not come in the order of their times; on one track, those of the same time must come in theirs. Slices
    that lie outside of the selection's window are left out. A name is written once and then referred to.
    """

    def __init__(self, file: TraceFile, selection: Selection) -> None:
        self._file = file
        self._selection = selection
        self._trace = Trace()
        self._names: dict[str, int] = {}
        self._args: dict[str, int] = {}
        self._tracks = 0
        self._before: dict[int, int] = {}
        """What counters are, as long as the window is not open."""
        self._first = True

    def track(self, name: str, parent: int = 0, *, counts: str = "", rank: int = 0) -> int:
        """A new track below another one; `counts` is the unit of a counter, `rank` its place among its siblings."""
        self._tracks += 1
        descriptor = self._packet().track_descriptor
        descriptor.uuid = self._tracks
        descriptor.name = name
        if parent:
            descriptor.parent_uuid = parent
        descriptor.child_ordering = TrackDescriptor.ChildTracksOrdering.EXPLICIT
        descriptor.sibling_order_rank = rank
        if counts:
            descriptor.counter.unit_name = counts
        return self._tracks

    def slice(
        self,
        track: int,
        name: str,
        began: int,
        ended: int,
        args: Args | None = None,
        *,
        inside: Iterable[tuple[str, int, int]] = (),
        flows: Iterable[int] = (),
        last: Iterable[int] = (),
    ) -> None:
        """A slice, with the slices `inside` of it, each a name, begin and end.

        `flows` are the arrows that go through it, in the order of time, and `last` those that end in it.
        """
        if not self._selection.overlaps(began, ended):
            return
        self.begin(track, name, began, args, flows=flows, last=last)
        for part, since, until in inside:
            self.begin(track, part, since)
            self.end(track, until)
        self.end(track, ended)

    def begin(
        self,
        track: int,
        name: str,
        time: int,
        args: Args | None = None,
        *,
        flows: Iterable[int] = (),
        last: Iterable[int] = (),
    ) -> None:
        """A slice begins; inside of the one that has begun before on its track and not ended."""
        self._named(track, name, time, TrackEvent.Type.TYPE_SLICE_BEGIN, args, flows, last)

    def end(self, track: int, time: int) -> None:
        """The slice that has begun last on a track ends."""
        self._event(track, time, TrackEvent.Type.TYPE_SLICE_END)

    def instant(
        self,
        track: int,
        name: str,
        time: int,
        args: Args | None = None,
        *,
        flows: Iterable[int] = (),
        last: Iterable[int] = (),
    ) -> None:
        """Something that takes no time."""
        if self._selection.inside(time):
            self._named(track, name, time, TrackEvent.Type.TYPE_INSTANT, args, flows, last)

    def count(self, track: int, value: int, time: int) -> None:
        """A counter has another value from now on; a window opens with the value that it has then."""
        if time < self._selection.from_ps:
            self._before[track] = value
        elif self._selection.inside(time):
            self._open()
            self._counted(track, value, time)

    def _open(self) -> None:
        for track, value in self._before.items():
            self._counted(track, value, self._selection.from_ps)
        self._before.clear()

    def _counted(self, track: int, value: int, time: int) -> None:
        self._event(track, time, TrackEvent.Type.TYPE_COUNTER).track_event.counter_value = value

    def close(self, now: int) -> None:
        """Write what is left of a run that has come to `now`."""
        if now >= self._selection.from_ps:
            self._open()
        self._write()

    def _write(self) -> None:
        self._file.put(self._trace.SerializeToString())
        self._trace = Trace()  # one that is cleared keeps the memory of all that it has ever held

    # --- Packets -----------------------------------------------------------------------------------------------------

    def _packet(self) -> Any:
        if len(self._trace.packet) >= AT_ONCE:
            self._write()
        packet = self._trace.packet.add()
        packet.trusted_packet_sequence_id = SEQUENCE
        packet.sequence_flags = TracePacket.SequenceFlags.SEQ_NEEDS_INCREMENTAL_STATE
        if self._first:
            packet.sequence_flags |= TracePacket.SequenceFlags.SEQ_INCREMENTAL_STATE_CLEARED
            packet.first_packet_on_sequence = True
            self._first = False
        return packet

    def _event(self, track: int, time: int, kind: int) -> Any:
        packet = self._packet()
        packet.timestamp = time // PS_PER_NS
        packet.track_event.type = kind
        packet.track_event.track_uuid = track
        return packet

    def _named(
        self,
        track: int,
        name: str,
        time: int,
        kind: int,
        args: Args | None,
        flows: Iterable[int],
        last: Iterable[int],
    ) -> None:
        packet = self._event(track, time, kind)
        event = packet.track_event
        event.name_iid = self._iid(self._names, name, packet, "event_names")
        event.flow_ids.extend(flows)
        event.terminating_flow_ids.extend(last)
        for key, value in (args or {}).items():
            annotation = event.debug_annotations.add()
            annotation.name_iid = self._iid(self._args, key, packet, "debug_annotation_names")
            if isinstance(value, str):
                annotation.string_value = value
            else:
                annotation.int_value = value

    @staticmethod
    def _iid(known: dict[str, int], name: str, packet: Any, kind: str) -> int:
        """The number of a name, which is written with the first packet that needs it."""
        iid = known.get(name)
        if iid is None:
            iid = known[name] = len(known) + 1
            getattr(packet.interned_data, kind).add(iid=iid, name=name)
        return iid
