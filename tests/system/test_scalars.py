"""The catalogue of scalars: every result's scalars are in it, and every row of it occurs."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pytest

import cosim
from cosim.study.run.result import Result
from cosim.system.scalars import SCALARS, VARIABLES, Scalar
from cosim.system.topology import Topology
from tests.topologies.running import RUN

EVERYTHING = """\
parts:
  dram0: {kind: memory, base: 0x8000_0000, size: 32 MiB, ports: 2, bandwidth: 16 GB/s, cache_lines: 9}
  cpu0: {kind: cpu}
  iommu0: {kind: iommu, base: 0x0300_0000, capabilities: {igs: msi}, timing: {walk_read_interval: 9 ns}}
  nic0: {kind: ring, through: iommu0, size: 64 B, bandwidth: 8 GB/s, interval: 1 us}
  dev0: {kind: dma, through: iommu0, traffic: {pattern: none}}
driver: current
iova: {flush_entries: 4}
threads:
  - {on: cpu0, does: map-unmap, domain: dev0, mode: lazy, count: 9}
  - {on: cpu0, does: receive-ring, device: nic0, entries: 4}
run: {until: 130 us}
"""
"""What no shipped topology has: ports, limits of bandwidth, a cache, messages, reads that overlap, laziness."""


def kinds_of(row: Scalar) -> set[str]:
    """The kinds of part that a row's first word stands for."""
    kind = re.match(r"<(\w+)>", row.pattern)
    if kind and kind[1] == "domain":
        return set()
    return {"device": {"dma", "ring"}}.get(kind[1], {kind[1]}) if kind else set()


def row_of(name: str, topology: Topology) -> Scalar | None:
    part = topology.parts.get(name.partition(".")[0])
    fitting = [
        row for row in SCALARS if row.matches(name) and (not kinds_of(row) or (part and part.kind in kinds_of(row)))
    ]
    assert len(fitting) <= 1, f"{name} is of several rows: {fitting}"
    return fitting[0] if fitting else None


def rows(names: Iterable[str], topology: Topology) -> set[Scalar]:
    """The rows of the scalars of a result; fails with the names that have none."""
    found = {name: row_of(name, topology) for name in names}
    unknown = [name for name, row in found.items() if row is None]
    assert not unknown, f"{unknown}: no row in cosim/system/scalars.py"
    return {row for row in found.values() if row}


@pytest.fixture(scope="module")
def everything(tmp_path_factory) -> tuple[Topology, Result]:
    path = tmp_path_factory.mktemp("scalars") / "everything.yaml"
    path.write_text(EVERYTHING, encoding="utf-8")
    topology = cosim.load(path)
    return topology, cosim.run(topology)


def test_every_scalar_of_a_run_has_a_row_and_every_row_is_of_some_scalar(everything) -> None:
    topology, result = everything
    unused = set(SCALARS) - rows(result.scalars, topology)
    assert not unused, f"{[row.pattern for row in unused]}: in the catalogue, and nothing counts it"


@pytest.mark.slow
@pytest.mark.parametrize("name", RUN)
def test_every_scalar_of_what_is_shipped_has_a_row(name: str) -> None:
    topology = cosim.load(name)
    assert rows(cosim.run(topology).scalars, topology)


def test_a_scalar_that_is_in_no_row_is_named(everything) -> None:
    topology, _ = everything
    with pytest.raises(AssertionError, match=r"nic0\.raeds"):
        rows(["nic0.reads", "nic0.raeds"], topology)


def test_bytes_and_rates_have_one_name_each_whatever_counts_them() -> None:
    """``read_bytes`` of a memory and of a device, not ``bytes_read`` of one of them."""
    last = {row.pattern.rpartition(".")[2] for row in SCALARS}
    assert {"read_bytes", "written_bytes", "read_gbps", "written_gbps"} <= last
    assert not [name for name in last if name.startswith("bytes_")]


def test_every_word_in_brackets_is_a_kind_of_part_or_explained() -> None:
    words = {word for row in SCALARS for word in re.findall(r"<(\w+)>", row.pattern)}
    assert words - set(VARIABLES) == {"memory", "cpu", "iommu", "device", "domain"}


def test_every_row_has_a_unit_and_a_meaning() -> None:
    assert all(row.unit and row.meaning for row in SCALARS)
    assert len({row.pattern for row in SCALARS}) == len(SCALARS)
