"""A thread that never began, or came to no call, is named with the reason: what it does can have shown nothing."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

import cosim
from cosim.study.report.report import print_report
from cosim.study.run.result import Result

TOPOLOGY = """
parts:
  dram0:  {kind: memory, base: 0x8000_0000, size: 64 MiB}
  cpu:    {kind: cpu, count: 2}
  iommu0: {kind: iommu, base: 0x0300_0000, geometry: {cq_log2: 6, fq_log2: 6}}
  nic0:   {kind: dma, through: iommu0, traffic: {pattern: none}}
threads:
  - {on: cpu0, does: map, domain: nic0, buffer: x}
  - {on: cpu1, does: unmap, buffer: x, after: cpu0.map}
run: {until: 10 us}
"""


@pytest.fixture
def run(tmp_path: Path) -> Any:
    path = tmp_path / "two.yaml"
    path.write_text(TOPOLOGY, encoding="utf-8")

    def made(**changes: Any) -> Result:
        return cosim.run(path, set=changes)

    return made


def report(result: Result) -> str:
    text = io.StringIO()
    print_report(result, text)
    return text.getvalue()


def test_threads_that_had_a_part_are_not_named(run: Any) -> None:
    result = run()
    assert result.outcome == "ok"
    assert result.inactive == {}
    assert result.as_json()["inactive"] == {}


def test_one_that_starts_behind_the_end_is_and_so_is_the_one_that_follows_it(run: Any) -> None:
    result = run(**{"threads.0.start": "200 us"})
    assert (result.outcome, result.ended) == ("ok", 0)
    assert result.as_json()["inactive"] == {
        "cpu0.map": "never began: it starts at 200 us, and the run ended at 10 us",
        "cpu1.unmap": "never began: it follows cpu0.map, which has not ended",
    }
    said = report(result)
    assert "\n  ? cpu0.map never began: it starts at 200 us, and the run ended at 10 us\n" in said
    assert "\n  ? cpu1.unmap never began: it follows cpu0.map" in said


def test_one_that_is_to_start_as_the_run_ends_is_too_late(run: Any) -> None:
    assert run(**{"threads.0.start": "10 us"}).inactive["cpu0.map"] == (
        "never began: it starts at 10 us, and the run ended at 10 us"
    )


def test_one_that_begins_and_comes_to_no_call_is(run: Any) -> None:
    """A map allocates its pages first."""
    result = run(**{"threads.0.pages": 10_000})
    assert (result.outcome, result.unfinished) == ("ok", {})
    assert result.inactive["cpu0.map"] == "began, and had come to no call when the run ended"
    assert "  ? cpu0.map began, and had come to no call when the run ended\n" in report(result)


def test_one_that_waits_in_a_call_is_told_of_as_that(run: Any) -> None:
    result = run(**{"threads.0.pages": 16, "run.until": "4 us"})
    assert list(result.unfinished) == ["cpu0.map.map"]
    assert list(result.inactive) == ["cpu1.unmap"]


def test_one_that_gets_no_cpu_is_and_one_that_only_computes_is_not(run: Any) -> None:
    busy = {"on": "cpu0", "does": "compute", "for": "1 s", "interrupts": False}
    held = {"on": "cpu0", "does": "hold-rcu", "for": "1 s"}
    assert run(threads=[busy, held]).inactive == {
        "cpu0.hold-rcu": "never began: cpu0 had not come to it when the run ended"
    }


def test_rounds_that_make_no_calls_are_a_part(run: Any) -> None:
    rounds = {"on": "cpu0", "does": "iova-to-phys", "domain": "nic0", "iova": "0x1000", "count": None, "gap": "1 us"}
    assert run(threads=[rounds]).inactive == {}


def test_of_many_the_first_are_shown(run: Any) -> None:
    threads = [{"on": "cpu0", "does": "compute", "for": "1 us", "start": "200 us"}] * 5
    assert "cpu0.compute3 never began" in (said := report(run(threads=threads)))
    assert "cpu0.compute4" not in said
    assert "\n  and 2 more threads\n" in said


def test_while_it_boots_no_thread_is_missed(run: Any) -> None:
    assert run(**{"run.boot_limit": "10 us"}).inactive == {}
