"""What a topology expects to come out, which makes it a regression test."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from cosim.hw.iommu.queue_error import QueueError
from cosim.study.run.failed_requests import ByDevice, total
from cosim.system.number_names import named, no_such
from cosim.system.topology import Bound, ExpectOptions
from cosim.units.quantities import format_time
from cosim.units.time_names import PART

NAMED = 3
"""As many devices are named whose requests failed; the report's table has more of them."""

MEANINGS: Mapping[str, str] = {
    "cqmf": "memory refused an access",
    "cmd_to": "a command timed out",
    "cmd_ill": "a command is illegal",
    "fqmf": "memory refused a record",
    "fqof": "it was full when a fault came",
    "pqmf": "memory refused a page request",
    "pqof": "it was full when a page request came",
}
"""What each error bit of a queue says."""

ENTRIES: Mapping[str, tuple[str, str]] = {
    "cq": ("command waits", "commands wait"),
    "fq": ("record is unread", "records are unread"),
    "pq": ("page request is unread", "page requests are unread"),
}
"""What a queue's entries do, one and several."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What expectations are held against: all of the whole run, but for `numbers`, which are of the window.

    `behind` gives the IOMMU before each device, `requests` how many of the device's requests ended.
    """

    numbers: Mapping[str, int | float]
    faults: ByDevice
    bus_errors: ByDevice
    requests: Mapping[str, int]
    behind: Mapping[str, str | None]
    queue_errors: tuple[QueueError, ...]
    signatures: Mapping[str, int]
    """How many violations there were of each signature."""
    unsaid: tuple[str, ...]
    """The texts of `expect.log` that no line of the kernel's log holds."""
    seen: Mapping[str, int] = field(default_factory=dict)
    """What could have been seen."""
    unfinished: Mapping[str, str] = field(default_factory=dict)
    """The threads that have not ended, or died."""
    failed_rounds: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """How many rounds have failed, by thread and errno."""
    not_started: Mapping[str, str] = field(default_factory=dict)
    """The devices with traffic that boot could not start, and why not."""


def failures_of(expect: ExpectOptions | None, found: Findings) -> list[str]:
    """In words, everything that did not come out as expected.

    Without expectations that is any violation, any request that failed, any queue that stands in an error, and any
    device that could not be started: what it does not ask for, the others have, and all of them look better.
    """
    expect = expect or ExpectOptions()
    failures = [*_violations(expect, found.signatures)]
    for name, failed, expected in (
        ("faults", found.faults, expect.faults),
        ("bus_errors", found.bus_errors, expect.bus_errors),
    ):
        for failure in _judge(name, total(failed), _or_none(expected)):
            failures.append("; ".join([failure, *_whose(found, failed, refused=name == "faults")]))
    failures += _queues(expect.queue_errors, found.queue_errors)
    failures += _devices(expect.not_started, found.not_started)
    for name, bound in expect.scalars.items():
        failures += _numbers(name, bound, found.numbers)
    for name, limit in expect.seen.items():
        failures += _judge(f"seen.{name}", found.seen.get(name, 0), limit)
    if expect.threads == "finished":
        failures += [f"threads: {name} {what}, expected to be finished" for name, what in found.unfinished.items()]
    if expect.calls == "succeed":
        failures += [
            f"calls: {times:,} round{'s' * (times != 1)} of {name} failed with {error}, and all were to succeed"
            for (name, error), times in found.failed_rounds.items()
        ]
    return failures + [f"the kernel log does not say {text!r}" for text in found.unsaid]


def _or_none(expected: int | Bound | None) -> int | Bound:
    return 0 if expected is None else expected


def _numbers(asked: str, bound: float | Bound, numbers: Mapping[str, int | float]) -> Iterator[str]:
    """Every number of this name, or that this glob matches, within the bound; there is one."""
    whole, part, _ = asked.partition(PART)
    if part and asked not in numbers and f"{whole}.mean_ps" in numbers:  # nothing has waited for that
        numbers = {asked: 0}
    names = [asked] if asked in numbers else named(numbers, [asked])
    for name in names:
        yield from _judge(name, numbers[name], bound)
    if not names:
        at_the_end = asked.startswith("kernel.")
        yield f"{asked}: {no_such(asked, numbers) if at_the_end else 'nothing of it was measured in the window'}"


def _violations(expect: ExpectOptions, found: Mapping[str, int]) -> Iterator[str]:
    if expect.violations is not None or not expect.signatures:
        yield from _judge("violations", sum(found.values()), _or_none(expect.violations))
    for begins in expect.signatures:
        if not any(signature.startswith(begins) for signature in found):
            others = ", ".join(f"{count:,} of {signature}" for signature, count in found.items()) or "none"
            yield f"signatures: no violation of {begins} was found, and one was expected; found were {others}"


def _whose(found: Findings, failed: ByDevice, *, refused: bool) -> Iterator[str]:
    """How many of how many requests of each device failed, and why; first those of which most did."""
    counts = {device: sum(whys.values()) for device, whys in failed.items()}
    ordered = sorted(counts, key=lambda device: (-counts[device], device))
    for device in ordered[:NAMED]:
        why = ", ".join(f"{why} {count:,}" for why, count in failed[device].items())
        if device not in found.requests:
            yield f"{device} could not do {counts[device]:,} of its own writes ({why})"
            continue
        some = f"{counts[device]:,} of {found.requests[device]:,} requests of {device}"
        yield f"{found.behind[device]} refused {some} ({why})" if refused else f"{some} failed on the bus ({why})"
    if rest := ordered[NAMED:]:
        yield f"and {sum(counts[device] for device in rest):,} of {len(rest)} other devices"


def _queues(expected: tuple[str, ...], standing: tuple[QueueError, ...]) -> Iterator[str]:
    for error in standing:
        if error.name not in expected:
            one, several = ENTRIES[error.queue]
            entries = f"{error.entries:,} {one if error.entries == 1 else several}"
            yield (
                f"{error.iommu}.{error.queue} stands in {error.queue}csr.{error.bit} ({MEANINGS[error.bit]}) since "
                f"{format_time(error.since_ps, 4)}; {entries}"
            )
    names = {error.name for error in standing}
    for name in expected:
        if name not in names:
            yield f"queue_errors: {name} does not stand at the end, and was expected to"


def _devices(expected: tuple[str, ...], not_started: Mapping[str, str]) -> Iterator[str]:
    for name, why in not_started.items():
        if name not in expected:
            yield f"{name} was not started: {why}"
    for name in expected:
        if name not in not_started:
            yield f"not_started: {name} was started, and was expected not to be"


def _judge(name: str, value: float, bound: float | Bound) -> Iterator[str]:
    wanted = bound if isinstance(bound, Bound) else Bound(equals=bound)
    number = _time if name.endswith("_ps") else _number
    if wanted.equals is not None and value != wanted.equals:
        yield f"{name}: {number(value)}, expected {number(wanted.equals)}"
    if wanted.min is not None and value < wanted.min:
        yield f"{name}: {number(value)}, expected at least {number(wanted.min)}"
    if wanted.max is not None and value > wanted.max:
        yield f"{name}: {number(value)}, expected at most {number(wanted.max)}"


def _number(value: float) -> str:
    """All digits of a whole number, so that it is never told as equal to one that it is not."""
    return str(int(value)) if value == int(value) else repr(value)


def _time(ps: float) -> str:
    """The same of a time, in the unit that reads shortest: nobody gives a bound in picoseconds."""
    return format_time(int(ps)) if ps == int(ps) else f"{ps!r} ps"
