"""What `cosim report` asks for, of a run and of a results file, and what it says of both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cosim.cli import main
from cosim.study.results.results import Results
from tests.study.pool.systems import TINY
from tests.study.results.made import READ, stored, swept


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yml").write_text(TINY, encoding="utf-8")
    return "tiny.yml"


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A results file of two sweeps, of which the second one has another point."""
    monkeypatch.chdir(tmp_path)
    with Results("s.sqlite", write=True) as file:
        swept(file, {"a": 8}, [stored("a", 0, read=1000), stored("a", 1, "failed", writes=1)])
        swept(file, {"b": 99}, [stored("b", 0, read=2000, walks=7)])
    return "s.sqlite"


def report(*words: str) -> Result:
    return CliRunner().invoke(main, ["report", *words, "-q"], catch_exceptions=False)


def test_a_page_is_called_after_its_topology(tiny: str, tmp_path: Path) -> None:
    assert report(tiny).stdout.startswith("tiny.html: ok, digest ")
    assert (tmp_path / "tiny.html").exists()


def test_a_page_on_a_run_that_failed_is_written_and_its_exit_code_is_1(tiny: str, tmp_path: Path) -> None:
    found = report(tiny, "-s", "expect.scalars={dev0.reads: 1}")
    assert (found.exit_code, found.stdout.startswith("tiny.html: failed, ")) == (1, True)
    assert "dev0.reads" in (tmp_path / "tiny.html").read_text()


def test_the_run_of_a_page_is_the_one_that_is_asked_for(tiny: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pages: list[Any] = []
    monkeypatch.setattr("cosim.study.html.run_page.run_page", lambda result, _: pages.append(result) or "")
    for words in (("--seed", "3", "--schedule", "nobody#0:1,nobody#1:2", "--slowest", "1"), ("--slowest", "0")):
        assert report(tiny, *words).exit_code == 0
    perturbed, plain = pages
    assert (perturbed.schedule, perturbed.seed) == (("nobody#0:1", "nobody#1:2"), 3)
    assert perturbed.replay == "cosim run tiny.yml --seed 3 --schedule 'nobody#0:1,nobody#1:2'"
    assert (len(perturbed.slowest.requests), plain.slowest, plain.schedule) == (1, None, ())


@pytest.mark.parametrize("words", [("--schedule", "nobody#0:1"), ("--seed", "3"), ("-s", "a=1")])
def test_of_a_results_file_nothing_is_run_that_could_be_changed(results: str, words: tuple[str, ...]) -> None:
    found = report(results, *words)
    assert (found.exit_code, "s.sqlite is a results file: nothing is run" in found.output) == (2, True)


def test_numbers_of_a_run_are_all_on_its_page_and_none_can_be_chosen(tiny: str) -> None:
    found = report(tiny, "-m", "dev0.reads")
    assert (found.exit_code, "-m chooses of a results file" in found.output) == (2, True)


def test_the_page_on_a_results_file_is_of_its_last_sweep_and_has_the_numbers_that_are_asked_for(
    results: str, tmp_path: Path
) -> None:
    def page(*words: str) -> str:
        assert report(results, *words).exit_code == 0
        return (tmp_path / "s.sqlite.html").read_text()

    text = page()
    assert "1 points of 1, 1 runs, 0 failed" in text
    assert "nic0.read.mean" in text
    text = page("-m", "walks")
    assert "walks" in text
    assert "nic0.read.mean" not in text
    found = report(results, "-m", "wlaks")
    assert (found.exit_code, "-m wlaks: " in found.stderr) == (2, True)


def test_seeds_and_metrics_of_a_comparison_are_those_that_are_asked_for(results: str) -> None:
    def compared(*words: str) -> Result:
        return CliRunner().invoke(main, ["compare", results, results, *words], catch_exceptions=False)

    assert compared("--seeds", "0..3").exit_code == 0
    none = compared("--seeds", "7")
    assert (none.exit_code, "s.sqlite, --seeds: no run in it has one of these seeds" in none.stderr) == (2, True)


def test_a_number_that_is_asked_for_is_told_point_by_point(tmp_path: Path) -> None:
    paths = [str(tmp_path / name) for name in ("one.sqlite", "other.sqlite")]
    for path, more in zip(paths, (0, 5), strict=True):
        with Results(path, write=True) as file:
            runs = [stored("a", seed, read=300, walks=10 * seed + more) for seed in range(4)]
            swept(file, {"a": 8}, runs)
    told = [CliRunner().invoke(main, ["compare", *paths, *words]).stdout for words in ((), ("-m", "walks"))]
    assert [text.count("walks") for text in told] == [1, 2]
    assert READ not in told[1]
