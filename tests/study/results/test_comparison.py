"""Two studies side by side: what differs in the input, and what in the output is no chance, parts included."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

import pytest
from click.testing import CliRunner

from cosim.cli import main
from cosim.cli.comparing import _Seeds
from cosim.config.problems import TopologyError
from cosim.study.report.study_comparison import print_comparison
from cosim.study.results.comparison import Comparison, compare
from cosim.study.results.file import MEMORY
from cosim.study.results.results import Results, SweepRow
from cosim.study.results.stored import Stored
from cosim.study.run.model import model_version

BASE = """
parts:
  dram0: {{kind: memory, base: 0x8000_0000, size: 16 MiB, latency: {latency}}}
  cpu0: {{kind: cpu}}
  dev0: {{kind: dma, direct: true, traffic: {{window: 4 KiB, requests: 2}}}}
run: {{until: 20 us}}
"""
READ = "dev0.read.mean_ps"


def study(
    runs: Mapping[str, Sequence[Mapping[str, float]]],
    *,
    latency: str = "80 ns",
    first_seed: int = 0,
    axis: str = "x",
    outcome: str = "ok",
) -> Results:
    """Runs by what the axis says; those of a point have seeds from `first_seed` on."""
    results = Results(MEMORY, write=True)
    row = results.begin(SweepRow("cosim sweep", "tiny", BASE.format(latency=latency), {axis: list(runs)}))
    results.plan(row, [(at, f"p{value}", {axis: value}) for at, value in enumerate(runs)])
    for value, several in runs.items():
        for at, numbers in enumerate(several):
            seed = first_seed + at
            results.add(Stored(f"{value}.{seed}", f"p{value}", at, seed, outcome, numbers=numbers), model_version())
    return results


def noisy(mean: float, count: int, seed: int, spread: float = 5_000) -> list[dict[str, float]]:
    chance = Random(seed)
    return [{READ: mean + spread * chance.gauss(), "other": chance.gauss()} for _ in range(count)]


def names(found: Comparison) -> set[str]:
    return {change.name for point in found.points for change in point.changes if change.real}


def test_a_difference_that_is_no_chance_is_called_real_and_one_that_is_is_not() -> None:
    found = compare(study({"1": noisy(200_000, 8, 1)}), study({"1": noisy(250_000, 8, 2)}, first_seed=100))
    assert names(found) == {READ}
    (point,) = found.points
    assert (point.runs, point.paired) == ((8, 8), 0)
    change = next(change for change in point.changes if change.name == READ)
    assert change.difference == pytest.approx(50_000, abs=12_000)
    assert abs(change.difference - 50_000) <= 1.5 * change.half
    same = compare(study({"1": noisy(200_000, 8, 1)}), study({"1": noisy(200_000, 8, 2)}, first_seed=100))
    assert names(same) == set()


def test_runs_of_the_same_seeds_are_taken_in_pairs_so_that_a_small_difference_is_seen() -> None:
    before = noisy(200_000, 6, 1)
    after = [{READ: run[READ] + 100 + at, "other": run["other"]} for at, run in enumerate(before)]
    paired = compare(study({"1": before}), study({"1": after}))
    assert names(paired) == {READ}
    assert paired.points[0].paired == 6
    assert paired.points[0].tested.equal == 1
    apart = compare(study({"1": before}), study({"1": after}, first_seed=50))
    assert names(apart) == set()


def test_of_very_many_numbers_that_differ_by_chance_hardly_any_is_called_real() -> None:
    sides = [{str(at): noisy(200_000, 5, 1000 * side + at) for at in range(300)} for side in (1, 2)]
    found = compare(study(sides[0]), study(sides[1], first_seed=100))
    assert found.tested == 600
    assert found.real <= 3
    assert sum(row.real for row in found.summaries()) == found.real


def test_one_run_says_nothing_of_chance() -> None:
    found = compare(study({"1": [{READ: 1.0}]}), study({"1": [{READ: 2.0}]}))
    (change,) = found.points[0].changes
    assert not change.real
    assert change.half == float("inf")


def test_a_part_that_one_side_lacks_is_nothing_there_and_parts_add_up_to_the_difference() -> None:
    walk, link = "dev0.read.parts.walk", "dev0.read.parts.link"
    before = [{READ: 300_000 + at, walk: 100_000 + at, link: 200_000} for at in range(4)]
    after = [{READ: 200_000 + at, link: 200_000 + at} for at in range(4)]
    (point,) = compare(study({"1": before}), study({"1": after})).points
    changes = {change.name: change.difference for change in point.changes}
    assert changes[walk] == -100_001.5
    assert changes[READ] == changes[walk] + changes[link]


def test_the_input_is_compared_with_its_defaults_and_points_that_are_in_one_alone_are_named() -> None:
    runs = noisy(200_000, 2, 1)
    found = compare(study({"1": runs, "2": runs}), study({"2": runs, "4": runs}, latency="100 ns"))
    assert ("dram0.latency", "80 ns", "100 ns") in found.inputs
    assert ("axis x", "1,2", "2,4") in found.inputs
    assert (found.only_first, found.only_second) == ([{"x": "1"}], [{"x": "4"}])
    assert [point.settings for point in found.points] == [{"x": "2"}]
    assert found.real == 0


def test_runs_that_failed_are_counted_and_not_compared() -> None:
    runs = noisy(200_000, 3, 1)
    with Results(MEMORY, write=True) as nothing, pytest.raises(TopologyError, match="there is no sweep in it"):
        compare(nothing, study({"1": runs}))
    found = compare(study({"1": runs}, outcome="failed"), study({"1": runs}))
    assert (found.failed, found.points) == ((3, 0), [])


def test_points_that_an_axis_of_one_side_tells_apart_cannot_be_compared() -> None:
    runs = noisy(200_000, 2, 1)
    with pytest.raises(TopologyError, match="several of its points differ only in y, of which the other one has no"):
        compare(study({"1": runs, "2": runs}, axis="y"), study({"1": runs}))


def test_the_report_says_all_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    before = [{READ: 300_000 + at, "dev0.read.parts.walk": 100_000 + at, "iommu0.walks": 7 + at} for at in range(4)]
    after = [{READ: 200_000 + 2 * at, "dev0.read.parts.walk": at, "iommu0.walks": 9 + 3 * at} for at in range(4)]
    print_comparison(compare(study({"1": before}), study({"1": after}, latency="100 ns")))
    told = capsys.readouterr().out
    assert "dram0.latency  80 ns  100 ns" in told
    assert "output: 1 point in both; 3 of 3 numbers really differ" in told
    assert "x=1: 4 runs each, 4 of them paired by seed" in told
    assert "= walk -100.0" in told
    assert "-33 %" in told


@pytest.mark.parametrize("points", [1, 20], ids=["told one by one", "told together"])
@pytest.mark.parametrize("overloaded", [0, 1])
def test_a_number_that_grows_with_the_runs_is_marked(
    capsys: pytest.CaptureFixture[str], points: int, overloaded: int
) -> None:
    before = {str(at): [{READ: 300_000.0 + seed, "dev0.overloaded": 0} for seed in range(3)] for at in range(points)}
    after = {at: [{READ: 200_000.0 + seed, "dev0.overloaded": overloaded} for seed in range(3)] for at in before}
    found = compare(study(before), study(after))
    assert {change.overloaded for change in found.points[0].changes if change.name == READ} == {bool(overloaded)}
    print_comparison(found)
    told = capsys.readouterr().out
    assert ("^ overloaded: it grows with run.until, so that there is no mean of it\n" in told) == bool(overloaded)
    assert (f"{READ} ^" in told) == bool(overloaded)
    assert ("-33 % ^\n" in told) == (bool(overloaded) and points == 1)


@pytest.mark.parametrize(
    ("runs", "said"),
    [
        ((4, 4, 0), "4 runs each, 4 of them paired by seed"),
        ((8, 4, 0), "8 and 4 runs, of which the 4 pairs of equal seeds are compared"),
        ((4, 4, 2), "4 runs each, of which the 2 pairs of equal seeds are compared"),
        ((8, 4, 9), "8 and 4 runs"),
        ((1, 1, 0), "1 run each"),
    ],
)
def test_how_many_runs_are_compared_is_said_of_few_points_and_of_many(
    capsys: pytest.CaptureFixture[str], runs: tuple[int, int, int], said: str
) -> None:
    first, second, seed = runs
    for points, before in ((1, "x=0: "), (20, "at each point: ")):
        sides = [{str(at): noisy(200_000, count, 9) for at in range(points)} for count in (first, second)]
        print_comparison(compare(study(sides[0]), study(sides[1], first_seed=seed)))
        assert f"{before}{said}\n" in capsys.readouterr().out


def test_where_points_have_different_numbers_of_runs_it_is_said_how_many(capsys: pytest.CaptureFixture[str]) -> None:
    many = {str(at): noisy(200_000, 2 + at % 3, 9) for at in range(20)}
    print_comparison(compare(study(many), study({at: runs[:2] for at, runs in many.items()})))
    assert "a point has 2 to 4 runs in the first, 2 in the second" in capsys.readouterr().out


def test_the_middle_of_an_even_number_of_points_is_between_two() -> None:
    first = {str(at): noisy(200_000, 4, 1, spread=5) for at in range(4)}
    second = {str(at): noisy(mean, 4, 1, spread=5) for at, mean in enumerate((210_000, 220_000, 240_000, 400_000))}
    (row,) = (row for row in compare(study(first), study(second)).summaries() if row.name == READ)
    assert (row.least, row.middle, row.most) == pytest.approx((0.05, 0.15, 1.0), rel=1e-3)


def test_what_an_axis_of_both_says_is_compared_as_an_axis_alone() -> None:
    """Whatever the topology has where the axis is laid over it."""
    one, two = {"1": noisy(200_000, 2, 1)}, {"2": noisy(200_000, 2, 1)}
    axis = "dram0.latency"
    found = compare(study(one, axis=axis), study(two, axis=axis, latency="90 ns"))
    assert found.inputs == [("axis dram0.latency", "1", "2")]


def test_what_one_side_alone_has_varied_is_compared_as_it_is_without_that() -> None:
    runs = {"40 ns": noisy(200_000, 2, 1)}
    found = compare(study(runs, axis="dram0.latency"), study({"1": runs["40 ns"]}, latency="90 ns"))
    assert ("dram0.latency", "80 ns", "90 ns") in found.inputs
    assert ("axis dram0.latency", "40 ns", "-") in found.inputs


def test_some_seeds_alone_are_compared_if_that_is_asked_for() -> None:
    early, late = noisy(200_000, 4, 1), noisy(250_000, 4, 2)
    one, other = study({"1": [*early, *late]}), study({"1": [*early, *early]})
    (point,) = compare(one, other, range(4)).points
    assert (point.runs, point.paired, list(point.changes)) == ((4, 4), 4, [])
    (point,) = compare(one, other, {4, 5, 6, 7, 99}).points
    assert (point.runs, READ in {change.name for change in point.changes}) == ((4, 4), True)
    with pytest.raises(TopologyError, match="no run in it has one of these seeds; its first is 0, its last 7"):
        compare(one, other, {99})


def test_seeds_are_written_as_the_values_of_an_axis_are() -> None:
    assert _Seeds().convert("0..2,7", None, None) == {0, 1, 2, 7}
    refused = CliRunner().invoke(main, ["compare", "one.sqlite", "other.sqlite", "--seeds", "0.5"])
    assert (refused.exit_code, "'0.5' are no seeds, such as 0,1,2 or 0..9" in refused.output) == (2, True)


def test_another_model_is_a_difference_of_the_input(monkeypatch: pytest.MonkeyPatch) -> None:
    one = study({"1": noisy(200_000, 2, 1)})
    monkeypatch.setattr("cosim.study.results.results.model_version", lambda: "another")
    found = compare(one, study({"1": noisy(200_000, 2, 1)}))
    assert found.inputs == [("model", model_version(), "another")]
