"""Arbitration: a `Server` that serves in order of arrival, and a `Gate` that hands over in that order."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cosim.sim.kernel import Sim, Task


class Server:
    """One service at a time, first come first served, each of a known duration.

    ``yield server`` passes through it. `interval_ps` is how long it is busy with each visit, `latency_ps` how long
    the visitor takes to come out (the interval, if not given); an interval of 0 is a pure delay. `part` is the
    latency part that the visit counts for; the wait in front of the server counts for `wait_part`.
    """

    __slots__ = (
        "busy_ps",
        "free_at",
        "interval_ps",
        "latency_ps",
        "part",
        "visits",
        "wait_part",
        "waited_ps",
    )

    def __init__(self, interval_ps: int, part: str, *, latency_ps: int | None = None, wait_part: str = "queue") -> None:
        self.interval_ps = interval_ps
        self.latency_ps = interval_ps if latency_ps is None else latency_ps
        self.part = part
        self.wait_part = wait_part
        self.free_at = 0
        self.busy_ps = 0
        self.visits = 0
        self.waited_ps = 0

    def admit(self, now: int, interval_ps: int | None = None, latency_ps: int | None = None) -> int:
        """Enter at `now` and return when the visitor comes out; the durations are the server's own if not given."""
        if interval_ps is None:
            interval_ps = self.interval_ps
            latency_ps = self.latency_ps if latency_ps is None else latency_ps
        elif latency_ps is None:
            latency_ps = interval_ps
        start = self.free_at
        if start > now:
            self.waited_ps += start - now
        else:
            start = now
        self.free_at = start + interval_ps
        self.busy_ps += interval_ps
        self.visits += 1
        return start + latency_ps

    def busy_until(self, now: int) -> int:
        """How long it has been busy up to `now`; `busy_ps` counts what is still queued as well."""
        return self.busy_ps - max(0, self.free_at - now)

    def taking(self, interval_ps: int, latency_ps: int | None = None) -> Service:
        """A visit of another duration than the server's own: ``yield server.taking(5_000)``."""
        return Service(self, interval_ps, interval_ps if latency_ps is None else latency_ps)


class Service:
    """A visit to a server that takes its own time."""

    __slots__ = ("interval_ps", "latency_ps", "server")

    def __init__(self, server: Server, interval_ps: int, latency_ps: int) -> None:
        self.server = server
        self.interval_ps = interval_ps
        self.latency_ps = latency_ps


class Gate:
    """A counted set of slots; who finds none waits, and is served in order of arrival, ties by rank.

    States: *free* (`free` > 0, and then nobody waits) or *closed* (`free` == 0, any number wait).

    * a slot: ``Gate(sim, 4, part)``; ``yield gate`` takes one, ``gate.release()`` returns it or hands it to the
      first waiter, who goes on one tick later;
    * a merged wait: ``Gate(sim, 0, part)``; ``gate.open()`` lets everybody through, from then on as well.
    """

    __slots__ = ("_open", "free", "part", "sim", "slots", "waiting")

    def __init__(self, sim: Sim, slots: int, part: str) -> None:
        self.sim = sim
        self.slots = slots
        self.free = slots
        self.part = part
        self.waiting: deque[Task] = deque()
        self._open = False

    def take(self) -> bool:
        """Take a slot if one is free; a plain call, which never waits."""
        if self._open:
            return True
        if self.free:
            self.free -= 1
            return True
        return False

    def release(self) -> None:
        """Return a slot, or hand it to the first waiter."""
        if self.waiting:
            self.sim.resume(self.waiting.popleft())
        elif self.free < self.slots:
            self.free += 1
        else:
            raise RuntimeError(f"a slot was returned to a gate of {self.slots} that lent none")

    def open(self) -> None:
        """Let everybody through, in order of arrival, and whoever comes later without a wait."""
        self._open = True
        self.flush()

    def shut(self) -> None:
        """Close a gate again that `open` opened."""
        self._open = False

    def flush(self) -> None:
        """Let through all who wait at this moment, and nobody later."""
        sim = self.sim
        while self.waiting:
            sim.resume(self.waiting.popleft())


Operation = Any
"""What a hardware routine may yield: an `Access`, a `Server`, a `Service` or a `Gate`."""
