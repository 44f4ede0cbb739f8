"""Races that a search looks for are each a topology: what is prepared, who starts when, and no tuned windows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

import cosim
from cosim.study.run.result import Result

ON = [{"on": f"cpu{number}"} for number in range(3)]


def step(cpu: int, does: str, **options: Any) -> dict[str, Any]:
    """An entry of `prepare:` or of `threads:`."""
    return {**ON[cpu], "does": does, **options}


def mapped(domain: str, buffer: str, **options: Any) -> dict[str, Any]:
    return step(0, "map", domain=domain, buffer=buffer, **options)


def told(nic: str, buffer: str) -> dict[str, Any]:
    return step(0, "tell", device=nic, buffer=buffer)


Experiment = tuple[int, dict[str, Any], list[dict[str, Any]], list[dict[str, Any]]]

EXPERIMENTS: dict[str, Experiment] = {
    "an unmap beside an attach, on two IOMMUs": (
        2,
        {"shared": {"devices": "nic1"}},
        [mapped("shared", "x"), mapped("nic0", "own"), told("nic0", "own")],
        [step(0, "unmap", buffer="x"), step(1, "attach", devices="nic0", domain="shared")],
    ),
    "leave and enter beside an unmap of what is cached": (
        1,
        {"A": {}, "B": {}},
        [
            *(mapped("A", "x"), mapped("B", "b"), mapped("nic1", "own")),
            *(step(0, "attach", devices="nic0", domain="A"), told("nic0", "x"), told("nic1", "own")),
        ],
        [
            step(0, "attach", devices="nic0", domain="B"),
            step(1, "attach", devices="nic1", domain="A"),
            step(2, "unmap", buffer="x", start="1 us"),
        ],
    ),
    "a device goes and its domain is freed while it reads": (
        1,
        {},
        [mapped("nic0", "x", pages=2), told("nic0", "x")],
        [
            step(0, "unplug", devices="nic0", stop=False),
            step(0, "free-domain", domain="nic0", start="20 us"),
            step(1, "map-unmap", domain="nic1", pages=4, count=1, start="25 us"),
        ],
    ),
    "a domain is freed and another one made": (
        1,
        {"X": {}, "Y": {}},
        [
            *(mapped("X", "x"), mapped("Y", "y"), mapped("nic1", "own")),
            *(step(0, "attach", devices="nic0", domain="X"), told("nic0", "x"), told("nic1", "own")),
        ],
        [
            step(0, "attach", devices="nic0", domain="Y"),
            step(0, "free-domain", domain="X", start="10 us"),
            step(0, "domain-cycle", devices="nic1", count=1, stay="5 us", start="20 us"),
        ],
    ),
    "two attaches of one domain, then an unmap": (
        2,
        {"shared": {}},
        [
            mapped("shared", "x"),
            mapped("nic0", "own"),
            mapped("nic1", "own1"),
            told("nic0", "own"),
            told("nic1", "own1"),
        ],
        [
            step(0, "attach", devices="nic0", domain="shared"),
            step(1, "attach", devices="nic1", domain="shared"),
            step(2, "unmap", buffer="x", start="30 us"),
        ],
    ),
    "two unmaps at once": (
        1,
        {},
        [mapped("nic0", "x"), mapped("nic0", "y"), told("nic0", "x")],
        [step(0, "unmap", buffer="x"), step(1, "unmap", buffer="y")],
    ),
    "two maps into an empty domain, whose tables hold what was left there": (
        1,
        {},
        [step(0, "scribble", pages=6), step(0, "tell", device="nic0", iova=0xFFFF_D000)],
        [mapped("nic0", "x"), step(1, "map", domain="nic0", buffer="y")],
    ),
    "an unmap beside a device that goes": (
        1,
        {"shared": {"devices": "nic*"}},
        [mapped("shared", "x"), told("nic0", "x")],
        [step(0, "unmap", buffer="x"), step(1, "unplug", devices="nic1")],
    ),
    "two attaches of an empty domain, then a map": (
        1,
        {"shared": {}},
        [],
        [
            step(0, "attach", devices="nic0", domain="shared"),
            step(1, "attach", devices="nic1", domain="shared"),
            step(2, "map", domain="shared", buffer="x", start="30 us"),
            *(step(2, "tell", device=nic, buffer="x", start="40 us") for nic in ("nic0", "nic1")),
        ],
    ),
}


def written(folder: Path, experiment: Experiment) -> Path:
    iommus, domains, prepare, threads = experiment
    told_of = {entry["device"] for entry in (*prepare, *threads) if entry["does"] == "tell"}
    told_of |= {entry["devices"] for entry in threads if entry["does"] == "domain-cycle"}
    parts: dict[str, Any] = {
        "dram0": {"kind": "memory", "base": 0x8000_0000, "size": "16 MiB"},
        "cpu": {"kind": "cpu", "count": 3},
    }
    for number in range(iommus):
        parts[f"iommu{number}"] = {"kind": "iommu", "base": 0x0300_0000 + 0x1000 * number, "interrupts_to": "cpu2"}
    for number in range(2):
        traffic: dict[str, Any] = {"pattern": "none"}
        if f"nic{number}" in told_of:
            traffic = {"pattern": "told", "interval": "1 us", "requests": 40}
        parts[f"nic{number}"] = {"kind": "dma", "through": f"iommu{number % iommus}", "traffic": traffic}
    path = folder / "experiment.yaml"
    data = {
        "parts": parts,
        "domains": domains,
        "driver": "current",
        "prepare": prepare,
        "threads": threads,
        "run": {"until": "threads + 10 us", "hold": "5 us"},
        "expect": {"threads": "finished", "faults": {"min": 0}},
    }
    path.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    return path


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_runs_to_its_end_and_is_clean_as_it_stands(tmp_path: Path, name: str) -> None:
    result: Result = cosim.run(written(tmp_path, EXPERIMENTS[name]))
    assert result.outcome == "ok", result.failures
    assert not [line.text for line in result.log if line.level == "error"]
