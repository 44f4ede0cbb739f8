"""DMA masters: devices that read and write memory through an IOMMU, or directly."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from cosim.events import DmaDone, DmaIssued
from cosim.hw.datapath import DataPath
from cosim.hw.options import DmaOptions
from cosim.hw.traffic import gaps, offsets, split, writes
from cosim.hw.transaction import Status, Transaction
from cosim.sim.component import Component
from cosim.sim.kernel import Sim, Stage, Task
from cosim.sim.occupancy import Occupancy
from cosim.sim.server import Gate, Server, Service
from cosim.sim.transport import Port

Transport = Callable[[Transaction], Generator[Any, Any, None]]
"""Takes a request from the IO bridge to memory and back: `Iommu.transport`, or that of `Direct`."""


class Direct:
    """The way to memory without an IOMMU: a device's addresses are physical."""

    def __init__(self, sim: Sim, port: Port) -> None:
        self.sim = sim
        self.data = DataPath(sim, port)

    def transport(self, txn: Transaction) -> Generator[Any, Any, None]:
        """Make the access at the address that the device gave."""
        txn.address = txn.iova
        txn.translated = self.sim.now
        access = self.data.begin(txn)
        yield access
        self.data.end(txn, access)


class Link:
    """Both directions between a device and the IO bridge: each takes a hop, and carries one packet at a time."""

    def __init__(self, options: DmaOptions) -> None:
        self.options = options
        self.up, self.down = (Server(0, "link", latency_ps=options.link, wait_part="link") for _ in range(2))

    def send(self, way: Server, data: int) -> Server | Service:
        """What a routine yields to get a packet with `data` bytes of payload across."""
        bandwidth = self.options.bandwidth
        if bandwidth is None:
            return way
        transfer = bandwidth.transfer_ps(self.options.header + data)
        return way.taking(transfer, transfer + self.options.link)


class Requester(Component):
    """The part of a device that makes DMA requests, at most `traffic.outstanding` at the same time.

    A request is *waiting* for a slot, then *outstanding*; a posted write returns its slot when the IO bridge has it,
    any other request when its completion is back. A fault ends a request like any other answer.
    """

    def __init__(self, sim: Sim, path: str, options: DmaOptions, device_id: int, transport: Transport) -> None:
        super().__init__(sim, path)
        self.options = options
        self.device_id = device_id
        self.transport = transport
        self.initiator = sim.initiator(path)
        self.link = Link(options)
        self.slots = Gate(sim, options.traffic.outstanding, "slot")
        self.occupancy = Occupancy()
        self.requests = [0, 0]
        """Reads and writes that are over."""
        self.bytes = [0, 0]
        """Bytes that were read and written."""
        self.statuses = [0] * len(Status)
        """How many ended with each status."""
        self._agent = f"{path}.dma"
        self._sequence = 0
        self._issued = sim.probe(DmaIssued)
        self._done = sim.probe(DmaDone)

    def request(
        self,
        iova: int,
        size: int,
        write: bool,
        *,
        has_slot: bool = False,
        purpose: str = "data",
        words: tuple[int, ...] = (),
        then: Callable[[Transaction], None] | None = None,
    ) -> Task:
        """Start a request, which waits for a slot unless it has one; `then` is called with it when it is over.

        A write without `words` carries a pattern that tells its device and number.
        """
        self._sequence = sequence = self._sequence + 1
        if write and not words:
            words = (self.device_id << 40 | sequence & 0xFF_FFFF_FFFF,) * (size + 7 >> 3)
        txn = Transaction(
            self.device_id,
            iova,
            size,
            write=write,
            words=words,
            master=self.path,
            agent=self._agent,
            sequence=sequence,
        )
        routine = self._carry_out(txn, has_slot, purpose, then)
        return self.sim.start(routine, self.initiator.rank(Stage.TRANSACTION), txn.parts)

    def _carry_out(
        self, txn: Transaction, has_slot: bool, purpose: str, then: Callable[[Transaction], None] | None
    ) -> Generator[Any, Any, None]:
        sim, link, write = self.sim, self.link, txn.write
        txn.issued = sim.now
        self.occupancy.enter(txn.issued)
        if not has_slot:
            yield self.slots
        if self._issued:
            self._issued(DmaIssued(sim.now, self.path, self.device_id, txn.sequence, txn.iova, txn.size, write))
        yield link.send(link.up, txn.size if write else 0)
        posted = write and self.options.posted
        if posted:
            self.slots.release()
        yield from self.transport(txn)
        if not posted:
            yield link.send(link.down, 0 if write or txn.status is not Status.SUCCESS else txn.size)
            self.slots.release()
        self._conclude(txn, purpose)
        if then is not None:
            then(txn)

    def _conclude(self, txn: Transaction, purpose: str) -> None:
        now = self.sim.now
        self.occupancy.leave(now, txn.issued, sum(txn.parts.values()))
        self.statuses[txn.status] += 1
        self.requests[txn.write] += 1
        if txn.status is Status.SUCCESS:
            self.bytes[txn.write] += txn.size
        if self._done:
            self._done(
                DmaDone(
                    now,
                    self.path,
                    self.device_id,
                    txn.sequence,
                    txn.iova,
                    txn.size,
                    txn.write,
                    txn.issued,
                    txn.status.name,
                    txn.parts,
                    purpose,
                )
            )

    def counters(self) -> dict[str, int]:
        """Statistics by name, such as ``reads``."""
        return {
            "reads": self.requests[False],
            "writes": self.requests[True],
            "bytes_read": self.bytes[False],
            "bytes_written": self.bytes[True],
            "faults": sum(self.requests) - self.statuses[Status.SUCCESS],
        }


class DmaMaster(Requester):
    """A device whose requests follow a pattern of addresses within a window; its options say how many, and how fast.

    *Idle* until `start` gives it a window, then *running* until it has made its requests or `stop` is called.
    Without `interval` a request is made whenever fewer than `outstanding` are under way. With it, requests are made
    at their times no matter how many are under way, and those above `outstanding` wait in the device.
    """

    def __init__(self, sim: Sim, path: str, options: DmaOptions, device_id: int, transport: Transport) -> None:
        super().__init__(sim, path, options, device_id, transport)
        self._stream = sim.chooser.stream(f"{path}.traffic")
        self._running: object = None

    def start(self, iova_base: int, size: int | None = None) -> None:
        """Run, in the window of `size` bytes (that of the options, if not given) from `iova_base` on."""
        traffic = self.options.traffic
        if size is not None:
            traffic = traffic.model_copy(update={"window": size})
        if size is not None and traffic.size > size:
            raise ValueError(f"{self.path}: a request of {traffic.size} bytes does not fit in a window of {size} bytes")
        if traffic.pattern in ("none", "ring"):
            return
        stream = self._stream
        self._running = token = object()
        routine = self._issue(
            token, iova_base, offsets(traffic, stream), writes(traffic, stream), gaps(traffic, stream)
        )
        self.sim.start(routine, self.initiator.rank(Stage.TRANSACTION), delay_ps=traffic.start)

    def stop(self) -> None:
        """Make no further request; those under way end as they will."""
        self._running = None

    def _issue(
        self,
        token: object,
        iova_base: int,
        next_offset: Callable[[], int],
        next_writes: Callable[[], bool],
        next_gap: Callable[[], int] | None,
    ) -> Generator[Any, Any, None]:
        clock = Server(0, "slot")
        left, whole = self.options.traffic.requests, self.options.traffic.size
        while left != 0:
            if next_gap is not None:
                gap = next_gap()
                yield clock.taking(0, gap)
            write = next_writes()
            for iova, size in split(iova_base + next_offset(), whole):
                if next_gap is None:
                    yield self.slots
                if self._running is not token:
                    if next_gap is None:
                        self.slots.release()
                    return
                self.request(iova, size, write, has_slot=next_gap is None)
            if left is not None:
                left -= 1
