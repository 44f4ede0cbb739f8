"""Calls of the DMA API, the core and the driver, told of with their duration and the parts that it is made of."""

from __future__ import annotations

from types import TracebackType

from cosim.events import CallAbandoned, CallBegun, CallDone
from cosim.sim.operations import Instant, Now, Self
from cosim.sim.simulation import Sim
from cosim.sw.kernel.errors import KernelError


class Calls:
    """Tells of the calls that threads make: ``async with calls.measured("unmap"):`` is one of them."""

    __slots__ = ("abandoned", "begun", "done", "sim")

    def __init__(self, sim: Sim) -> None:
        self.sim = sim
        self.abandoned = sim.probe(CallAbandoned)
        self.begun = sim.probe(CallBegun)
        self.done = sim.probe(CallDone)

    def measured(self, name: str) -> Measured:
        """The call that is made inside the ``async with``."""
        return Measured(self, name)


class Measured:
    """A call, from its beginning to its end; of a call that does not return only the beginning is told."""

    __slots__ = ("began", "calls", "name", "thread")

    def __init__(self, calls: Calls, name: str) -> None:
        self.calls = calls
        self.name = name
        self.began: Instant
        self.thread = ""

    async def __aenter__(self) -> None:
        calls = self.calls
        if calls.begun or calls.done:
            self.thread = (await Self()).name
            self.began = await Now()
            calls.begun(CallBegun(self.began.time, self.thread, self.name, self.began.parts))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        calls = self.calls
        if error is None or isinstance(error, KernelError):
            if calls.done:
                now, thread = await Now(), await Self()
                failed = error.name if isinstance(error, KernelError) else ""
                parts = now.since(self.began)
                calls.done(CallDone(now.time, thread.name, self.name, self.began.time, parts, failed))
        elif calls.abandoned and isinstance(error, Exception):
            calls.abandoned(CallAbandoned(calls.sim.now, self.thread, self.name, self.began.time))
