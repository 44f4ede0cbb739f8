"""What is gathered from each DMA request that is over: one look at its device serves the digest and the latencies."""

from __future__ import annotations

from mypy_extensions import i64

from cosim.events import DmaDone
from cosim.sim.digest import mixed, number_of
from cosim.study.gather.event_digest import EventDigest
from cosim.study.gather.failures import Failures
from cosim.study.gather.latencies import Latencies
from cosim.study.gather.latencies_by_name import LatenciesByName


class OfDevice:
    """What is looked up once for a device: where its latencies go, and how the digest takes that it has succeeded."""

    __slots__ = ("reads", "succeeded", "writes")

    def __init__(self, who: str) -> None:
        self.reads: Latencies | None = None
        self.writes: Latencies | None = None
        self.succeeded: i64 = mixed(number_of(who), number_of("SUCCESS"))


class Requests(Failures):
    """Puts each request into the digest and into the latencies, and tells who wants them of those that failed."""

    __slots__ = ("_devices", "_digest", "_latencies")

    def __init__(self, digest: EventDigest, latencies: LatenciesByName) -> None:
        super().__init__()
        self._digest = digest
        self._latencies = latencies
        self._devices: dict[str, OfDevice] = {}

    def done(self, event: DmaDone) -> None:
        """A request is over."""
        device = self._devices.get(event.who)
        if device is None:
            device = self._devices[event.who] = OfDevice(event.who)
        digest = self._digest
        digest.events += 1
        if event.status == "SUCCESS":
            digest.digest.mix(device.succeeded, event.sequence, event.time)
            if self.failing:
                self.tell(event)
        else:
            digest.digest.add(number_of(event.who), event.sequence, event.time, number_of(event.status))
            self.tell(event)
        latencies = self._latencies
        opened = latencies.opened
        if opened < 0:
            return
        latencies.ended += 1
        if opened <= event.issued:
            found = None
            if event.purpose == "data":
                found = device.writes if event.write else device.reads
            if found is None:
                found = self._found(device, event)
            found.add(event.time - event.issued, event.parts)

    def _found(self, device: OfDevice, event: DmaDone) -> Latencies:
        """Where the latencies of what is like this request are gathered."""
        if event.purpose != "data":
            return self._latencies.of(f"{event.who}.{event.purpose}")
        found = self._latencies.of(f"{event.who}.{'write' if event.write else 'read'}")
        if event.write:
            device.writes = found
        else:
            device.reads = found
        return found
