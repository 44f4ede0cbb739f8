"""One run: a pure function of one frozen value, the point."""

from __future__ import annotations

import gc
import re
import shlex
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from cosim.config.problems import Position, Problem, TopologyError
from cosim.events import BootDone
from cosim.sim.chooser import Chooser, Scheduled, ScheduleError
from cosim.sim.simulation import Sim
from cosim.study.run.calls_under_way import Unfinished
from cosim.study.run.inactive import inactive
from cosim.study.run.judged import Judged, judge
from cosim.study.run.keep import NO_MORE, Keep
from cosim.study.run.limit import NOTHING, limit_of
from cosim.study.run.measure import Meter
from cosim.study.run.model import model_version, package_version
from cosim.study.run.named import Named
from cosim.study.run.nearest_choice import nearest_choice
from cosim.study.run.progress import Progress
from cosim.study.run.result import Result
from cosim.study.run.series import Steps, check_step
from cosim.study.run.stop import Stop
from cosim.study.run.users_code import told_as_errors
from cosim.system.all_memory import AllMemory
from cosim.system.build import build
from cosim.system.load import as_data
from cosim.system.patience import patience
from cosim.system.system import System
from cosim.system.topology import Topology
from cosim.units.quantities import US
from cosim.units.run_end import AfterThreads

if TYPE_CHECKING:
    from cosim.study.slowest.slowest import SlowestSoFar

SLICES = 500
FIRST_SLICE = 50 * US
QUICK_S = 0.05
"""How often, in a run, its progress is told: at least so many times, and at first as often as this in simulated time;
a slice that took the host less than this, in seconds, is followed by one twice as long."""
_CHOICE = re.compile(r".+#\d+(\.past|\.[1-9]\d*)?:\d+")
_BETWEEN = re.compile(r"(?<=\d)[;|+&\s]+(?=[^#:]+#\d+[^#:]*:\d)")
"""What stands between two choices, and is no comma."""


@dataclass(frozen=True, slots=True)
class Point:
    """Everything that a run depends on: equal points give equal results, in any process.

    `schedule` holds ``name:answer`` for each choice that is not 0 (docs/schedules.md). `command` is what makes this
    point from a shell, for whoever wants to see a run again; it changes nothing.
    """

    topology: Topology
    name: str = "topology"
    schedule: tuple[str, ...] = field(default=())
    command: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        problems = [Problem(Position("--schedule"), (), wrong) for wrong in map(_wrong_choice, self.schedule) if wrong]
        problems += [
            Problem(Position("--schedule"), (), f"{name} is answered {times} times")
            for name, times in Counter(choice.rpartition(":")[0] for choice in self.schedule).items()
            if times > 1
        ]
        if problems:
            raise TopologyError(problems)


def _wrong_choice(choice: str) -> str:
    """Why a text is no choice with its answer; empty if it is one."""
    if not _CHOICE.fullmatch(choice):
        return f"{choice!r} is not NAME:ANSWER, such as cpu0.map.st#7:1"
    several = _BETWEEN.sub(",", choice)
    return f"{choice!r} is one text; separate choices with a comma: {several}" if several != choice else ""


def command_line(
    topology: object,
    *,
    sets: Iterable[str] = (),
    overlays: Iterable[object] = (),
    driver: str | None = None,
    seed: int | None = None,
    until: str | None = None,
    schedule: Iterable[str] = (),
) -> str:
    """The shell command that runs a topology, changed so."""
    words = ["cosim", "run", str(topology)]
    words += [word for path in sets for word in ("-s", path)]
    words += [word for path in overlays for word in ("-f", str(path))]
    for option, value in (("--driver", driver), ("--seed", seed), ("--until", until)):
        words += [] if value is None else [option, str(value)]
    chosen = ",".join(schedule)
    return shlex.join([*words, "--schedule", chosen] if chosen else words)


def run(
    point: Point,
    *,
    watchers: Sequence[Callable[[Sim], None]] = (),
    progress: bool = False,
    stop: Stop | None = None,
    keep: Keep = NO_MORE,
) -> Result:
    """Simulate `point` and return what was measured. Ctrl-C ends it early and keeps that.

    `watchers` are given the `Sim` before anything has happened. `stop` is what may end it early, if that is not
    Ctrl-C alone; it is being listened to. `keep` changes nothing but what the result holds.
    """
    if stop is None:
        stop = Stop()
        with stop.listening([signal.SIGINT]):
            return run(point, watchers=watchers, progress=progress, stop=stop, keep=keep)
    begun = UnderWay(point, watchers, stop, keep)
    try:
        begun.advance(progress=progress)
        return begun.result()
    finally:
        begun.close()


def _check_step(topology: Topology, step_ps: int) -> None:
    """TopologyError if a run that may be so long had too many steps."""
    until = topology.run.until
    longest = topology.run.limit + until.time_ps if isinstance(until, AfterThreads) else until
    try:
        check_step(step_ps, longest)
    except ValueError as error:
        raise TopologyError([Problem(Position("--series"), (), str(error))]) from None


class UnderWay:
    """A run that is under way: its system, and what is measured of it.

    Up to the end of boot it depends on its topology alone, so that one which has come so far may follow any schedule.
    """

    def __init__(
        self,
        point: Point,
        watchers: Sequence[Callable[[Sim], None]] = (),
        stop: Stop | None = None,
        keep: Keep = NO_MORE,
    ) -> None:
        self.point = point
        self.stop = stop or Stop()
        self.system = system = build(point.topology, _chooser(point))
        for watcher in watchers:  # before the meter, so that at the end of boot it may yet be another run's
            watcher(system.sim)
        occupancies = system.occupancies()
        self._patience = patience(point.topology, 0)
        self.meter = Meter(
            system.sim,
            warmup_ps=point.topology.run.warmup,
            origin=system.runtime.origin,
            counters=system.counters,
            occupancies=occupancies,
            bounds=system.bounds(),
            patience=self._patience,
            memory=AllMemory(system.bus),
            source=system.source,
            keep_samples=keep.samples,
            awaited=point.topology.expect.log if point.topology.expect else (),
        )
        _check_step(point.topology, keep.step_ps)
        self.steps = Steps(
            system.sim,
            self.meter.window,
            keep.step_ps,
            counters=system.counters,
            derived=system.derived,
            occupancies=occupancies,
        )
        self.slowest = _slowest(system, self.meter, keep.slowest) if keep.slowest else None
        system.sim.probe(BootDone).watch(self._booted)

    def follow(self, point: Point, chooser: Chooser | None = None) -> None:
        """Be the run of `point`, whose topology boots alike, from here on: called by a watcher of `BootDone`.

        `chooser` answers instead of the point's schedule. The seed may be another one if nothing was drawn so far, and
        so may be the `stalls` and, of `run`, what counts from the end of boot.
        """
        sim, run = self.system.sim, point.topology.run
        before, chooser = sim.chooser, chooser or _chooser(point)
        before.replaced_by(chooser)
        self.point = point
        self.system.topology = point.topology
        self.meter.window.warmup_ps = run.warmup
        sim.actions.hold_ps = run.hold
        sim.chooser = chooser

    def _booted(self, event: BootDone) -> None:
        """From here on a schedule holds actions."""
        hold_ps = len(self.point.schedule) * self.point.topology.run.hold
        self.meter.violations.be_patient(self._patience.held(hold_ps))

    def advance(self, *, progress: bool = False) -> None:
        """Run to the end, or until it is to stop. TopologyError for a schedule with an answer that is none.

        What a user's own driver raises, comes through; NeverAwaited and Exited are what Python would not raise.
        """
        try:
            self.system.start()
            with told_as_errors(self.point.topology.driver), _few_collections():
                _advance(self.system, self.stop, self.steps, progress=progress)
        except ScheduleError as error:
            raise TopologyError([Problem(Position("--schedule"), (), str(error).removeprefix("schedule: "))]) from None

    def judge(self) -> Judged:
        """How the run has ended. Either this or `result`, once."""
        return judge(self.system, self.meter, self.stop, whole=False)

    def result(self) -> Result:
        """Everything that was measured, and how the run has ended."""
        result = _result(self.point, self.system, self.meter, self.stop, self.steps)
        return replace(result, slowest=self.slowest.found()) if self.slowest else result

    @property
    def unasked(self) -> tuple[str, ...]:
        """The choices of the schedule that the run has not come to."""
        return _unasked(self.system.sim)

    @property
    def inactive(self) -> dict[str, str]:
        """The threads that have had no part in it so far (`inactive`)."""
        return inactive(self.system, self.meter.calls.callers)

    def close(self) -> None:
        """Let go of it."""
        self.system.close()


def _slowest(system: System, meter: Meter, count: int) -> SlowestSoFar:
    from cosim.study.slowest.slowest import SlowestSoFar  # what is not asked for is not paid for

    return SlowestSoFar(system.sim, system.topology, meter.window, count)


def _chooser(point: Point) -> Chooser:
    seed = point.topology.run.seed
    if not point.schedule:
        return Chooser(seed)
    answers = dict(choice.rsplit(":", 1) for choice in point.schedule)
    return Scheduled(seed, {name: int(answer) for name, answer in answers.items()})


@contextmanager
def _few_collections() -> Iterator[None]:
    """Look for cyclic garbage less often: a run makes hardly any, and a look costs more the larger the system is."""
    before = gc.get_threshold()
    gc.set_threshold(50_000, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _advance(system: System, stop: Stop, steps: Steps, *, progress: bool) -> None:
    """Run through boot, at most to its limit, and to the end; or until it is to stop."""
    env, run = system.sim.env, system.topology.run
    until = None if isinstance(run.until, AfterThreads) else run.until
    system.sim.probe(BootDone).watch(lambda _: system.sim.stop())
    with Progress(until, shown=progress) as bar, stop.simulating(system.sim):
        env.run(until=system.end_ps)  # or until boot is done, from which on it may be another run
        longest = max(1, system.topology.run.latest_ps // SLICES)
        step = min(longest, FIRST_SLICE)
        while env.now < (end := system.end_ps) and not stop.asked:
            begun = time.monotonic()
            env.run(until=min(int(env.now) + step, end, steps.next_ps))
            steps.reached(int(env.now))
            bar.reached(int(env.now) - system.runtime.origin.time_ps)
            if time.monotonic() - begun < QUICK_S:
                step = min(2 * step, longest)


def _result(point: Point, system: System, meter: Meter, stop: Stop, steps: Steps) -> Result:
    sim, topology = system.sim, point.topology
    judged = judge(system, meter, stop, whole=True)
    found, scalars, latencies = judged.found, judged.scalars, judged.latencies
    return Result(
        version=package_version(),
        topology=point.name,
        driver=system.driver_name,
        seed=topology.run.seed,
        schedule=point.schedule,
        outcome=judged.outcome,
        simulated_ps=sim.now,
        window_ps=judged.window_ps,
        boot_ps=meter.window.boot_ps,
        events=meter.digest.events,
        digest=str(meter.digest),
        scalars=Named(sorted(scalars.items())),
        latencies=latencies,
        faults=found.faults,
        bus_errors=found.bus_errors,
        requests=found.requests,
        queue_errors=found.queue_errors,
        violations=tuple(meter.violations.kept),
        violation_count=meter.violations.count,
        signatures=dict(meter.violations.signatures),
        failures=judged.failures,
        limit=limit_of(latencies, scalars, topology) if meter.window else NOTHING,
        seen=meter.seen(),
        unfinished=_unfinished(system, meter, stop),
        inactive=inactive(system, meter.calls.callers),
        unasked=_unasked(sim),
        nearest={choice: nearest_choice(choice, sim.actions.counts) for choice in _unasked(sim)},
        idle_steps=system.idle_steps(),
        log=tuple(meter.log.kept),
        log_lines=meter.log.count,
        ended=meter.latencies.ended,
        samples=Named(meter.latencies.samples()),
        series=steps.series(),
        replay=point.command,
        ran=as_data(topology),
        model=model_version(),
    )


def _unasked(sim: Sim) -> tuple[str, ...]:
    return tuple(sim.chooser.unasked) if isinstance(sim.chooser, Scheduled) else ()


def _unfinished(system: System, meter: Meter, stop: Stop) -> dict[str, Unfinished]:
    try:
        return meter.calls.unfinished(system.clocks(), meter.latencies.longest)
    except ArithmeticError:
        # In the middle of an event the time may have been counted, and the clock not yet set.
        if stop.broken:
            return {}
        raise
