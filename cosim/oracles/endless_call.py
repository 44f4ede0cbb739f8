"""Every call returns: none waits for a lock that will never be free, nor for longer than its time-outs let it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from cosim.events import CallAbandoned, CallBegun, CallDone, Deadlocked, KernelLog, ThreadLeft
from cosim.oracles.oracle import Oracle, exact, span

OTHERS = frozenset({"preempted", "irq", "lock", "rcu"})
"""Latency parts in which a thread waits for other threads, as long as these please."""


class EndlessCall(Oracle):
    """Reports, at the end of a run, each thread that is deadlocked, and each call that goes on without getting on.

    A call *gets on* whenever it makes or returns from another one. Between two of these it may take `Bounds.call_ps` of
    its own time; what it waits for other threads does not count, and if one of those never comes, that is a deadlock or
    an endless call of its own. Once the kernel has warned of anything, calls may take as long as all their time-outs
    together, and only deadlocks are judged.

    Source: the time-outs of the driver (drivers/iommu/riscv/iommu.c), after each of which it goes on; "hung task"
    (kernel/hung_task.c).
    """

    name = "endless-call"
    watches: ClassVar = {
        CallBegun: "begun",
        CallDone: "done",
        CallAbandoned: "abandoned",
        KernelLog: "logged",
        Deadlocked: "deadlocked",
        ThreadLeft: "left",
    }

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self._calls: dict[str, list[CallBegun]] = {}
        self._got_on: dict[str, tuple[int, Mapping[str, int]]] = {}
        """When each thread's call has got on last, and what the thread had spent by then."""
        self._warned = False

    def begun(self, event: CallBegun) -> None:
        self._calls.setdefault(event.who, []).append(event)
        self._got_on[event.who] = event.time, event.spent

    def done(self, event: CallDone) -> None:
        spent = dict(self._calls[event.who].pop().spent)
        for part, ps in event.parts.items():
            spent[part] = spent.get(part, 0) + ps
        self._got_on[event.who] = event.time, spent

    def abandoned(self, event: CallAbandoned) -> None:
        self._calls[event.who].pop()

    def logged(self, event: KernelLog) -> None:
        self._warned = self._warned or event.level != "info"

    def deadlocked(self, event: Deadlocked) -> None:
        whose = f"{event.holder} took and never gave back" if event.ended else f"{event.holder} holds"
        self.violated(
            f"{event.who} waits for {event.lock_class}, which {whose}, since {exact(event.since)}",
            event.time,
            event.since,
            signature=f"deadlock on {event.lock_class}",
        )

    def left(self, event: ThreadLeft) -> None:
        calls = self._calls.get(event.who)
        if not calls or self._warned:
            return
        since, before = self._got_on[event.who]
        own = sum(ps - before.get(part, 0) for part, ps in event.spent.items() if part not in OTHERS)
        if own > self.bounds.call_ps:
            names = " in ".join(call.call for call in reversed(calls))
            self.violated(
                f"{event.who} has been in {names} since {exact(calls[0].time)}, {span(own)} of its own time without "
                "getting on",
                event.time,
                since,
                signature=f"{names} does not return",
            )
