"""A `Server`, which serves one visitor at a time, in order of arrival."""

from __future__ import annotations

from cosim.sim.demand import Demand
from cosim.sim.spent import part_number


class Server(Demand):
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
        "wait_part",
        "waited_ps",
    )

    def __init__(self, interval_ps: int, part: str, *, latency_ps: int | None = None, wait_part: str = "queue") -> None:
        self.interval_ps = interval_ps
        self.latency_ps = interval_ps if latency_ps is None else latency_ps
        self.part = part_number(part)
        self.wait_part = part_number(wait_part)
        self.free_at = 0
        self.busy_ps = 0
        self.waited_ps = 0

    def admit(self, now: int) -> int:
        """Enter at `now` and return when the visitor comes out."""
        return self.serve(now, self.interval_ps, self.latency_ps)

    def serve(self, now: int, interval_ps: int, latency_ps: int) -> int:
        """The same of a visit that takes its own time."""
        start = self.free_at
        if start > now:
            self.waited_ps += start - now
        else:
            start = now
        self.free_at = start + interval_ps
        self.busy_ps += interval_ps
        return start + latency_ps

    def busy_until(self, now: int) -> int:
        """How long it has been busy up to `now`; `busy_ps` counts what is still queued as well."""
        return self.busy_ps - max(0, self.free_at - now)

    def taking(self, interval_ps: int, latency_ps: int | None = None) -> Service:
        """A visit of another duration than the server's own: ``yield server.taking(5_000)``."""
        return Service(self, interval_ps, interval_ps if latency_ps is None else latency_ps)


class Service(Demand):
    """A visit to a server that takes its own time."""

    __slots__ = ("interval_ps", "latency_ps", "server")

    def __init__(self, server: Server, interval_ps: int, latency_ps: int) -> None:
        self.server = server
        self.interval_ps = interval_ps
        self.latency_ps = latency_ps
