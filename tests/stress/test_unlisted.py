"""The program that looks for what no page lists: it sees what is not listed, and takes what is listed for known."""

import pytest

from cosim.study.pool import Record
from cosim.study.run.run import Point
from cosim.system.load import load
from tests.stress.unlisted import FINDINGS, Seen, judged, listed, main

SIGNATURE = "flush-promises: unmap returned, invalidated but not fenced"


def test_a_signature_is_listed_in_backquotes_also_over_two_lines() -> None:
    assert listed("see `flush-promises: unmap returned,\n  invalidated but not fenced` and `cqh`, `x: y`") == {
        SIGNATURE
    }
    assert SIGNATURE in listed(FINDINGS.read_text())


def test_topologies_that_show_something_by_themselves_are_not_judged() -> None:
    assert judged("two_iommus")
    assert not judged("stale_fill")
    assert not judged("zero_day_rtl")


@pytest.mark.slow
def test_a_violation_that_is_not_listed_is_told_with_its_command(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["concurrent_attach", "--drivers", "merged", "--latencies", "0", "--schedules", "30", "-j", "1"]
    assert main(arguments) == 0
    assert main([*arguments[:2], "v2", *arguments[3:]]) == 1
    assert "cosim run concurrent_attach --driver v2" in capsys.readouterr().out


def test_what_is_expected_of_a_run_has_to_hold_in_a_perturbed_one() -> None:
    point = Point(load("two_iommus"), command="cosim run two_iommus")
    failed = Record("failed", ("threads: cpu0.map-unmap has not finished",))
    seen = Seen()
    seen.take(point, failed, frozenset(), expected=False)
    assert not seen.unlisted
    seen.take(point, failed, frozenset(), expected=True)
    assert seen.first == {failed.failures[0]: "cosim run two_iommus"}
