"""The page on a sweep is made from its results file alone: curves with bands, heat maps, every point, what failed."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner

from cosim.cli import main
from cosim.study.html.heat_map import heat_map
from cosim.study.html.sweep_page import sweep_page
from cosim.study.pictures.shapes import Heat
from cosim.study.results.estimate import estimates
from cosim.study.results.points import points_of
from cosim.study.results.results import Results, SweepRow
from cosim.study.results.stored import Stored
from tests.study.html.pages import Checked, in_browser, needs_nothing

WALKERS, SIZE = "iommu0.geometry.walkers", "nic0.traffic.size"
METRIC = "nic0.read.mean_ps"


def swept(path: Path, axes: Mapping[str, Sequence[str]], *, failing: int = -1, every: int = 1, reps: int = 3) -> Path:
    """A results file with a point for each combination, or `every` so many-th; that of number `failing` has failed."""
    with Results(path, write=True) as results:
        row = results.begin(SweepRow("cosim sweep fox -x hare", "fox", "parts: {}", axes, (METRIC,)))
        combinations = list(itertools.product(*axes.values()))[::every]
        points = [(at, f"p{at}", dict(zip(axes, values, strict=True))) for at, values in enumerate(combinations)]
        results.plan(row, points)
        for at, point, settings in points:
            results.note(point, "merged", "parts: {}")
            for rep in range(reps):
                numbers = {METRIC: 1000 * (at + 1) + 10 * rep, "iommu0.iotlb.hit_rate": 0.25, "events": 7}
                run = Stored(f"{point}r{rep}", point, rep, rep, "ok", settings=settings, numbers=numbers)
                if at == failing:
                    run = Stored(f"{point}r{rep}", point, rep, rep, "lost", "its process died <twice>")
                results.add(run)
    return path


def test_two_axes_are_curves_with_bands_and_a_heat_map(tmp_path: Path) -> None:
    path = swept(tmp_path / "s.sqlite", {WALKERS: ["1", "2", "4"], SIZE: ["64 B", "1 KiB"]})
    with Results(path) as results:
        text = sweep_page(results, results.sweeps()[-1], ())
    needs_nothing(text)
    page = Checked(text)
    assert "6 points of 6, 18 runs, 0 failed" in page.text
    assert page.counts["svg"] == 2
    assert text.count('opacity=".22"') == 2  # a band for each size
    assert page.counts["circle"] == 6
    for settings in ("size 64 B", "size 1 KiB", "cosim sweep fox -x hare", "nic0.read.mean ns"):
        assert settings in page.text
    assert "1 64 B 3 1.010 ± 0.025" in page.text
    assert "hit_rate" not in page.text


def test_other_numbers_are_drawn_if_they_are_asked_for(tmp_path: Path) -> None:
    path = swept(tmp_path / "s.sqlite", {WALKERS: ["1", "2", "4"]})
    with Results(path) as results:
        page = Checked(sweep_page(results, results.sweeps()[-1], ["*.hit_rate"]))
    assert "iommu0.iotlb.hit_rate %" in page.text
    assert "nic0.read.mean" not in page.text


def test_numbers_that_the_sweep_was_asked_for_and_others_are_drawn_side_by_side(tmp_path: Path) -> None:
    path = swept(tmp_path / "s.sqlite", {WALKERS: ["1", "2", "4"]})
    with Results(path) as results:
        page = Checked(sweep_page(results, results.sweeps()[-1], ["*.hit_rate", METRIC, "events"]))
    assert page.counts["svg"] == 3
    for name in ("iommu0.iotlb.hit_rate %", "nic0.read.mean ns", "events"):
        assert name in page.text


def test_what_the_cells_mean_is_said_below_the_table(tmp_path: Path) -> None:
    path = swept(tmp_path / "s.sqlite", {WALKERS: ["1", "2"]})
    with Results(path, write=True) as results:
        results.add(Stored("p0r9", "p0", 9, 9, "ok", numbers={"events": 3}))
        page = Checked(sweep_page(results, results.sweeps()[-1], ()))
    assert "1 4 1.010 ± 0.025 (3 runs)" in page.text
    assert "a mean with (N runs) is of so many" in page.text
    assert "is not measured" not in page.text


def test_what_grows_with_the_run_is_marked_and_said_below_the_table(tmp_path: Path) -> None:
    path = swept(tmp_path / "s.sqlite", {WALKERS: ["1", "2"]})
    with Results(path, write=True) as results:
        results.add(Stored("p0r9", "p0", 9, 9, "ok", numbers={METRIC: 1010, "nic0.overloaded": 1}))
        page = Checked(sweep_page(results, results.sweeps()[-1], ()))
    assert "1 4 1.010 ^ 2 3 2.010" in page.text
    assert "^ overloaded: it grows with run.until" in page.text


def test_points_that_a_sweep_has_not_come_to_are_counted_and_others_are_not(tmp_path: Path) -> None:
    """Not each combination of values is a point, where axes vary together or points are drawn."""
    path = swept(tmp_path / "s.sqlite", {WALKERS: ["1", "2", "4"], SIZE: ["1 B", "2 B", "4 B"]}, every=4)
    with Results(path, write=True) as results:
        sweep = results.sweeps()[-1]
        assert "3 points of 3, 9 runs" in sweep_page(results, sweep, ())
        results.plan(sweep, [(3, "", {WALKERS: "8", SIZE: "8 B"})])
        assert "3 points of 4, 9 runs" in sweep_page(results, sweep, ())


def test_a_curve_goes_up_its_axis_and_words_have_no_line_between_them(tmp_path: Path) -> None:
    places = {}
    for values in (["1 us", "100 ns", "400 ns"], ["random", "stride", "hot"]):
        path = swept(tmp_path / f"{values[0]}.sqlite", {WALKERS: values})
        with Results(path) as results:
            text = sweep_page(results, results.sweeps()[-1], ())
        at = [float(x) for x in re.findall(r'<circle cx="([0-9.]+)"', text)]
        places[values[0]] = [round((x - at[0]) / (at[-1] - at[0]), 2) for x in at]
        said = [text.index(f">{value}</text>") for value in values]
        assert sorted(said) == (said if values[0] == "random" else [said[1], said[2], said[0]])
        assert text.count('stroke-width="1.8"') == (values[0] == "1 us")
        assert text.count('stroke-width="5"') == (0 if values[0] == "1 us" else 3), "intervals of single points"
    assert places == {"1 us": [0.0, 0.33, 1.0], "random": [0.0, 0.5, 1.0]}


def test_no_line_leads_to_0_on_a_logarithmic_axis(tmp_path: Path) -> None:
    path = swept(tmp_path / "s.sqlite", {WALKERS: ["1", "10", "100", "0"]})
    with Results(path) as results:
        text = sweep_page(results, results.sweeps()[-1], ())
    (line,) = re.findall(r'<path d="M([^"]*)" fill="none"', text)
    assert (line.count("L"), text.count("<circle")) == (2, 4)
    assert "(log)" in text


def test_a_value_at_which_nothing_was_measured_has_its_place_at_the_axis(tmp_path: Path) -> None:
    path = swept(tmp_path / "s.sqlite", {WALKERS: ["1", "2", "8"]}, failing=2)
    with Results(path) as results:
        text = sweep_page(results, results.sweeps()[-1], ())
    assert max(float(x) for x in re.findall(r'<text x="([0-9.]+)"', text)) <= 360
    assert max(float(x) for x in re.findall(r'<circle cx="([0-9.]+)"', text)) < 150


def test_what_failed_is_named_with_its_reason(tmp_path: Path) -> None:
    path = swept(tmp_path / "s.sqlite", {WALKERS: ["1", "2", "4"]}, failing=1)
    with Results(path) as results:
        page = Checked(sweep_page(results, results.sweeps()[-1], ()))
    assert "3 points of 3, 9 runs, 3 failed" in page.text
    assert "walkers 2 lost: its process died <twice>" in page.text
    assert page.counts["circle"] == 2


def test_points_that_were_drawn_are_dots_over_each_axis(tmp_path: Path) -> None:
    axes = {WALKERS: [str(n) for n in range(1, 7)], SIZE: [f"{n} B" for n in range(64, 128, 8)]}
    path = swept(tmp_path / "s.sqlite", axes, every=7)
    with Results(path) as results:
        page = Checked(sweep_page(results, results.sweeps()[-1], ()))
    assert (page.counts["svg"], page.counts["circle"]) == (2, 14)


def test_quick_reading_gives_the_same_means_as_whole_runs(tmp_path: Path) -> None:
    path = swept(tmp_path / "s.sqlite", {WALKERS: ["1", "2", "4"], SIZE: ["64 B", "1 KiB"]}, failing=4)
    with Results(path) as results:
        sweep = results.sweeps()[-1]
        metrics = [METRIC, "*.hit_rate"]
        whole = list(estimates(results.runs(sweep.id, model=sweep.model), metrics))
        assert points_of(results, sweep, metrics) == whole


def test_read_quickly_a_part_is_0_where_its_latency_is_and_nowhere_else(tmp_path: Path) -> None:
    part, path = "nic0.read.parts.walk", swept(tmp_path / "s.sqlite", {WALKERS: ["1"]})
    with Results(path, write=True) as results:
        sweep = results.sweeps()[-1]
        results.add(Stored("p0r8", "p0", 8, 8, "ok", numbers={METRIC: 900.0, part: 80.0}))
        results.add(Stored("p0r9", "p0", 9, 9, "ok", numbers={"events": 3}))
        for metrics in ([part], ["*.walk"]):
            (point,) = points_of(results, sweep, metrics)
            assert {name: (mean.value, mean.count) for name, mean in point.means.items()} == {part: (20.0, 4)}


def test_numbers_that_have_no_picture_are_in_the_table(tmp_path: Path) -> None:
    names = [f"n{at}" for at in range(14)]
    path = swept(tmp_path / "s.sqlite", {WALKERS: ["1", "2"]})
    with Results(path, write=True) as results:
        for place in (0, 1):
            results.add(Stored(f"p{place}r9", f"p{place}", 9, 9, "ok", numbers=dict.fromkeys(names, 1.0)))
        page = Checked(sweep_page(results, results.sweeps()[-1], names))
    assert page.counts["svg"] == 12
    assert "2 more numbers are in the table alone" in page.text
    assert "n13 1 " in page.text


def test_a_large_heat_map_keeps_its_numbers_in_titles() -> None:
    names = [str(n) for n in range(30)]
    values = {(x, y): float(x) * float(y) for x in names for y in names}
    page = Checked(heat_map(Heat("n", ("x", names), ("y", names), values)))
    assert page.counts["rect"] == page.counts["title"] == 900


@pytest.mark.parametrize(
    ("make", "words", "said"),
    [
        ("none", (), "no results file of cosim"),
        ("noise", (), "no results file of cosim"),
        ("empty", (), "no sweep has written into it"),
        ("swept", ("-s", f"{WALKERS}=1"), "is a results file: nothing is run"),
        ("swept", ("--schedule", "cpu0.t0.st#0:1"), "is a results file: nothing is run"),
        (
            "swept",
            ("-m", "nic0.reed.mean_ps", "-m", METRIC),
            "-m nic0.reed.mean_ps: no run has such a number; did you mean",
        ),
    ],
)
def test_a_file_that_has_no_sweep_is_refused(tmp_path: Path, make: str, words: tuple[str, ...], said: str) -> None:
    path = tmp_path / "s.sqlite"
    if make == "none":
        path.write_bytes(b"SQLite format 3\0" + bytes(4096))
    elif make == "noise":
        path.write_bytes(b"\xb8" * 4096)
    elif make == "empty":
        Results(path, write=True).close()
    else:
        swept(path, {WALKERS: ["1", "2"]})
    page = tmp_path / "page.html"
    found = CliRunner().invoke(main, ["report", str(path), "-o", str(page), *words])
    assert found.exit_code == 2
    assert said in found.output
    assert not page.exists()


def test_a_page_on_a_results_file_does_not_take_the_place_of_the_page_on_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    swept(tmp_path / "quickstart.sqlite", {WALKERS: ["1", "2"]})
    found = CliRunner().invoke(main, ["report", "quickstart.sqlite"])
    assert found.stdout.startswith("quickstart.sqlite.html: ")
    assert (tmp_path / "quickstart.sqlite.html").exists()


def test_the_verb_takes_a_results_file(tmp_path: Path) -> None:
    path = swept(tmp_path / "s.sqlite", {WALKERS: ["1", "2", "4"]})
    page = tmp_path / "page.html"
    found = CliRunner().invoke(main, ["report", str(path), "-o", str(page)])
    assert (found.exit_code, found.stdout) == (0, f"{page}: cosim sweep fox -x hare\n")
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1200])
def test_in_a_browser_nothing_is_wider_than_the_window(tmp_path: Path, width: int) -> None:
    axes = {WALKERS: [str(n) for n in range(1, 20)], SIZE: ["64 B", "1 KiB", "4 KiB"]}
    path = swept(tmp_path / "s.sqlite", axes, reps=2)
    with Results(path) as results:
        text = sweep_page(results, results.sweeps()[-1], ())
    wide, window = in_browser(text, width, "document.documentElement.scrollWidth + ' ' + innerWidth").split()
    assert int(wide) <= int(window)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (28553.4, "28553"),
        (9999.6, "10000"),
        (12.345, "12.35"),
        (0.0, "0"),
        (-0.00123456, "-0.0012"),
        (1.234e9, "1.2e+09"),
    ],
)
def test_the_number_in_a_cell_is_no_wider_than_the_cell(value: float, said: str) -> None:
    page = Checked(heat_map(Heat("n", ("x", ["a"]), ("y", ["b"]), {("a", "b"): value})))
    assert said in page.text.split()
    assert len(said) <= 8
