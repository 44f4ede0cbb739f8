"""Throughput of requests that miss: the rate of walks, of whole walkers or of one machine whose reads overlap."""

from __future__ import annotations

import shlex

import pytest

import cosim
from cosim.study.run.result import Result
from cosim.system.load import load
from cosim.system.topology import Topology
from tests.study.run.systems import MARGIN, gain

MISSING = {
    "parts": {
        "dram0": {"kind": "memory", "base": 0x8000_0000, "size": "64 MiB", "latency": "100 ns"},
        "cpu0": {"kind": "cpu"},
        "iommu0": {"kind": "iommu", "base": 0x0300_0000, "geometry": {"iotlb_entries": 1, "walkers": 16}},
        "nic0": {
            "kind": "dma",
            "through": "iommu0",
            "traffic": {"pattern": "random", "window": "1 MiB", "outstanding": 32},
        },
    },
    "run": {"until": "30 us", "warmup": "10 us"},
}
"""A window of 256 pages in two tables, so that nearly each request walks, and reads one entry."""


TOPOLOGY = load(Topology.model_validate(MISSING))


def run(*sets: str) -> Result:
    return cosim.run(load(TOPOLOGY, sets=list(sets)))


def tried(result: Result) -> list[str]:
    """What the first sentence proposes."""
    proposal = result.limit.partition("; try ")[2]
    return [word for word in shlex.split(proposal) if word != "-s"]


@pytest.mark.parametrize("interval", [pytest.param(17, marks=pytest.mark.slow), 52])
def test_a_read_each_interval_is_the_rate_of_walks_and_the_sentence_says_so(interval: int) -> None:
    result = run(f"iommu0.timing.walk_read_interval={interval} ns")
    assert result.scalars["iommu0.walk_reads"] == pytest.approx(20_000 / interval, rel=0.02)
    assert result.scalars["iommu0.table_reads.utilisation"] > 0.99
    assert "iommu0's table reads were" in result.limit
    assert tried(result) == [f"iommu0.timing.walk_read_interval={interval / 2:g} ns"]


def test_without_it_the_rate_is_that_of_walkers_and_no_result_speaks_of_reads() -> None:
    result = run("iommu0.geometry.walkers=2")
    assert "iommu0.table_reads.utilisation" not in result.scalars
    assert tried(result) == ["iommu0.geometry.walkers=4"]


@pytest.mark.slow
@pytest.mark.parametrize("replaced", ["iommu0.geometry.iotlb_entries=128", "iommu0.geometry.iotlb_entries=224"])
def test_what_the_sentence_proposes_helps_requests_that_keep_their_order(replaced: str) -> None:
    sets = ["iommu0.geometry.order=device", "iommu0.geometry.iotlb_replacement=random", replaced]
    before = run(*sets)
    assert before.latencies["nic0.read"].parts["order"] > 0
    assert gain(before, run(*sets, *tried(before)), "nic0.read") > MARGIN, before.limit
