"""What a topology expects to come out, which makes it a regression test."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from cosim.system.topology import Bound, ExpectOptions
from cosim.units.nearest import nearest


def failures_of(
    expect: ExpectOptions | None,
    scalars: Mapping[str, int | float],
    faults: Mapping[str, Mapping[str, int]],
    violations: int,
    log: Sequence[str],
) -> list[str]:
    """In words, everything that did not come out as expected; without expectations, any violation and any fault."""
    expect = expect or ExpectOptions()
    total = sum(sum(causes.values()) for causes in faults.values())
    found = [*_judge("violations", violations, expect.violations if expect.violations is not None else 0)]
    found += _judge("faults", total, expect.faults if expect.faults is not None else 0)
    for name, bound in expect.scalars.items():
        if name in scalars:
            found += _judge(name, scalars[name], bound)
        else:
            found.append(f"{name}: no such scalar in the result; {nearest(name, scalars)}")
    found += [f"the kernel log does not say {text!r}" for text in expect.log if not any(text in line for line in log)]
    return found


def _judge(name: str, value: float, bound: float | Bound) -> Iterator[str]:
    wanted = bound if isinstance(bound, Bound) else Bound(equals=bound)
    if wanted.equals is not None and value != wanted.equals:
        yield f"{name}: {value:g}, expected {wanted.equals:g}"
    if wanted.min is not None and value < wanted.min:
        yield f"{name}: {value:g}, expected at least {wanted.min:g}"
    if wanted.max is not None and value > wanted.max:
        yield f"{name}: {value:g}, expected at most {wanted.max:g}"
