"""What a run gives back: one picklable record, and the JSON object that scripts rely on (docs/tutorial.md)."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from cosim.hw.iommu.queue_error import QueueError
from cosim.oracles import Violation
from cosim.study.run.calls_under_way import Unfinished
from cosim.study.run.failed_requests import ByDevice
from cosim.study.run.kernel_lines import LogLine
from cosim.study.run.latency import Latency
from cosim.study.run.series import Series
from cosim.study.run.signs import signs_of
from cosim.system.load import as_text

if TYPE_CHECKING:
    from cosim.study.slowest.slowest import Slowest

Outcome = Literal["ok", "failed", "stuck", "interrupted"]

EXIT_CODES: Mapping[str, int] = {"ok": 0, "failed": 1, "stuck": 4, "interrupted": 130}
"""What `cosim run` returns for each outcome; 2 is an invalid file, 3 an error inside cosim."""


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one run.

    Times are picoseconds of simulated time. `scalars` are named by path and counter (``iommu0.iotlb.hits``) and
    cover the measured window ``window_ps``. `failures` says in words why the outcome is not ``ok``.
    """

    version: str
    topology: str
    driver: str
    seed: int
    schedule: tuple[str, ...]
    outcome: Outcome
    simulated_ps: int
    window_ps: tuple[int, int]
    boot_ps: int
    events: int
    digest: str
    scalars: Mapping[str, int | float]
    latencies: Mapping[str, Latency]
    faults: ByDevice
    """Requests that an IOMMU refused, by device and cause; faults of an IOMMU's own stand under its path."""
    violations: tuple[Violation, ...]
    violation_count: int
    failures: tuple[str, ...]
    limit: str
    signatures: Mapping[str, int] = field(default_factory=dict)
    """How many of all violations there were of each signature, in the order of their first ones."""
    bus_errors: ByDevice = field(default_factory=dict)
    """Requests that failed on the bus, by device and status: `access_fault`, or `corrupt` data."""
    requests: Mapping[str, int] = field(default_factory=dict)
    """How many requests of each device ended; these three are of the whole run."""
    queue_errors: tuple[QueueError, ...] = ()
    """The errors in which queues stood at the end."""
    seen: Mapping[str, int] = field(default_factory=dict)
    """Buffers that were `unmapped` in the whole run, how many of them a device `touched` afterwards, so that a stale
    translation could have been seen, and how many unmaps still waited for their flush at the end (`unflushed`);
    `invalidations`, and how many of them were `dropping` something; `removals` of a device from a domain, and how many
    of them a reader `overlapped`."""
    ended: int = 0
    """Requests and calls that ended in the window, whenever they began."""
    samples: Mapping[str, array[int]] = field(default_factory=dict, repr=False)
    """Every latency in picoseconds, by the names of `latencies` and in the order in which requests and calls ended, if
    they were asked for."""
    series: Series = field(default=Series(), repr=False)
    """Numbers from step to step of the window, if they were asked for."""
    unfinished: Mapping[str, Unfinished] = field(default_factory=dict)
    """Calls that had not returned at the end, and took longer than any of their name, with their parts so far."""
    inactive: Mapping[str, str] = field(default_factory=dict)
    """Threads of the topology that never began, or have come to no call, and why, in words."""
    unasked: tuple[str, ...] = ()
    """Choices of the schedule that the run never came to."""
    nearest: Mapping[str, str] = field(default_factory=dict)
    """For each of them, which choices there were, in words."""
    idle_steps: tuple[str, ...] = ()
    """Steps that were taken out of the driver, as ``AXIS: STEP``, and that the run never came to."""
    log: tuple[LogLine, ...] = ()
    """The first lines of the kernel's log, of `log_lines` in all."""
    log_lines: int = 0
    slowest: Slowest | None = None
    """What the slowest requests and calls waited for; None if that was not asked for."""
    replay: str = ""
    ran: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The topology as it ran, as plain data."""
    model: str = ""
    """The version of the model that made it (`cosim.study.run.model`)."""

    @property
    def resolved(self) -> str:
        """The topology as it ran: YAML text that runs by itself."""
        return as_text(self.ran)

    @property
    def exit_code(self) -> int:
        """The exit code of `cosim run` with this result."""
        return EXIT_CODES[self.outcome]

    @property
    def signs(self) -> tuple[str, ...]:
        """What was shown: the signatures of violations, and what else was not as expected."""
        return signs_of(self.outcome, self.violations, self.failures)

    def as_json(self) -> dict[str, Any]:
        """The one object that `run --json` prints."""
        return {
            "cosim": self.version,
            "model": self.model,
            "topology": self.topology,
            "driver": self.driver,
            "seed": self.seed,
            "schedule": list(self.schedule),
            "outcome": self.outcome,
            "failures": list(self.failures),
            "simulated_ps": self.simulated_ps,
            "window_ps": list(self.window_ps),
            "boot_ps": self.boot_ps,
            "events": self.events,
            "digest": self.digest,
            "limit": self.limit,
            "scalars": dict(self.scalars),
            "latencies": {name: latency.as_json() for name, latency in self.latencies.items()},
            "seen": dict(self.seen),
            "ended": self.ended,
            "samples": {name: list(found) for name, found in self.samples.items()},
            "series": self.series.as_json(),
            "unfinished": {name: call.as_json() for name, call in self.unfinished.items()},
            "inactive": dict(self.inactive),
            "unasked": list(self.unasked),
            "idle_steps": list(self.idle_steps),
            "requests": dict(self.requests),
            "faults": {device: dict(causes) for device, causes in self.faults.items()},
            "bus_errors": {device: dict(statuses) for device, statuses in self.bus_errors.items()},
            "queue_errors": {
                error.name: {"since_ps": error.since_ps, "entries": error.entries} for error in self.queue_errors
            },
            "violation_count": self.violation_count,
            "signatures": dict(self.signatures),
            "violations": [
                {
                    "oracle": found.oracle,
                    "signature": found.signature,
                    "message": found.message,
                    "time_ps": found.time_ps,
                    "since_ps": found.since_ps,
                    "replay": self.replay,
                }
                for found in self.violations
            ],
            "slowest": self.slowest.as_json() if self.slowest else {"requests": [], "calls": []},
            "log_lines": self.log_lines,
            "log": [
                {"time_ps": line.time_ps, "who": line.who, "level": line.level, "text": line.text} for line in self.log
            ],
        }
