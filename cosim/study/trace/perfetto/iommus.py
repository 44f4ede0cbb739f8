"""IOMMUs and memory: commands, walks, registers, faults, interrupts, and the depths of queues."""

from __future__ import annotations

from collections import Counter

from cosim import events
from cosim.sim.simulation import Sim
from cosim.spec.faults import Cause
from cosim.study.trace.commands import command_name, command_text
from cosim.study.trace.json_lines import register_name
from cosim.study.trace.perfetto.flows import Flows, Slot
from cosim.study.trace.perfetto.packets import Packets
from cosim.study.trace.perfetto.tracks import Tracks
from cosim.study.trace.selection import Selection


class Iommus:
    """A slice for each command and each walk, and what happens at one moment."""

    def __init__(self, packets: Packets, tracks: Tracks, flows: Flows) -> None:
        self._packets = packets
        self._tracks = tracks
        self._flows = flows
        self._fetched: dict[Slot, int] = {}
        self._walks: Counter[str] = Counter()
        self._invalidated: dict[str, events.Invalidated] = {}

    def watch(self, sim: Sim, selection: Selection) -> None:
        listen = selection.listen
        listen(sim, events.CommandSent, self._sent)
        listen(sim, events.CommandFetched, self._fetches)
        listen(sim, events.Invalidated, self._invalidates)
        listen(sim, events.CommandExecuted, self._executed)
        listen(sim, events.QueueDepth, self._depth)
        listen(sim, events.QueueFailed, self._failed)
        listen(sim, events.WalkBegun, self._walk_begun)
        listen(sim, events.WalkDone, self._walk_done)
        listen(sim, events.RegisterWritten, self._written)
        listen(sim, events.FaultRecorded, self._fault)
        listen(sim, events.InterruptRaised, self._interrupt)
        listen(sim, events.Busy, self._busy)

    # --- Commands ----------------------------------------------------------------------------------------------------

    def _sent(self, event: events.CommandSent) -> None:
        flow = self._flows.sent(event)
        args: dict[str, int | str] = {"command": command_text(event.words), "iommu": event.iommu, "index": event.index}
        track = self._tracks.of_thread(event.who)
        self._packets.instant(track, f"sends {command_name(event.words)}", event.time, args, flows=[flow])

    def _fetches(self, event: events.CommandFetched) -> None:
        self._fetched[event.who, event.index] = event.time

    def _invalidates(self, event: events.Invalidated) -> None:
        self._invalidated[event.who] = event

    def _executed(self, event: events.CommandExecuted) -> None:
        began = self._fetched.pop((event.who, event.index), event.time)
        sender, flows, last = self._flows.executed(event)
        args: dict[str, int | str] = {"command": command_text(event.words), "index": event.index, "sent_by": sender}
        done = self._invalidated.pop(event.who, None)
        if done is not None and done.time == event.time:
            args |= {"dropped": done.dropped, "overtaken": done.overtaken}
        track = self._tracks.lane(event.who, "commands", began, event.time)
        self._packets.slice(track, command_name(event.words), began, event.time, args, flows=flows, last=last)

    def _depth(self, event: events.QueueDepth) -> None:
        iommu, _, queue = event.who.partition(".")
        self._packets.count(self._tracks.below(iommu, f"{queue} depth", counts="entries"), event.depth, event.time)

    def _failed(self, event: events.QueueFailed) -> None:
        args: dict[str, int | str] = {"index": event.index}
        track = self._tracks.below(event.who, "errors")
        self._packets.instant(track, f"{event.queue}csr.{event.bit}", event.time, args)

    # --- Walks -------------------------------------------------------------------------------------------------------

    def _walk_begun(self, event: events.WalkBegun) -> None:
        self._walking(event.who, 1, event.time)

    def _walking(self, iommu: str, change: int, time: int) -> None:
        self._walks[iommu] += change
        self._packets.count(self._tracks.below(iommu, "walkers busy", counts="walkers"), self._walks[iommu], time)

    def _walk_done(self, event: events.WalkDone) -> None:
        self._walking(event.who, -1, event.time)
        track = self._tracks.lane(event.who, "walks", event.began, event.time)
        args: dict[str, int | str] = {"for": f"{event.by} #{event.sequence}", "reads": event.reads}
        if event.fault:
            args["ended"] = "without a translation"
        self._packets.slice(track, f"walk of {event.kind}", event.began, event.time, args)

    # --- What happens at one moment ----------------------------------------------------------------------------------

    def _written(self, event: events.RegisterWritten) -> None:
        args: dict[str, int | str] = {"value": hex(event.value), "by": event.by}
        track = self._tracks.below(event.who, "registers")
        self._packets.instant(track, register_name(event.offset), event.time, args)

    def _fault(self, event: events.FaultRecorded) -> None:
        args: dict[str, int | str] = {
            "device_id": event.device_id,
            "iova": hex(event.iova),
            "recorded": str(event.recorded).lower(),
        }
        name = Cause(event.cause).name.lower()
        self._packets.instant(self._tracks.below(event.who, "faults"), name, event.time, args)

    def _interrupt(self, event: events.InterruptRaised) -> None:
        args: dict[str, int | str] = {"vector": event.vector, "by": "message" if event.message else "wire"}
        self._packets.instant(self._tracks.below(event.who, "interrupts"), event.source, event.time, args)

    def _busy(self, event: events.Busy) -> None:
        part, _, resource = event.who.partition(".")
        if resource == "port":
            began, ended = event.time, event.time + event.busy_ps
            self._packets.slice(self._tracks.lane(part, resource, began, ended), "transfer", began, ended)
