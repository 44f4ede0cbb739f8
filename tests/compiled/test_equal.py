"""What the compiled core measures is what the source measures that it is compiled from."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from typing import Any

import pytest

from cosim.compiled import SWITCH, Core
from cosim.system.load import shipped

PROGRAM = """
import json, sys, cosim
from cosim import compiled
found = []
for options in json.loads(sys.argv[1]):
    result = cosim.run(options.pop("topology"), **options)
    told = result.as_json()
    found.append([result.digest, {name: told[name] for name in told if name not in ("host", "command")}])
print(json.dumps([compiled.runs(), found]))
"""


@cache
def _fits() -> bool:
    return bool(Core().modules) and Core().fits


needs_a_core = pytest.mark.skipif(not _fits(), reason="there is no compiled core of this source: make fast")


def printed(core: str, program: str, *arguments: str) -> list[Any]:
    """What a program prints of itself in a process of its own, with the compiled core ("1") or without ("0").

    It prints JSON: whether its core is compiled, and what it has found.
    """
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env={**os.environ, SWITCH: core},
        capture_output=True,
        text=True,
        check=True,
    )
    compiled, found = json.loads(done.stdout)
    assert compiled == (core == "1")
    return list(found)


def measured(core: str, points: list[dict[str, Any]]) -> list[Any]:
    """What is measured at the points."""
    return printed(core, PROGRAM, json.dumps(points))


@needs_a_core
def test_a_few_topologies_measure_the_same() -> None:
    points: list[dict[str, Any]] = [
        {"topology": "zero_day_rtl", "until": "5 us"},
        {"topology": "c10_doorbells_overtake", "schedule": ["nobody#0:0"]},
    ]
    assert measured("1", points) == measured("0", points)


@pytest.mark.slow
@needs_a_core
@pytest.mark.parametrize("name", sorted(set(shipped()) - {"rack"}))
@pytest.mark.parametrize("executor", ["agenda", "plain"])
def test_every_topology_that_comes_with_cosim_measures_the_same(name: str, executor: str) -> None:
    points = [{"topology": name, "seed": seed, "set": {"run.executor": executor}} for seed in (1, 2)]
    assert measured("1", points) == measured("0", points)
