"""``.dmesg``: what the kernel would have printed, in our words."""

from __future__ import annotations

from cosim.events import KernelLog
from cosim.sim.simulation import Sim
from cosim.study.trace.selection import Selection
from cosim.study.trace.trace_file import TraceFile
from cosim.system.topology import Topology


class KernelMessages:
    """Each line of the kernel's log as it comes."""

    def __init__(self, file: TraceFile, _: Topology, selection: Selection) -> None:
        self._file = file
        self._selection = selection

    def watch(self, sim: Sim) -> None:
        self._selection.listen_inside(sim, KernelLog, self._tell)

    def close(self) -> None:
        """Every line has been written."""

    def _tell(self, event: KernelLog) -> None:
        seconds, rest = divmod(event.time, 10**12)
        self._file.write(f"[{seconds:5d}.{rest // 10**6:06d}] {event.who}: {event.level}: {event.text}\n")
