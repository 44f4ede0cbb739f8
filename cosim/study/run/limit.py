"""What limited a run, in one sentence: what its operations wait for in the end, and what makes more of that."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from cosim.study.run.blame import Blame, Cause
from cosim.study.run.latency import Latency
from cosim.study.run.starved import starved, under_way
from cosim.study.run.uses import SATURATED, Use, is_access, percent, uses, were
from cosim.system.topology import Topology
from cosim.units.latency_parts import LatencyPart
from cosim.units.quantities import format_time

HARDLY = 0.25
"""A device that spent less than this fraction of the time of the busiest of its like is not taken for an example."""

LITTLE = 0.05
"""An operation that spends less than this fraction of its time on a resource does not depend on it."""

APART = 0.1
"""Waits for walks are told as one if both kinds are at least this fraction of the time."""

MOST_OTHERS = 3
"""So many resources that are saturated, but not in the way, are told at most."""

PARTS = {part.value: part for part in LatencyPart}
WAITS = frozenset(part.value for part in LatencyPart if part.waits)
FOR_WALKS = frozenset({"walker_wait", "merge_wait", "read_wait"})
FOR_COMMANDS = frozenset({"fence", "cq_full", "ticket"})
ON_CPU = frozenset({"cpu", "preempted", "irq", "mmio", "fence_instr"})

WITH_WHOM = {
    "merge_wait": ", much of that with requests that wait for one another's walks",
    "place": " with reads, which go first",
}
"""What a resource is full of, if the wait for that is what has to become shorter."""

Operations = Mapping[str, Latency]


NOTHING = "nothing was measured: no request and no call ended in the window"
"""The sentence where there is nothing to speak of."""


def limit_of(latencies: Operations, scalars: Mapping[str, int | float], topology: Topology) -> str:
    """One sentence on what limited a run that had a window: what it names, made larger, makes the run better.

    It ends with the change that does that, as the command line takes it, where the limit is one of the hardware that
    requests pass.
    """
    operations = {name: latency for name, latency in latencies.items() if latency.count and latency.mean_ps}
    busy = uses(scalars)
    saturated = [use for use in busy if use.fraction > SATURATED and (use.is_cpu or use.is_consumer)]
    if not operations:
        return _nothing(latencies, scalars, topology, saturated[:1])
    calls = {name: latency for name, latency in operations.items() if not is_access(name)}
    accesses = {name: latency for name, latency in operations.items() if is_access(name)}
    name = _busiest(accesses)[0] if accesses else ""
    blame = Blame(topology, latencies, scalars)
    cause = blame.cause(name) if name else None
    full = cause is not None and any(resource.name != "slots" for resource in cause.resources)
    waited = sum(_time_in(latency, WAITS) for latency in accesses.values())
    consumer = next((use for use in saturated if use.is_consumer), None)
    if consumer and not (full and waited > sum(_time_in(latency, FOR_COMMANDS) for latency in calls.values())):
        return _consumed(operations, calls, consumer)
    if behind := _behind(latencies, scalars, topology, accesses):
        return behind
    if cause and full:
        return f"{_tail(name, accesses[name])}; {_were(cause)}{_try(cause)}"
    if calls and saturated:
        call = _busiest(calls)
        if 2 * _time_in(call[1], ON_CPU) > call[1].count * call[1].mean_ps:
            return f"{_tail(*call)}; {saturated[0]}"
        return f"{saturated[0]}, and {_tail(*call)}{_consumer(calls, busy, scalars)}"
    clauses, but, spoken = [], [use.of for use in saturated[:1]], ""
    if calls and _time(calls) >= LITTLE * _time(accesses):
        spoken = _busiest(calls)[0]
        clauses.append(_tail(*_busiest(calls)) + _consumer(calls, busy, scalars))
    if cause and _time(accesses) >= LITTLE * _time(calls):
        spoken = name.rpartition(".")[0]
        clauses.insert(0, _in_flight(name, accesses, scalars, cause))
        clauses.append(_try(cause).removeprefix("; "))
        if _waits_for_slots(accesses[name]):
            but += [str(slots) for slots, use in zip(cause.resources, cause.uses, strict=True) if use > SATURATED]
    others = [were(str(blame.resources[path]), blame.uses[path]) for path in blame.saturated()]
    whose = f" in the way of {spoken}" if others else ""
    besides = [f"besides, {' and '.join(others[:MOST_OTHERS])}"] if others else []
    which = f" but {' and '.join(but)}" if but else ""
    return f"nothing{whose}{which} is saturated: {'; '.join(filter(None, [*clauses, *besides]))}"


def phrase(part: str) -> str:
    """A latency part as a sentence names it."""
    return PARTS[part].phrase if part in PARTS else part


def _nothing(latencies: Operations, scalars: Mapping[str, int | float], topology: Topology, busy: list[Use]) -> str:
    """Nothing has a latency: nothing ran, or a device is so far behind that its requests end later than the window."""
    return _behind(latencies, scalars, topology, {}) or "; ".join([NOTHING, *map(str, busy)])


def _behind(latencies: Operations, scalars: Mapping[str, int | float], topology: Topology, accesses: Operations) -> str:
    """What is in the way of a device of which no request made in the window ended in it, if it is the furthest behind.

    So is first of all one that has no backlog, since it makes no request without a slot, and got nothing at all. What
    has a latency would not show it: that device may have what is full to itself. Empty if there is none.
    """
    blame = Blame(topology, latencies, scalars)
    ended = {name.rpartition(".")[0] for name in accesses}
    waiting = {device: scalars[f"{device}.backlog_mean"] for device in topology.devices()}
    alone = {device: mean for device, mean in starved(scalars).items() if waiting[device] < 1}
    for device in sorted(waiting, key=lambda device: (device not in alone, -waiting[device], device)):
        if device in ended:
            break
        if cause := blame.behind(device):
            made = f"no request of {device} made in the window" if ended else "no request made in the window"
            said = f"{made} ended in it: {waiting[device]:.0f} requests wait for a slot of {device} on average"
            if device in alone:
                said = f"no request of {device} ended in the window: {under_way(alone[device])}"
            return "; ".join([said, *filter(None, [_were(cause)])]) + _try(cause)
    return ""


def _were(cause: Cause) -> str:
    """How busy what is to blame was, the slots of a device last."""
    told = zip(cause.resources, cause.uses, cause.of, strict=True)
    with_whom = (were(str(resource), use) + WITH_WHOM.get(part, "") for resource, use, part in told)
    return (", and " if any(cause.of) else " and ").join(with_whom)


def _try(cause: Cause) -> str:
    """What makes it better, as the command line takes it."""
    return f"; try {' '.join(map(str, cause.knobs))}" if cause.knobs else ""


def _time(operations: Operations) -> int:
    """The time that all samples of all operations took."""
    return sum(latency.count * latency.mean_ps for latency in operations.values())


def _time_in(latency: Latency, parts: Iterable[str]) -> int:
    """The time that all samples together spent in `parts`."""
    return latency.count * sum(latency.parts.get(part, 0) for part in parts)


def _busiest(operations: Operations, parts: Iterable[str] = PARTS) -> tuple[str, Latency]:
    """The operation that spent most time in `parts`; of several devices alike, the one with the slowest tail.

    Those of them that hardly did anything are left aside: their tail is chance.
    """
    times = {name: _time_in(latency, parts) for name, latency in operations.items()}
    totals: dict[str, int] = {}
    for name, time in times.items():
        totals[_kind(name)] = totals.get(_kind(name), 0) + time
    most = max(totals, key=lambda kind: totals[kind])
    alike = [name for name in operations if _kind(name) == most]
    least = max(times[name] for name in alike) * HARDLY
    name = max((name for name in alike if times[name] >= least), key=lambda name: operations[name].p99_ps)
    return name, operations[name]


def _kind(name: str) -> str:
    """What operations of like devices have in common: the name without numbers."""
    return re.sub(r"\d+", "", name)


def _consumed(operations: Operations, calls: Operations, use: Use) -> str:
    """A command consumer is saturated: who waits for it, if anybody does."""
    name, latency = _busiest(calls or operations, FOR_COMMANDS)
    if _time_in(latency, FOR_COMMANDS) < LITTLE * latency.count * latency.mean_ps:
        return f"{use}, but little waits for it: {_tail(*_busiest(operations))}"
    return f"{_tail(name, latency, FOR_COMMANDS, 'waiting for the command queue')}; {use}"


def _tail(name: str, latency: Latency, alike: Iterable[str] = FOR_WALKS, together: str = "waiting for walks") -> str:
    """What the slowest percent of an operation is made of: one part, or waits that are alike."""
    what = f"p99 of {name}" if latency.count >= 100 else f"the slowest {name}"
    tail = latency.tail or latency.parts
    total = sum(tail.values())
    waits = [tail[part] / total for part in tail if part in alike]
    if sum(share >= APART for share in waits) > 1 and sum(waits) >= max(tail.values()) / total:
        return f"{what} is {percent(sum(waits))} {together}"
    return f"{what} is {_largest(tail)}"


def _largest(parts: Mapping[str, int]) -> str:
    part = _largest_of(parts)
    return f"{percent(parts[part] / sum(parts.values()))} {phrase(part)}"


def _largest_of(parts: Mapping[str, int]) -> str:
    return max(parts, key=lambda part: parts[part])


def _consumer(calls: Operations, busy: Iterable[Use], scalars: Mapping[str, int | float]) -> str:
    """How busy the busiest command consumer was, and whether one stood still, if the busiest call waits for one."""
    tail = _busiest(calls)[1].tail
    consumers = [use for use in busy if use.is_consumer]
    if not consumers or not tail or _largest_of(tail) not in FOR_COMMANDS:
        return ""
    stalled = {use.owner: int(scalars[f"{use.of}.stalled_ps"]) for use in consumers}
    owner = max(stalled, key=lambda owner: stalled[owner])
    if stalled[owner]:
        return f"; {owner}'s command consumer stood still for {format_time(stalled[owner], 3)}"
    return f"; {consumers[0]}"


def _waits_for_slots(latency: Latency) -> bool:
    """Whether most of what requests take is the wait for one of the device's slots."""
    return latency.parts.get("slot", 0) > latency.mean_ps / 2


def _in_flight(name: str, accesses: Operations, scalars: Mapping[str, int | float], cause: Cause) -> str:
    """A device that waits for nothing but its own requests: how many it keeps in flight, and what they take."""
    latency, device = accesses[name], name.rpartition(".")[0]
    if _waits_for_slots(latency):
        return f"{_tail(name, latency)}; {_were(cause)}" if cause.resources else _tail(name, latency)
    mean = scalars[f"{device}.in_flight_mean"]
    if mean < 0.95:
        keeps = f"has a request in flight {percent(mean)} of the time"
    elif abs(mean - round(mean)) < 0.05:
        keeps = f"keeps {round(mean)} request{'s' if round(mean) > 1 else ''} in flight"
    else:
        keeps = f"keeps {mean:.1f} requests in flight"
    others = [other for other in accesses if other.rpartition(".")[0] == device and other != name]
    whose = f"the latency of {name}" if others else "its latency"
    return f"{device} {keeps}, and {whose} is {_largest(latency.parts)}"
