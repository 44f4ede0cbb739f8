"""A trace may be of a window of time, of some parts and threads, and of some events."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import cosim

ONE_WALKER = Path(__file__).parent / "one_walker.yaml"


def traced(tmp_path: Path, **options: Any) -> list[dict[str, Any]]:
    """The lines of a trace of a run."""
    path = tmp_path / "trace.jsonl"
    cosim.run(ONE_WALKER, trace=path, **options)
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The lines of the whole trace."""
    return traced(tmp_path_factory.mktemp("whole"))


def test_a_window_holds_what_the_whole_trace_has_there_both_ends_included(
    whole: list[dict[str, Any]], tmp_path: Path
) -> None:
    last = whole[-1]["time_ps"]
    first, end = (
        next(line["time_ps"] for line in whole if line["time_ps"] > last - ago) for ago in (5_000_000, 1_000_000)
    )
    inside = [line for line in whole if first <= line["time_ps"] <= end]
    assert traced(tmp_path, trace_from=f"{first} ps", trace_to=f"{end} ps") == inside
    assert 0 < len(inside) < len(whole)


def test_a_glob_takes_a_part_with_everything_on_it(whole: list[dict[str, Any]], tmp_path: Path) -> None:
    told = traced(tmp_path, trace_parts=["cpu1", "nic*"])
    named = [{line.get(name, "") for name in ("who", "by", "cpu", "device", "behind", "holder")} for line in told]
    assert all(not any(names) or any(name.startswith(("cpu1", "nic0")) for name in names) for names in named)
    assert sum(line["event"] == "DmaDone" for line in told) == sum(
        line["event"] == "DmaDone" and line["who"] == "nic0" for line in whole
    )


def test_events_are_chosen_by_their_names(tmp_path: Path) -> None:
    told = traced(tmp_path, trace_events=["Command*", "BootDone"])
    assert {line["event"] for line in told} == {
        "BootDone",
        "CommandSent",
        "CommandFetched",
        "CommandExecuted",
        "CommandPassed",
    }


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"trace_from": "1 parsec"}, r"--trace-from 1 parsec: .*parsec"),
        ({"trace_from": "2 us", "trace_to": "1 us"}, r"^--trace-to 1 us: is before --trace-from 2 us$"),
        ({"trace_parts": ["nick0"]}, r"^--trace-part nick0: matches nothing; did you mean nic0\?$"),
        ({"trace_events": ["DmaDun"]}, r"^--trace-event DmaDun: is no event; did you mean DmaDone\?$"),
        ({"trace_events": ["?"]}, r"is no event; cosim list events names them$"),
    ],
)
def test_what_selects_nothing_is_an_error_and_no_file_is_made(
    tmp_path: Path, options: dict[str, Any], why: str
) -> None:
    with pytest.raises(cosim.TopologyError, match=why):
        traced(tmp_path, **options)
    assert not list(tmp_path.iterdir())


def test_everything_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(cosim.TopologyError) as caught:
        traced(tmp_path, trace_parts=["nick0"], trace_events=["DmaDun"], trace_from="soon")
    assert len(caught.value.problems) == 3


def test_a_selection_without_a_trace_is_an_error() -> None:
    with pytest.raises(cosim.TopologyError, match=r"^--trace-part: there is no trace; -t FILE makes one$"):
        cosim.run(ONE_WALKER, trace_parts=["nic0"])


def test_a_run_that_ends_before_the_first_time_that_is_traced_is_told(tmp_path: Path) -> None:
    with pytest.raises(cosim.TopologyError, match=r"--trace-from 10 ms: nothing is traced: the run ended at [\d.]+ us"):
        traced(tmp_path, trace_from="10 ms")
