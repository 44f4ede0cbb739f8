"""What limited a run, in one sentence: the resource that was saturated, and which operation waited for it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cosim.study.run.latency import Latency
from cosim.units.latency_parts import LatencyPart
from cosim.units.quantities import format_time

SATURATED = 0.9
"""A resource that was busy for more than this fraction of the window is a bottleneck."""

HARDLY = 0.25
"""A master that spent less than this fraction of the time of the busiest of its like is not taken for an example."""

LITTLE = 0.05
"""An operation that spends less than this fraction of its time on a resource does not depend on it."""

APART = 0.1
"""Waits for the same resource are told as one if more than one of them is at least this fraction of the time."""

ACCESSES = frozenset({"read", "write", "fetch", "status"})
"""What a DMA master's latencies are called, after its path: `nic0.read`."""

WAITS = frozenset(part.value for part in LatencyPart if part.waits)
"""Parts that are spent waiting for somebody else."""

PARTS = {part.value: part for part in LatencyPart}


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind of resource: how its path ends, its name in a sentence, and the latency parts that it causes.

    `waiting` says what several of these parts are together, if they are waits for the same.
    """

    ending: str
    words: str
    causes: frozenset[str]
    waiting: str = ""


RESOURCES = (
    Resource(r"\.port", "'s port was", frozenset({"queue", "memory"})),
    Resource(r"\.link_up", "'s link up to the IOMMU was", frozenset({"link"})),
    Resource(r"\.link_down", "'s link down from the IOMMU was", frozenset({"link"})),
    Resource(r"\.lookup", "'s look-up pipeline was", frozenset({"iotlb", "queue"})),
    Resource(r"\.walkers", "'s walkers were", frozenset({"walker_wait", "merge_wait", "walk"}), "waiting for walks"),
    Resource(
        r"\.commands",
        "'s command consumer was",
        frozenset({"fence", "cq_full", "ticket"}),
        "waiting for the command queue",
    ),
)
OTHER = Resource("", " was", frozenset())
CPU = Resource("", " was", frozenset({"cpu", "preempted", "irq", "mmio", "fence_instr"}))


@dataclass(frozen=True, slots=True)
class Use:
    """How busy one resource was: `of` is its path, `fraction` of the window."""

    of: str
    fraction: float

    @property
    def kind(self) -> Resource:
        if "." not in self.of:
            return CPU
        return next((kind for kind in RESOURCES if re.search(kind.ending + "$", self.of)), OTHER)

    @property
    def owner(self) -> str:
        return re.sub(self.kind.ending + "$", "", self.of)

    def __str__(self) -> str:
        return f"{self.owner}{self.kind.words} {percent(self.fraction)} busy"


def uses(scalars: Mapping[str, int | float]) -> list[Use]:
    """Every resource of which `scalars` holds the utilisation, the busiest first."""
    found = [Use(name.removesuffix(".utilisation"), use) for name, use in scalars.items() if _is_use(name)]
    return sorted(found, key=lambda use: -use.fraction)


def limit_of(latencies: Mapping[str, Latency], scalars: Mapping[str, int | float]) -> str:
    """One sentence on what limited the run, from its latencies and utilisations."""
    operations = {name: latency for name, latency in latencies.items() if latency.count and latency.mean_ps}
    busy = uses(scalars)
    saturated = [use for use in busy if use.fraction > SATURATED]
    if not operations:
        return "; ".join(["nothing was measured: no request and no call ended in the window", *map(str, saturated[:1])])
    if bottleneck := _bottleneck(operations, saturated):
        return _waits_for(operations, bottleneck)
    calls = {name: latency for name, latency in operations.items() if not is_access(name)}
    if calls and saturated:
        return f"{saturated[0]}, and {_tail(*_busiest(calls))}{_consumer(calls, busy, scalars)}"
    accesses = {name: latency for name, latency in operations.items() if is_access(name)}
    clauses = []
    if accesses and _time(accesses) >= LITTLE * _time(calls):
        clauses.append(_in_flight(accesses, scalars))
    if calls and _time(calls) >= LITTLE * _time(accesses):
        clauses.append(_tail(*_busiest(calls)) + _consumer(calls, busy, scalars))
    besides = f" but {saturated[0].of}" if saturated else ""
    return f"nothing{besides} is saturated: {'; '.join(clauses)}"


def is_access(name: str) -> bool:
    """Whether a latency of this name is that of a DMA master's requests, not of a driver's calls."""
    return name.rpartition(".")[2] in ACCESSES


def phrase(part: str) -> str:
    """A latency part as a sentence names it."""
    return PARTS[part].phrase if part in PARTS else part


def percent(fraction: float, decimals: int = 0) -> str:
    """`98 %`, and never `100 %` of what was not complete, nor `0 %` of something."""
    least = 10**-decimals
    if 0 < fraction <= least / 200:
        return f"< {least:.{decimals}f} %"
    if 1 - least / 200 <= fraction < 1:
        return f"> {100 - least:.{decimals}f} %"
    return f"{fraction * 100:.{decimals}f} %"


def _is_use(name: str) -> bool:
    return name.endswith(".utilisation")


def _time(operations: Mapping[str, Latency]) -> int:
    """The time that all samples of all operations took."""
    return sum(latency.count * latency.mean_ps for latency in operations.values())


def _time_in(latency: Latency, parts: Iterable[str]) -> int:
    """The time that all samples together spent in `parts`."""
    return latency.count * sum(latency.parts.get(part, 0) for part in parts)


def _busiest(operations: Mapping[str, Latency], parts: Iterable[str] = PARTS) -> tuple[str, Latency]:
    """The operation that spent most time in `parts`; of several masters alike, the one with the slowest tail.

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
    """What operations of like masters have in common: the name without numbers."""
    return re.sub(r"\d+", "", name)


def _bottleneck(operations: Mapping[str, Latency], saturated: list[Use]) -> Use | None:
    """The saturated resource that cost most; None if there is none, or only CPUs that wait for something else.

    A walker that waits for memory is busy as well: a saturated memory port is the reason of both.
    """
    if any(use.kind.ending == r"\.port" for use in saturated):
        saturated = [use for use in saturated if use.kind.ending != r"\.walkers"]
    hardware = [use for use in saturated if use.kind is not CPU]
    if hardware:
        return max(hardware, key=lambda use: (_cost(operations, use), use.fraction))
    calls = {name: latency for name, latency in operations.items() if not is_access(name)}
    if calls and saturated:
        call = _busiest(calls)[1]
        if 2 * _time_in(call, CPU.causes) > call.count * call.mean_ps:
            return saturated[0]
    return None


def _cost(operations: Mapping[str, Latency], use: Use) -> int:
    return sum(_time_in(latency, use.kind.causes) for latency in _users(operations, use).values())


def _users(operations: Mapping[str, Latency], use: Use) -> Mapping[str, Latency]:
    """The operations that can wait for a resource: a master's own, if the resource is the master's; a CPU's calls."""
    if use.kind is CPU:
        return {name: latency for name, latency in operations.items() if not is_access(name)}
    own = {name: latency for name, latency in operations.items() if name.rpartition(".")[0] == use.owner}
    return own or operations


def _waits_for(operations: Mapping[str, Latency], use: Use) -> str:
    users = _users(operations, use)
    name, latency = _busiest(users, use.kind.causes)
    if _time_in(latency, use.kind.causes) < LITTLE * latency.count * latency.mean_ps:
        return f"{use}, but little waits for it: {_tail(*_busiest(operations))}"
    return f"{_tail(name, latency, use.kind)}; {use}"


def _tail(name: str, latency: Latency, resource: Resource = OTHER) -> str:
    """What the slowest percent of an operation is made of, if only of one part, or of waits for one resource."""
    what = f"p99 of {name}" if latency.count >= 100 else f"the slowest {name}"
    tail = latency.tail or latency.parts
    total = sum(tail.values())
    waits = [tail[part] / total for part in tail if part in resource.causes & WAITS]
    if resource.waiting and sum(share >= APART for share in waits) > 1:
        return f"{what} is {percent(sum(waits))} {resource.waiting}"
    return f"{what} is {_largest(tail)}"


def _largest(parts: Mapping[str, int]) -> str:
    part = _largest_of(parts)
    return f"{percent(parts[part] / sum(parts.values()))} {phrase(part)}"


def _largest_of(parts: Mapping[str, int]) -> str:
    return max(parts, key=lambda part: parts[part])


def _consumer(calls: Mapping[str, Latency], busy: Iterable[Use], scalars: Mapping[str, int | float]) -> str:
    """How busy the busiest command consumer was, and whether one stood still, if the busiest call waits for one."""
    tail = _busiest(calls)[1].tail
    consumers = [use for use in busy if use.kind.ending == r"\.commands"]
    if not consumers or not tail or _largest_of(tail) not in consumers[0].kind.causes:
        return ""
    stalled = {use.owner: int(scalars.get(f"{use.of}.stalled_ps", 0)) for use in consumers}
    owner = max(stalled, key=lambda owner: stalled[owner])
    if stalled[owner]:
        return f"; {owner}'s command consumer stood still for {format_time(stalled[owner], 3)}"
    return f"; {consumers[0]}"


def _in_flight(accesses: Mapping[str, Latency], scalars: Mapping[str, int | float]) -> str:
    """A master that waits for nothing but its own requests: how many it keeps in flight, and what they take."""
    name, latency = _busiest(accesses)
    master = name.rpartition(".")[0]
    mean = scalars.get(f"{master}.in_flight_mean", 0.0)
    tail = latency.tail or latency.parts
    if _largest_of(tail) in WAITS and 2 * sum(tail.get(part, 0) for part in WAITS) > sum(tail.values()):
        return _tail(name, latency)
    if not mean:
        return f"the latency of {name} is {_largest(latency.parts)}"
    if mean < 0.95:
        keeps = f"has a request in flight {percent(mean)} of the time"
    elif abs(mean - round(mean)) < 0.05:
        keeps = f"keeps {round(mean)} request{'s' if round(mean) > 1 else ''} in flight"
    else:
        keeps = f"keeps {mean:.1f} requests in flight"
    others = [other for other in accesses if other.rpartition(".")[0] == master and other != name]
    whose = f"the latency of {name}" if others else "its latency"
    return f"{master} {keeps}, and {whose} is {_largest(latency.parts)}"
