"""``.trace``: Linux's trace events ``iommu:map``, ``iommu:unmap`` and ``iommu:io_page_fault``, as trace_pipe has them.

The form of their lines is public: Documentation/trace/ftrace.rst has that of a line, and
``/sys/kernel/tracing/events/iommu/*/format`` that of each event.
"""

from __future__ import annotations

import re

from cosim.events import Attaching, FaultRecorded, Mapped, UnmapBegun
from cosim.sim.simulation import Sim
from cosim.spec.faults import Ttyp
from cosim.study.trace.selection import Selection
from cosim.study.trace.trace_file import TraceFile
from cosim.system.topology import Topology

COMM = 15
"""As many characters of a thread's name does Linux keep."""

FIRST_PID = 1000

WRITES = frozenset({Ttyp.UNTRANSLATED_WRITE, Ttyp.TRANSLATED_WRITE})


class KernelEvents:
    """A line for each map that has returned, each unmap that begins, and each fault that is reported.

    Linux traces an unmap when its entries are cleared, before it is flushed. A fault is told when the IOMMU has found
    it, and so stands under the idle task of the first CPU.
    """

    def __init__(self, file: TraceFile, topology: Topology, selection: Selection) -> None:
        self._file = file
        self._selection = selection
        self._drivers = {name: part.kind for name, part in topology.devices().items()}
        self._cpus = {name: number for number, name in enumerate(topology.of_kind("cpu"))}
        self._pids: dict[str, int] = {}
        self._devices: dict[tuple[str, int], str] = {}

    def watch(self, sim: Sim) -> None:
        select = self._selection
        select.listen(sim, Attaching, self._attaching)
        select.listen_inside(sim, Mapped, self._mapped)
        select.listen_inside(sim, UnmapBegun, self._unmapped)
        select.listen_inside(sim, FaultRecorded, self._fault)

    def close(self) -> None:
        """Every line has been written."""

    def _attaching(self, event: Attaching) -> None:
        for device_id in event.device_ids:
            self._devices[event.iommu, device_id] = event.device

    def _mapped(self, event: Mapped) -> None:
        span = f"iova={event.iova:#018x} - {event.iova + event.size:#018x}"
        self._tell(event.time, event.who, "map", f"IOMMU: {span} paddr={event.address:#018x} size={event.size}")

    def _unmapped(self, event: UnmapBegun) -> None:
        span = f"iova={event.iova:#018x} - {event.iova + event.size:#018x}"
        self._tell(event.time, event.who, "unmap", f"IOMMU: {span} size={event.size} unmapped_size={event.size}")

    def _fault(self, event: FaultRecorded) -> None:
        if not event.reported:
            return
        device = self._devices.get((event.who, event.device_id), f"device_id-{event.device_id:#x}")
        flags = int(event.ttyp in WRITES)
        text = f"IOMMU:{self._drivers.get(device, 'dma')} {device} iova={event.iova:#018x} flags={flags:#06x}"
        self._tell(event.time, "", "io_page_fault", text)

    def _tell(self, time: int, thread: str, event: str, text: str) -> None:
        cpu, _, name = thread.partition(".")
        pid = self._pids.setdefault(thread, FIRST_PID + len(self._pids)) if thread else 0
        seconds, rest = divmod(time, 10**12)
        task = f"{(re.sub(r'[^!-~]', '_', name) or '<idle>')[:COMM]:>16}-{pid:<7d}"
        where = f"[{self._cpus.get(cpu, 0):03d}] ..... {seconds:5d}.{rest // 10**6:06d}"
        self._file.write(f"{task} {where}: {event}: {text}\n")
