"""What the tests of shipped topologies share: a run, and what to ask of it."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

import cosim
from cosim.study.run.result import Result
from cosim.system.load import shipped

NAMES = tuple(shipped())
LARGE = ("rack", "server")
"""Those that take minutes, or many seconds: `test_large.py` runs each of them."""
RUN = tuple(name for name in NAMES if name not in LARGE)
"""All others."""
OFTEN = tuple(
    pytest.param(name, marks=[pytest.mark.slow] if path.parent.name == "review" or name in LARGE else [])
    for name, path in shipped().items()
)
"""Those of which every run of the tests is to see what it shows of all; the many experiments on the review are slow."""


def run(name: str, driver: str | None = None, **changes: Any) -> Result:
    """Run a topology; in the names of `changes` two underscores stand for a dot."""
    return _run(name, driver, tuple((path.replace("__", "."), value) for path, value in changes.items()))


@cache
def _run(name: str, driver: str | None, changes: tuple[tuple[str, Any], ...]) -> Result:
    return cosim.run(name, driver=driver, set=dict(changes))


def mean_us(result: Result, call: str) -> float:
    """The mean duration of a call, in microseconds."""
    return result.latencies[call].mean_ps / 1e6


def faults(result: Result) -> int:
    """How many requests faulted, of any device and for any cause."""
    return sum(sum(causes.values()) for causes in result.faults.values())
