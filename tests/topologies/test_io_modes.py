"""One load under strict, lazy and passthrough: the order that every published comparison has."""

from __future__ import annotations

import re
import shlex

import pytest

from cosim.study.run.result import Result
from cosim.system.load import shipped
from tests.topologies.running import run

pytestmark = pytest.mark.slow

MODES = {"strict": {}, "lazy": {"threads__*__mode": "lazy"}, "passthrough": {"domains__identity__devices": "ssd0"}}
CPUS = range(4)


def per_s(result: Result) -> float:
    """I/Os a second, of all CPUs."""
    return sum(result.scalars[f"cpu{cpu}.map-unmap.unmap.per_s"] for cpu in CPUS)


def test_strict_is_slower_than_lazy_and_lazy_than_passthrough() -> None:
    strict, lazy, passthrough = (per_s(run("io_modes", **change)) for change in MODES.values())
    assert 2 * strict < lazy
    assert 2 * lazy < passthrough


@pytest.mark.parametrize("change", MODES.values(), ids=list(MODES))
def test_every_mode_runs_to_what_is_expected(change: dict[str, str]) -> None:
    assert run("io_modes", **change).outcome == "ok"


def test_a_mode_flushes_at_each_unmap_or_seldom_or_never() -> None:
    commands = {mode: run("io_modes", **change).scalars["iommu0.commands.total"] for mode, change in MODES.items()}
    unmaps = sum(run("io_modes").latencies[f"cpu{cpu}.map-unmap.unmap"].count for cpu in CPUS)
    assert commands["strict"] >= 2 * unmaps, "an invalidation and a fence each"
    assert 0 < commands["lazy"] < commands["strict"] / 20
    assert commands["passthrough"] == 0


def test_a_rate_is_the_calls_that_returned_over_the_window() -> None:
    result = run("io_modes")
    begin, end = result.window_ps
    calls = result.latencies["cpu0.map-unmap.unmap"].count
    assert result.scalars["cpu0.map-unmap.unmap.per_s"] == pytest.approx(calls / ((end - begin) / 1e12))


def test_the_header_says_how_to_run_each_mode_and_what_comes_out() -> None:
    header = shipped()["io_modes"].read_text(encoding="utf-8").partition("parts:")[0]
    commands = [shlex.split(line) for line in re.findall(r"^#     (cosim run io_modes.*?)(?: {2,}|$)", header, re.M)]
    changes = [dict(word.split("=") for word in command if "=" in word) for command in commands]
    assert changes == [{path.replace("__", "."): value for path, value in change.items()} for change in MODES.values()]
    said = re.search(r"([\d.]+), ([\d.]+) and ([\d.]+) million", header)
    assert said
    for million, change in zip(said.groups(), MODES.values(), strict=True):
        assert f"{per_s(run('io_modes', **change)) / 1e6:.1f}" == million
