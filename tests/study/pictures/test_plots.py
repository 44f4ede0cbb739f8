"""Figures for papers: each as PNG and as SVG, equal for equal runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

import cosim
from cosim.cli import main
from cosim.study.results.results import Results
from tests.study.html.test_sweep_page import METRIC, SIZE, WALKERS, swept

ONE_WALKER = Path(__file__).parents[1] / "trace" / "one_walker.yaml"


def said(path: Path) -> str:
    """The text of an SVG."""
    return " ".join("".join(each.itertext()) for each in ElementTree.parse(path).getroot().iter() if "text" in each.tag)


@pytest.mark.slow
def test_a_run_has_figures_of_what_latencies_are_made_of_and_how_they_are_distributed(tmp_path: Path) -> None:
    from cosim.study.pictures.plots import plots_of_run

    result = cosim.run(ONE_WALKER)
    files = plots_of_run(result, tmp_path)
    stems = {"requests-made-of", "requests-distribution", "calls-made-of", "calls-distribution"}
    assert {path.name for path in files} == {f"{stem}.{suffix}" for stem in stems for suffix in ("png", "svg")}
    assert all(path.stat().st_size > 1000 for path in files)
    words = said(tmp_path / "requests-made-of.svg")
    assert all(name in words for name in ("nic0.read", "disk0.read", "walker_wait"))
    again = tmp_path / "again"
    again.mkdir()
    plots_of_run(result, again)
    assert all(path.read_bytes() == (again / path.name).read_bytes() for path in files)


@pytest.mark.slow
def test_between_two_latencies_the_share_is_that_of_the_longer_one(tmp_path: Path) -> None:
    from matplotlib.axes import Axes
    from matplotlib.cbook import STEP_LOOKUP_MAP

    from cosim.study.pictures.plots import plots_of_run

    drawn: list[Any] = []
    step = Axes.step
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Axes, "step", lambda *given, **options: drawn.extend(step(*given, **options)))
        result = cosim.run(ONE_WALKER)
        plots_of_run(result, tmp_path)
    line = next(line for line in drawn if line.get_label() == "nic0.read")
    times, shares = STEP_LOOKUP_MAP[line.get_drawstyle()](*line.get_data())
    *_, before, slowest = sorted(result.latencies["nic0.read"].distribution)
    between = {share for ns, share in zip(times, shares, strict=True) if before < ns * 1000 <= slowest}
    count, most = result.latencies["nic0.read"].count, result.latencies["nic0.read"].distribution[slowest]
    assert between == {most / count}
    assert min(shares) == most / count


@pytest.mark.slow
def test_a_sweep_has_a_figure_of_each_picture_on_its_page(tmp_path: Path) -> None:
    from cosim.study.pictures.plots import plots_of_sweep

    path = swept(tmp_path / "s.sqlite", {WALKERS: ["1", "2", "4"], SIZE: ["64 B", "1 KiB"]})
    with Results(path) as results:
        files = plots_of_sweep(results, results.sweeps()[-1], (), tmp_path)
    names = {file.name for file in files}
    assert names == {f"{METRIC}{more}.{suffix}" for more in ("", "-1") for suffix in ("png", "svg")}
    assert "size 1 KiB" in said(tmp_path / f"{METRIC}.svg")


@pytest.mark.slow
def test_words_and_0_have_no_line_to_them(tmp_path: Path) -> None:
    from matplotlib.axes import Axes

    from cosim.study.pictures.plots import plots_of_sweep

    drawn: list[Any] = []
    plot = Axes.plot
    for values, points in ((["0", "1", "100"], 2), (["hot", "random"], 0)):
        path = swept(tmp_path / f"{values[0]}.sqlite", {WALKERS: values})
        with pytest.MonkeyPatch.context() as patch, Results(path) as results:
            patch.setattr(Axes, "plot", lambda *given, **options: drawn.append(plot(*given, **options)) or drawn[-1])
            plots_of_sweep(results, results.sweeps()[-1], (), tmp_path)
        (dots,), (line,) = drawn[-2:]
        assert (len(dots.get_xdata()), dots.get_linestyle()) == (len(values), "None")
        assert (len(line.get_xdata()), line.get_linestyle()) == (points, "-")
        assert values[0] in said(tmp_path / f"{METRIC}.svg")


def test_without_matplotlib_the_extra_is_named_before_anything_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "cosim.study.pictures.plots", raising=False)
    page, plots = tmp_path / "page.html", tmp_path / "plots"
    found = CliRunner().invoke(main, ["report", str(ONE_WALKER), "-o", str(page), "--plots", str(plots)])
    assert found.exit_code == 2
    assert found.stderr == f"--plots {plots}: figures need the package matplotlib: pip install 'cosim[plots]'\n"
    assert not page.exists()


def test_a_folder_that_cannot_be_is_told_before_anything_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cosim.cli.reporting._of_run", None)
    (tmp_path / "taken").write_text("a file", encoding="utf-8")
    page, plots = tmp_path / "page.html", tmp_path / "taken"
    found = CliRunner().invoke(main, ["report", str(ONE_WALKER), "-o", str(page), "--plots", str(plots)])
    assert found.exit_code == 2
    assert found.stderr == f"--plots {plots}: cannot be written: File exists\n"
