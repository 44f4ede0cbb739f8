"""What waits for a common flush has a timer that flushes it in time, and never waits with too many others."""

from __future__ import annotations

from collections import Counter
from typing import ClassVar

from cosim.events import DomainMade, FlushAwaited, FlushGivenUp, FlushQueued, FlushTimer, KernelEnded, Unmapped
from cosim.oracles.oracle import Oracle, exact, span


class FlushQueue(Oracle):
    """Reports each range that waits longer than its timer allows, at the moment from which on that is sure.

    Once the thread that has queued a range goes on, and again whenever the timer's callback has ended, the range has
    been flushed, or a timer is armed or about to be; it is due within `Bounds.deferred_ps`. How long the callback has
    to wait for its CPU, and for its flush, is another matter.

    Source: queue_iova and fq_flush_timeout (drivers/iommu/dma-iommu.c).
    """

    name = "flush-queue"
    watches: ClassVar = {
        DomainMade: "made",
        FlushQueued: "queued",
        FlushAwaited: "awaited",
        FlushTimer: "timer",
        Unmapped: "flushed",
        FlushGivenUp: "flushed",
        KernelEnded: "kernel_ended",
    }

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self._waiting: dict[str, dict[int, FlushQueued]] = {}
        self._decided: set[tuple[str, int]] = set()
        """Those that wait, and of which the thread has gone on."""
        self._armed: set[str] = set()
        self._arming: dict[str, set[str]] = {}
        self._firing: Counter[str] = Counter()

    def made(self, event: DomainMade) -> None:
        for known in (self._waiting, self._arming, self._firing):
            known.pop(event.domain, None)
        self._armed.discard(event.domain)
        self._decided = {key for key in self._decided if key[0] != event.domain}

    def kernel_ended(self, event: KernelEnded) -> None:
        for known in (self._waiting, self._decided, self._armed, self._arming, self._firing):
            known.clear()

    def queued(self, event: FlushQueued) -> None:
        waiting = self._waiting.setdefault(event.domain, {})
        waiting[event.iova] = event
        entries = self.bounds.deferred
        together = sum(other.cpu == event.cpu for other in waiting.values()) if len(waiting) >= entries else 0
        if together >= entries:
            self.violated(
                f"{together} ranges of {event.domain} wait in the flush queue of {event.cpu} at {exact(event.time)}",
                event.time,
                event.time,
                signature="more ranges wait than a ring has room for",
            )

    def awaited(self, event: FlushAwaited) -> None:
        self._arming.get(event.domain, set()).discard(event.who)
        if event.iova in self._waiting.get(event.domain, ()):
            self._decided.add((event.domain, event.iova))
            self._judge(event.domain, event.time)

    def flushed(self, event: Unmapped | FlushGivenUp) -> None:
        self._waiting.get(event.domain, {}).pop(event.iova, None)
        self._decided.discard((event.domain, event.iova))

    def timer(self, event: FlushTimer) -> None:
        domain = event.domain
        if event.state == "arming":
            self._arming.setdefault(domain, set()).add(event.who)
        elif event.state == "armed":
            self._armed.add(domain)
            if event.due - event.time > self.bounds.deferred_ps:
                self.violated(
                    f"{event.who} has what is unmapped in {domain} wait for {span(event.due - event.time)}, at "
                    f"{exact(event.time)}",
                    event.time,
                    event.time,
                    signature="a timer is due too late",
                )
        elif event.state == "fires":
            self._armed.discard(domain)
            self._firing[domain] += 1
        else:
            self._firing[domain] -= 1
            self._judge(domain, event.time)

    def _judge(self, domain: str, now: int) -> None:
        if domain in self._armed or self._arming.get(domain) or self._firing[domain] > 0:
            return
        for iova, waits in self._waiting.get(domain, {}).items():
            if (domain, iova) in self._decided:
                self.violated(
                    f"{waits.size:#x} bytes at {iova:#x} of {domain}, unmapped by {waits.who} at {exact(waits.time)}, "
                    f"wait at {exact(now)} for a flush that no timer starts",
                    now,
                    waits.time,
                    signature="a range waits without a timer",
                )
                self._decided.discard((domain, iova))
