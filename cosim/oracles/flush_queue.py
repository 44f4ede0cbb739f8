"""What is unmapped is flushed, or waits for a common flush, in time and never with too many others."""

from __future__ import annotations

from collections import Counter
from typing import ClassVar

from cosim.events import (
    CallBegun,
    CallDone,
    DomainMade,
    FlushAwaited,
    FlushGivenUp,
    FlushQueued,
    FlushTimer,
    KernelEnded,
    UnmapBegun,
    UnmapFailed,
    Unmapped,
)
from cosim.oracles.oracle import UNMAPPING, Oracle, exact, span


class FlushQueue(Oracle):
    """Reports each range that waits longer than its timer allows, at the moment from which on that is sure.

    Once the thread that has queued a range goes on, and again whenever the timer's callback has ended, the range has
    been flushed, or a timer is armed or about to be; it is due within `Bounds.deferred_ps`. How long the callback has
    to wait for its CPU, and for its flush, is another matter. A timer that is armed already is put off no further than
    what waits allows. What waits is flushed as a whole.

    Reports each unmap that returns without any of that: its range is not flushed, its flush has not failed, and it does
    not wait.

    Source: queue_iova and fq_flush_timeout (drivers/iommu/dma-iommu.c).
    """

    name = "flush-queue"
    watches: ClassVar = {
        DomainMade: "made",
        FlushQueued: "queued",
        FlushAwaited: "awaited",
        FlushTimer: "timer",
        UnmapBegun: "unmap_begun",
        Unmapped: "unmapped",
        UnmapFailed: "settled",
        FlushGivenUp: "flushed",
        CallBegun: "call_begun",
        CallDone: "call_done",
        KernelEnded: "kernel_ended",
    }

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self._waiting: dict[str, dict[int, FlushQueued]] = {}
        self._decided: set[tuple[str, int]] = set()
        """Those that wait, and of which the thread has gone on."""
        self._armed: set[str] = set()
        self._arming: dict[str, set[str]] = {}
        self._early: dict[str, set[str]] = {}
        """The threads whose timer has fired before they could tell that it is armed."""
        self._firing: Counter[str] = Counter()
        self._begun: dict[str, dict[tuple[str, int], UnmapBegun]] = {}
        """What each thread unmaps in the call that it makes, of which nothing has become yet."""
        self._twice: set[tuple[str, int]] = set()
        """Where a caller has unmapped what was waiting: which of the two sizes is flushed first is not known."""

    def made(self, event: DomainMade) -> None:
        for known in (self._waiting, self._arming, self._early, self._firing):
            known.pop(event.domain, None)
        self._armed.discard(event.domain)
        self._decided = {key for key in self._decided if key[0] != event.domain}

    def kernel_ended(self, event: KernelEnded) -> None:
        for known in (self._waiting, self._decided, self._armed, self._arming, self._early, self._firing, self._begun):
            known.clear()

    def call_begun(self, event: CallBegun) -> None:
        if event.call in UNMAPPING:
            self._begun.pop(event.who, None)

    def unmap_begun(self, event: UnmapBegun) -> None:
        self._begun.setdefault(event.who, {})[event.domain, event.iova] = event

    def settled(self, event: Unmapped | UnmapFailed | FlushQueued) -> None:
        """It is known what becomes of an unmap."""
        self._begun.get(event.who, {}).pop((event.domain, event.iova), None)

    def call_done(self, event: CallDone) -> None:
        if event.call not in UNMAPPING:
            return
        begun = self._begun.pop(event.who, {})
        for left in begun.values() if not event.failed or event.call == "map" else ():
            self.violated(
                f"the {event.call} of {event.who} has returned at {exact(event.time)}, and {left.size:#x} bytes at "
                f"{left.iova:#x} of {left.domain} that it has unmapped are neither flushed nor wait for a flush",
                event.time,
                left.time,
                signature="an unmap returned that nothing flushes",
            )

    def unmapped(self, event: Unmapped) -> None:
        waits = self._waiting.get(event.domain, {}).get(event.iova)
        if waits is not None and waits.size != event.size and (event.domain, event.iova) not in self._twice:
            self.violated(
                f"{event.size:#x} bytes at {event.iova:#x} of {event.domain} are flushed at {exact(event.time)}, and "
                f"{waits.size:#x} wait there, unmapped by {waits.who} at {exact(waits.time)}",
                event.time,
                waits.time,
                signature="another range is flushed than the one that waits",
            )
        self.settled(event)
        self.flushed(event)

    def queued(self, event: FlushQueued) -> None:
        self.settled(event)
        waiting = self._waiting.setdefault(event.domain, {})
        if event.iova in waiting:
            self._twice.add((event.domain, event.iova))
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
            self._early.get(domain, set()).discard(event.who)
        elif event.state == "armed":
            if domain in self._armed:
                self._put_off(event)
            if event.who not in self._early.get(domain, ()):
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
            self._early[domain] = set(self._arming.get(domain, ()))
            self._firing[domain] += 1
        else:
            self._firing[domain] -= 1
            self._judge(domain, event.time)

    def _put_off(self, event: FlushTimer) -> None:
        """A timer is armed that was armed: it is due later."""
        for iova, waits in self._waiting.get(event.domain, {}).items():
            if (event.domain, iova) in self._decided and event.due - waits.time > self.bounds.deferred_ps:
                self.violated(
                    f"{event.who} has what is unmapped in {event.domain} wait until {exact(event.due)}, at "
                    f"{exact(event.time)}, such as {iova:#x}, which waits since {exact(waits.time)}",
                    event.time,
                    waits.time,
                    signature="a timer is put off too far",
                )
                return

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
