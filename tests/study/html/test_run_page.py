"""The page on a run has all that was measured, needs nothing else, and can be read on a phone."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

import cosim
from cosim.cli import main
from cosim.oracles import Violation
from cosim.study.html.chart import chart, number
from cosim.study.html.colours import COLOURS
from cosim.study.html.histogram import histogram
from cosim.study.html.run_page import run_page
from cosim.study.pictures.shapes import Curve, Curves
from cosim.study.run.result import Result
from cosim.system.topology import Topology
from cosim.units.latency_parts import LatencyPart
from tests.study.html.pages import Checked, in_browser, needs_nothing
from tests.study.run.results import latency, random_latency

ONE_WALKER = Path(__file__).parents[1] / "trace" / "one_walker.yaml"

Run = tuple[Result, Topology]


@pytest.fixture(scope="module")
def run() -> Run:
    topology = cosim.load(ONE_WALKER)
    return cosim.run(topology, slowest=5, series="1 us"), topology


def test_everything_that_was_measured_is_on_one_page_that_needs_nothing(run: Run) -> None:
    result, topology = run
    text = run_page(result, topology)
    needs_nothing(text)
    page = Checked(text)
    for name in (*result.latencies, *topology.parts, result.digest, result.model, result.limit):
        assert name in page.text
    assert page.counts["h1"] == 1
    for heading in ("What it ran on", "DMA requests", "The driver's operations", "Over time", "To get the same again"):
        assert heading in page.text
    assert result.slowest is not None
    slow = result.slowest.requests[0]
    assert slow.what in page.text
    blamed = [step.behind for each in result.slowest.requests for step in each.steps if step.behind]
    assert blamed
    assert all(name in page.text for name in blamed)
    assert all(name in page.text for name in result.scalars)
    assert result.resolved.splitlines()[1].strip() in page.text


def test_what_is_to_be_known_of_devices_stands_with_the_verdict(run: Run) -> None:
    result, topology = run
    dropped = replace(result, scalars={**result.scalars, "nic0.packets": 97, "nic0.dropped": 6})
    assert (
        "nic0 dropped 6 packets, which found no descriptor, and moved 97" in Checked(run_page(dropped, topology)).text
    )


def test_what_went_wrong_is_told_and_nothing_in_it_is_markup(run: Run) -> None:
    result, topology = run
    found = Violation("fox", "a < b", "<i>nic0</i> read what is not its own", 2, 1)
    wrong = replace(
        result,
        outcome="failed",
        failures=("<b>violations</b>: 1",),
        violation_count=1,
        signatures={"a < b": 1},
        violations=(found,),
    )
    page = Checked(run_page(wrong, topology))
    assert "<b>violations</b>: 1" in page.text
    assert "a < b" in page.text
    assert found.message in page.text


def test_a_run_without_any_request_has_a_page() -> None:
    topology = cosim.load(ONE_WALKER, set={"nic0.traffic": {"pattern": "none"}, "disk0.traffic": {"pattern": "none"}})
    page = Checked(run_page(cosim.run(topology, until="1 us"), topology))
    assert "DMA requests" not in page.text


def test_a_part_of_a_latency_has_a_colour_of_its_own() -> None:
    assert set(COLOURS) == {part.value for part in LatencyPart}
    assert len(set(COLOURS.values())) == len(COLOURS)


def test_a_histogram_has_every_sample_once() -> None:
    page = Checked(histogram("nic0.read", random_latency(1, count=3000)))
    counts = [int(word.replace(",", "")) for word in page.words if word.replace(",", "").isdigit()]
    assert sum(counts) == 3000
    assert "logarithmic" in page.text


def test_one_latency_alone_is_a_histogram_too() -> None:
    assert Checked(histogram("nic0.read", latency(count=3, link=5))).counts["rect"] == 1


def test_a_chart_has_a_band_a_line_and_a_place_for_each_point() -> None:
    curve = Curve([(1, 10), (2, 20)], [(9, 11), (18, 22)])
    both = Curves("mean", "walkers", {"mean": curve, "p99": Curve([(1, 30), (2, 40)])}, [(1, "1")])
    page = Checked(chart(both))
    assert page.counts["circle"] == 4
    assert "p99" in page.text
    assert "walkers" in page.text


@pytest.mark.parametrize(
    ("value", "said"), [(0, "0"), (1234567, "1,234,567"), (0.12345, "0.1235"), (12345.6, "12,346")]
)
def test_numbers_have_three_or_four_digits(value: float, said: str) -> None:
    assert number(value) == said


def test_the_verb_writes_the_page_and_says_where(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    found = CliRunner().invoke(main, ["report", str(ONE_WALKER), "-q", "-o", str(path), "--until", "2 us"])
    assert found.exit_code == 0
    assert found.stdout.startswith(f"{path}: ok, digest ")
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_a_signal_while_the_page_is_written_leaves_it_whole_and_is_exit_code_130(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(result: Result, topology: Topology) -> str:
        signal.raise_signal(signal.SIGINT)
        return run_page(result, topology)

    monkeypatch.setattr("cosim.study.html.run_page.run_page", interrupted)
    path = tmp_path / "page.html"
    found = CliRunner().invoke(main, ["report", str(ONE_WALKER), "-q", "-o", str(path), "--until", "2 us"])
    assert found.exit_code == 130
    assert found.stdout.startswith(f"{path}: ok, digest ")
    assert path.read_text(encoding="utf-8").endswith("</html>\n")


def test_a_place_where_nothing_can_be_written_is_said_before_the_run(tmp_path: Path) -> None:
    found = CliRunner().invoke(main, ["report", str(ONE_WALKER), "-o", str(tmp_path / "no" / "page.html")])
    assert found.exit_code == 2
    assert found.stderr == f"-o {tmp_path}/no/page.html: {tmp_path}/no is no folder\n"


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1200])
def test_in_a_browser_nothing_is_wider_than_the_window(run: Run, width: int) -> None:
    text = run_page(*run)
    wide = in_browser(text, width, "document.documentElement.scrollWidth + ' of ' + innerWidth")
    page, window = map(int, wide.split(" of "))
    assert page <= window


@pytest.mark.slow
def test_in_a_browser_bars_have_the_width_of_what_they_tell(run: Run) -> None:
    script = "[...document.querySelectorAll('.bar i')].filter(i => i.getBoundingClientRect().width > 0).length"
    result, _ = run
    parts = sum(len(found.parts) for found in result.latencies.values())
    assert int(in_browser(run_page(*run), 1200, script)) > parts * 0.8
