"""DMA masters: devices that read and write memory through an IOMMU, or directly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice

from cosim.hw.dma.bursts import Bursts
from cosim.hw.dma.direct import Transport
from cosim.hw.dma.options import DmaOptions
from cosim.hw.dma.recording import Survey, read, survey
from cosim.hw.dma.register_block import RegisterBlock
from cosim.hw.dma.requester import Requester
from cosim.hw.dma.traffic import gaps, sizes, split, writes
from cosim.sim.gate import Gate
from cosim.sim.ranks import Stage
from cosim.sim.server import Server
from cosim.sim.simulation import Sim
from cosim.sim.task import Routine
from cosim.spec.bits import Word
from cosim.spec.dma_device import CONTROL, NOT_BEFORE, REGISTERS, SIZE, STATUS, WINDOW, DmaControl, DmaStatus
from cosim.spec.register_map import Register


class DmaMaster(Requester):
    """A device whose requests follow a pattern of addresses within a window; its options say how many, and how fast.

    *Idle* until its registers tell it to run (`spec.dma_device`), then *running* until it has made its requests or is
    told to stop. Without `interval` a request is made whenever fewer than `outstanding` are under way. With it,
    requests are made at their times no matter how many are under way, and those above `outstanding` wait in the device.
    So they are if they were recorded, but for those that find `queue` others waiting: these are made as soon as not.
    """

    options: DmaOptions

    def __init__(
        self,
        sim: Sim,
        path: str,
        options: DmaOptions,
        device_ids: Sequence[int],
        transport: Transport,
        *,
        buffer: int | None = None,
    ) -> None:
        super().__init__(sim, path, options, options.pace, device_ids, transport, buffer=buffer)
        self.registers = RegisterBlock(sim, path, REGISTERS, options.register_access, self._on_write)
        self._stream = sim.chooser.stream(f"{path}.traffic")
        traffic = options.traffic
        self._next_size = sizes(traffic.size, traffic.sizes, sim.chooser.stream(f"{path}.sizes"))
        self._phases = sim.chooser.stream(f"{path}.bursts")
        self._running: object = None

    def start(self, iova_base: int, size: int | None = None, *, not_before: int = 0) -> None:
        """Run from `not_before` on, in `size` bytes (the window of the options, if not given) from `iova_base` on."""
        traffic = self.options.traffic
        size = traffic.window if size is None else size
        if traffic.largest > size:
            raise ValueError(
                f"{self.path}: a request of {traffic.largest} bytes does not fit in a window of {size} bytes"
            )
        replayed = traffic.file if traffic.pattern == "replay" else None
        if traffic.how.offsets is None and replayed is None:
            return
        stream = self._stream
        self._running = token = object()
        self.registers.put(STATUS, DmaStatus(self.registers.value(STATUS)).replace(on=1))
        delay = not_before - self.sim.now
        if replayed is not None:
            again = self._replay(token, iova_base, replayed, survey(replayed, self.path))
            self.sim.start(again, self.initiator.rank(Stage.TRANSACTION), delay_ps=delay)
            return
        assert traffic.how.offsets is not None
        bursts = Bursts.of(traffic, self._phases)
        next_gap = gaps(traffic, stream, bursts)
        routine = self._issue(
            token,
            iova_base,
            traffic.how.offsets(traffic.space(size), stream).__next__,
            writes(traffic.read, stream),
            next_gap,
            bursts if next_gap is None else None,
        )
        self.sim.start(routine, self.initiator.rank(Stage.TRANSACTION), delay_ps=delay)

    def stop(self) -> None:
        """Make no further request; those under way end as they will."""
        self._running = None
        self.registers.put(STATUS, DmaStatus(self.registers.value(STATUS)).replace(on=0))

    def _on_write(self, register: Register[Word], old: int, written: int) -> None:
        if register is not CONTROL:
            return
        registers = self.registers
        if not DmaControl(registers.value(CONTROL)).run:
            self.stop()
        elif registers.value(SIZE) < self.options.traffic.largest:
            registers.put(STATUS, DmaStatus(registers.value(STATUS)).replace(fault=1))
        else:
            self.start(registers.value(WINDOW), registers.value(SIZE), not_before=registers.value(NOT_BEFORE))

    def _issue(
        self,
        token: object,
        iova_base: int,
        next_offset: Callable[[], int],
        next_writes: Callable[[], bool],
        next_gap: Callable[[], int] | None,
        bursts: Bursts | None,
    ) -> Routine:
        clock = Server(0, "slot")
        left, next_size = self.options.traffic.requests, self._next_size
        while left != 0:
            if next_gap is not None:
                gap = next_gap()
                yield clock.taking(0, gap)
            elif bursts is not None:
                yield self.slots  # whether a burst is over is asked when there is one
                self.slots.release()
                if held := bursts.held(self.sim.now):
                    yield clock.taking(0, held)
            write = next_writes()
            for iova, size in split(iova_base + next_offset(), next_size()):
                if next_gap is None:
                    yield self.slots
                if self._running is not token:
                    if next_gap is None:
                        self.slots.release()
                    return
                self.request(iova, size, write, has_slot=next_gap is None)
            if left is not None:
                left -= 1
        if self._running is token:
            self.stop()

    def _replay(self, token: object, iova_base: int, file: str, found: Survey) -> Routine:
        """Make the requests of a file at their times, from now on; what finds no slot waits in the device."""
        clock, began = Server(0, "slot"), self.sim.now - found.first_ps
        room = Gate(self.sim, self.options.traffic.queue, "slot")
        mine = (recorded for recorded in read(file) if recorded.device == self.path)
        for recorded in islice(mine, self.options.traffic.requests):
            due = began + recorded.time_ps
            if due > self.sim.now:
                yield clock.taking(0, due - self.sim.now)
            for iova, size in split(iova_base + recorded.iova - found.base, recorded.size):
                has_slot = self.slots.take()
                if not has_slot:
                    yield room
                if self._running is not token:
                    if has_slot:
                        self.slots.release()
                    return
                self.request(iova, size, recorded.write, has_slot=has_slot, room=room)
        if self._running is token:
            self.stop()
