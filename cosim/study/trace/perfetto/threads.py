"""Threads: their calls, with what each spends its time on inside, and the CPUs that they run on."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from cosim import events
from cosim.sim.simulation import Sim
from cosim.study.trace.perfetto.flows import Flows
from cosim.study.trace.perfetto.packets import Packets
from cosim.study.trace.perfetto.tracks import Tracks
from cosim.study.trace.selection import Selection


@dataclass(slots=True)
class _Thread:
    """A thread: the calls that it is in, how many of them are written, and the part that it spends its time on."""

    track: int
    calls: list[tuple[str, int]] = field(default_factory=list)
    written: int = 0
    part: str = ""
    began: int = 0
    until: int = 0


class Threads:
    """A slice for each call, inside of it the calls that it makes, and the latency parts."""

    def __init__(self, packets: Packets, tracks: Tracks, flows: Flows, selection: Selection) -> None:
        self._packets = packets
        self._tracks = tracks
        self._flows = flows
        self._selection = selection
        self._threads: dict[str, _Thread] = {}
        self._running: defaultdict[str, tuple[str, int]] = defaultdict(lambda: ("", 0))

    def watch(self, sim: Sim) -> None:
        listen = self._selection.listen
        listen(sim, events.ThreadSpent, self._spent)
        listen(sim, events.CallBegun, self._begun)
        listen(sim, events.CallDone, self._done)
        listen(sim, events.CallAbandoned, self._done)
        listen(sim, events.Switched, self._switched)
        listen(sim, events.KernelLog, self._logged)
        listen(sim, events.FreedTouched, self._touched)
        listen(sim, events.LockTaken, self._locked)

    def close(self, now: int) -> None:
        """What has not ended is there up to now."""
        for thread in self._threads.values():
            self._settle(thread)
            for _ in range(thread.written):
                self._packets.end(thread.track, now)
        for cpu in list(self._running):
            self._ran(cpu, now)

    def _thread(self, name: str) -> _Thread:
        thread = self._threads.get(name)
        if thread is None:
            thread = self._threads[name] = _Thread(self._tracks.of_thread(name))
        return thread

    # --- Calls and parts ---------------------------------------------------------------------------------------------

    def _spent(self, event: events.ThreadSpent) -> None:
        thread = self._thread(event.who)
        if thread.part != event.part or thread.until != event.began:
            self._settle(thread)
            thread.part, thread.began = event.part, event.began
        thread.until = event.time
        if event.part == "fence" and (seen := self._flows.seen(event.who)):
            self._settle(thread)
            if self._selection.inside(event.time):
                self._packets.instant(thread.track, "sees its IOFENCE", event.time, last=seen)

    def _settle(self, thread: _Thread) -> None:
        """Write the part that is over: inside of calls, and while it is not one's own doing outside of them as well."""
        if thread.part and self._selection.overlaps(thread.began, thread.until):
            self._catch_up(thread)
            self._packets.begin(thread.track, thread.part, thread.began)
            self._packets.end(thread.track, thread.until)
        thread.part = ""

    def _catch_up(self, thread: _Thread) -> None:
        """Write the beginnings of calls that the window opens in."""
        for name, time in thread.calls[thread.written :]:
            self._packets.begin(thread.track, name, time)
        thread.written = len(thread.calls)

    def _begun(self, event: events.CallBegun) -> None:
        thread = self._thread(event.who)
        self._settle(thread)
        thread.calls.append((event.call, event.time))
        if self._selection.inside(event.time):
            self._catch_up(thread)

    def _done(self, event: events.CallDone | events.CallAbandoned) -> None:
        thread = self._thread(event.who)
        self._settle(thread)
        if not thread.calls:
            return
        thread.calls.pop()
        if thread.written > len(thread.calls):
            thread.written = len(thread.calls)
            self._packets.end(thread.track, event.time)

    # --- What else happens on a CPU ----------------------------------------------------------------------------------

    def _switched(self, event: events.Switched) -> None:
        self._ran(event.who, event.time)
        self._running[event.who] = event.thread, event.time

    def _ran(self, cpu: str, now: int) -> None:
        thread, since = self._running[cpu]
        if thread:
            name = thread.removeprefix(f"{cpu}.")
            self._packets.slice(self._tracks.below(cpu, "running"), name, since, now)

    def _logged(self, event: events.KernelLog) -> None:
        track = self._thread(event.who).track
        self._packets.instant(track, event.level, event.time, {"text": event.text})

    def _touched(self, event: events.FreedTouched) -> None:
        args: dict[str, int | str] = {
            "address": hex(event.address),
            "freed_by": event.freed_by,
            "freed_ps": event.freed,
            "by": event.by,
        }
        way = "writes" if event.write else "reads"
        track = self._tracks.of_thread(event.who)
        self._packets.instant(track, f"{way} freed {event.what}", event.time, args)

    def _locked(self, event: events.LockTaken) -> None:
        thread = self._thread(event.who)
        self._settle(thread)
        self._packets.instant(thread.track, f"takes {event.lock_class}", event.time, {"address": hex(event.address)})
