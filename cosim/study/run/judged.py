"""How a run has ended: what its expectations are held against, and the outcome."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cosim.study.run.expect import Findings, failures_of
from cosim.study.run.kernel_lines import LogLine
from cosim.study.run.latency import Latency
from cosim.study.run.measure import Meter
from cosim.study.run.named import Named
from cosim.study.run.numbers import numbers_in
from cosim.study.run.overloaded import overloaded, without_intervals
from cosim.study.run.result import Outcome
from cosim.study.run.stop import Stop
from cosim.sw.kernel.page_allocator import Allocation
from cosim.system.system import System
from cosim.units.quantities import format_time
from cosim.units.run_end import AfterThreads


@dataclass(frozen=True, slots=True)
class Judged:
    """The outcome, and in words why it is not ``ok``, with what was found for that; `scalars` are not sorted; they
    and `latencies` are none if nobody asked for them."""

    outcome: Outcome
    failures: tuple[str, ...]
    found: Findings
    scalars: Named[int | float]
    latencies: Named[Latency]
    window_ps: tuple[int, int]


def judge(system: System, meter: Meter, stop: Stop, *, whole: bool) -> Judged:
    """Look for what was left behind, and hold the run against what was expected; once, at its end.

    `whole` asks for every number of the run, too, which takes a third of the time.
    """
    sim, topology = system.sim, system.topology
    leaks = system.leaks()
    if not stop.asked:
        system.end(leaks)
    stuck = [] if stop.asked else system.stuck()
    if stop.limited:
        stuck = [f"{stop.reason} at {format_time(sim.now)}"]
    window = (meter.window.opened if meter.window else sim.now, sim.now)
    # In the middle of an event a request may have left and not yet be counted.
    if meter.window and not stop.broken:
        meter.over_time.check_littles_law()
    expected = topology.expect.scalars if topology.expect else {}
    scalars = _scalars(system, meter, leaks, window[1] - window[0]) if whole or expected else Named[int | float]()
    by_scalars = scalars.keys() >= expected.keys()
    latencies = Named[Latency]()
    if whole or not by_scalars:
        latencies |= without_intervals(meter.latencies.summaries(), scalars)
    found = Findings(
        numbers=scalars if by_scalars else _numbers(sim.now, meter, scalars, latencies),
        faults=meter.failed.faults,
        bus_errors=meter.failed.bus_errors,
        requests=system.requests(),
        behind={path: master.options.through for path, master in system.masters.items()},
        queue_errors=tuple(system.queue_errors()),
        signatures=meter.violations.signatures,
        seen=meter.seen(),
        unsaid=tuple(meter.log.unsaid),
        unfinished=system.unfinished() if system.booted else {},
        failed_rounds=meter.rounds.counts,
        not_started=_not_started(system, meter),
    )
    failures = failures_of(topology.expect, found)
    out_of_service = [f"{path} {refused(meter.log.kept, path)}" for path in system.refused]
    failures = [*out_of_service, *(f"could not be prepared: {text}" for text in system.unprepared), *failures]
    if late := _late(system, meter) if not stop.asked else "":
        failures.insert(0, late)
    if not meter.window and not stop.asked:
        failures.insert(0, f"nothing was measured: {_why_nothing(meter, system)}")
    outcome: Outcome = "ok"
    if stop.interrupted:
        outcome = "interrupted"
    elif stuck:
        outcome = "stuck"
    elif failures:
        outcome = "failed"
    return Judged(outcome, (*stuck, *failures), found, scalars, latencies, window)


def _scalars(system: System, meter: Meter, leaks: list[Allocation], window_ps: int) -> Named[int | float]:
    scalars: Named[int | float] = Named(meter.numbers())
    if meter.window:
        scalars |= meter.latencies.rates(window_ps)
        scalars |= system.derived(meter.counted.since(), window_ps)
        scalars |= overloaded(scalars)
    scalars |= system.totals(leaks)
    return scalars


def _numbers(
    simulated_ps: int, meter: Meter, scalars: Mapping[str, int | float], latencies: Mapping[str, Latency]
) -> Mapping[str, int | float]:
    """All of them, by the names that `-m` takes."""
    return numbers_in(scalars, latencies) | {
        "simulated_ps": simulated_ps,
        "events": meter.digest.events,
        "violations": meter.violations.count,
    }


def refused(lines: Iterable[LogLine], path: str) -> str:
    """That a part is not in service, with the first error in the kernel log that names it."""
    named = re.compile(rf"{re.escape(path)}(?![\w-])")
    errors = (line for line in lines if line.level in ("error", "oops") and named.search(f"{line.who}: {line.text}"))
    line = next(errors, None)
    said = f": {line.text.removeprefix(f'{path}: ')}" if line else " why"
    return f"was not taken into service; the kernel log says{said}"


def _not_started(system: System, meter: Meter) -> dict[str, str]:
    devices = system.not_started().items()
    return {path: why or f"it {refused(meter.log.kept, path)}" for path, why in devices}


def _late(system: System, meter: Meter) -> str:
    """If the run was to end with its threads and has not: which of them were still there."""
    run = system.topology.run
    if not isinstance(run.until, AfterThreads) or not system.booted or system.threads_ended_ps is not None:
        return ""
    going_on = f"{', '.join(system.running)} had not ended {format_time(run.limit)} after the origin"
    if any(caller in system.running for caller in meter.calls.in_a_call):
        return f"{going_on}; raise run.limit if what they are in gets on"
    return f"{going_on}; raise run.limit"


def _why_nothing(meter: Meter, system: System) -> str:
    run, now = system.topology.run, format_time(meter.sim.now)
    if meter.window.boot_ps >= 0 and isinstance(run.until, AfterThreads):
        return (
            f"the window opens only at {format_time(meter.window.opens)}, and the run ended at {now}; lower run.warmup"
        )
    if meter.window.boot_ps >= 0:
        return f"the window opens only at {format_time(meter.window.opens)} at {now}; raise run.until"
    if system.boot_died:
        return f"boot has died: {system.boot_died}"
    what = f"what {', '.join(system.runtime.preparing)} prepares" if system.runtime.preparing else "boot"
    return f"{what} had not ended at {now}; raise run.{'boot_limit' if run.origin == 'boot' else 'until'}"
