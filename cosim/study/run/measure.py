"""What a run measures: each of its ideas is a file, and here they are put together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from cosim.oracles import RECORDERS, Bounds, NeededCommands
from cosim.oracles.in_memory import Memories
from cosim.oracles.in_source import Source
from cosim.sim.occupancy import Occupancy
from cosim.sim.simulation import Sim
from cosim.study.gather.event_digest import EventDigest
from cosim.study.gather.latencies_by_name import LatenciesByName
from cosim.study.gather.requests import Requests
from cosim.study.run.calls_under_way import CallsUnderWay
from cosim.study.run.counted import Counted
from cosim.study.run.exposures import Exposures
from cosim.study.run.failed_requests import FailedRequests
from cosim.study.run.failed_rounds import FailedRounds
from cosim.study.run.kernel_lines import KernelLines
from cosim.study.run.over_time import OverTime
from cosim.study.run.queue_depths import QueueDepths
from cosim.study.run.violations import Violations
from cosim.study.run.window import Window
from cosim.sw.runtime import Origin


class Meter:
    """Watches one run, from events and from the parts' own counters.

    `counters` gives every cumulative counter of the system by its path, `occupancies` each number over time by its
    name, and `bounds` what bounds some of them. `patience` is how long oracles wait for what takes time. With
    `keep_samples` every latency is kept. `awaited` are the texts that the kernel's log is expected to hold.
    """

    def __init__(
        self,
        sim: Sim,
        *,
        warmup_ps: int,
        origin: Origin | None = None,
        counters: Callable[[], Mapping[str, int]],
        occupancies: Mapping[str, Occupancy],
        bounds: Mapping[str, Mapping[str, int]] | None = None,
        patience: Bounds,
        memory: Memories | None = None,
        source: Source | None = None,
        keep_samples: bool = False,
        awaited: Iterable[str] = (),
    ) -> None:
        self.sim = sim
        self.window = Window(sim, warmup_ps, origin or Origin())
        self.counted = Counted(self.window, counters)
        self.depths = QueueDepths(sim, self.window)
        self.exposures = Exposures(sim, self.window)
        self.over_time = OverTime(sim, self.window, occupancies, bounds or {})
        self._needed = NeededCommands()
        self._recorders = [recorder() for recorder in RECORDERS]
        self.failed = FailedRequests()
        self.digest = EventDigest(sim)
        self.latencies = LatenciesByName(sim, self.window, keep=keep_samples)
        self.violations = Violations(
            sim,
            patience,
            memory=memory,
            source=source,
            beside=(*self._recorders, self._needed, self.failed),
            failures=Requests(self.digest, self.latencies),
        )
        self._commands = Counted(self.window, self._needed.counts)
        self.rounds = FailedRounds(sim)
        self.calls = CallsUnderWay(sim)
        self.log = KernelLines(sim, awaited)

    def numbers(self) -> dict[str, int | float]:
        """Every number of the window that is not derived from others, by path and counter."""
        found: dict[str, int | float] = {**self.counted.since(), **self._commands.since()}
        if self.window:
            queues = [name.removesuffix(".depth_ps") for name in found if name.endswith(".depth_ps")]
            found |= self.over_time.means() | self.over_time.most() | self.depths.deepest(queues)
            found |= self.exposures.numbers()
        return found

    def seen(self) -> dict[str, int]:
        """What the whole run could have shown (`cosim.oracles.SEEN`)."""
        return {name: count for recorder in self._recorders for name, count in recorder.counts().items()}
