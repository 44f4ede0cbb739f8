"""A timeline of a run for Perfetto: what the files beside this one tell, on the tracks of the same parts."""

from __future__ import annotations

from cosim.sim.simulation import Sim
from cosim.study.trace.perfetto.devices import Devices
from cosim.study.trace.perfetto.flows import Flows
from cosim.study.trace.perfetto.iommus import Iommus
from cosim.study.trace.perfetto.packets import Packets
from cosim.study.trace.perfetto.threads import Threads
from cosim.study.trace.perfetto.tracks import Tracks
from cosim.study.trace.selection import Selection
from cosim.study.trace.trace_file import TraceFile
from cosim.system.topology import Topology


class Timeline:
    """Written as it happens: what is kept is what has not ended, and the names."""

    def __init__(self, file: TraceFile, topology: Topology, selection: Selection) -> None:
        self._selection = selection
        self._packets = Packets(file, selection)
        tracks, flows = Tracks(self._packets, tuple(topology.parts)), Flows()
        self._devices = Devices(self._packets, tracks)
        self._iommus = Iommus(self._packets, tracks, flows)
        self._threads = Threads(self._packets, tracks, flows, selection)

    def watch(self, sim: Sim) -> None:
        self._sim = sim
        self._devices.watch(sim, self._selection)
        self._iommus.watch(sim, self._selection)
        self._threads.watch(sim)

    def close(self) -> None:
        now = self._sim.now
        self._devices.close(now)
        self._threads.close(now)
        self._packets.close(now)
