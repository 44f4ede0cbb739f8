"""The results file: what was added is there, once; and what is no such file is refused and left alone."""

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from click.testing import CliRunner

from cosim.cli import main
from cosim.config.problems import TopologyError
from cosim.study.results.comparison import compare
from cosim.study.results.estimate import estimates
from cosim.study.results.file import MEMORY
from cosim.study.results.frame import tidy
from cosim.study.results.points import points_of
from cosim.study.results.results import Results, SweepRow
from cosim.study.run.model import model_version
from tests.study.results.made import ENTRIES, READ, stored, swept


def test_what_was_added_is_there_when_it_is_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "study.sqlite"
    runs = [stored("a", 0, read=300), stored("a", 1, read=310.5), stored("b", 0, "error")]
    with Results(path, write=True) as results:
        row = swept(results, {"b": 8, "a": 16}, runs)
    assert [each.name for each in tmp_path.iterdir()] == ["study.sqlite"]
    with Results(path) as results:
        (again,) = results.sweeps()
        assert (again.id, again.axes, again.metrics, again.model) == (row.id, row.axes, (READ,), model_version())
        assert [point for _, _, point, _ in results.places(row.id)] == ["b", "a"]
        found = list(results.runs(row.id, histograms=True))
        assert [(run.id, dict(run.numbers), run.settings) for run in found] == [
            ("b0", {}, {ENTRIES: "8"}),
            ("a0", {READ: 300}, {ENTRIES: "16"}),
            ("a1", {READ: 310.5}, {ENTRIES: "16"}),
        ]
        assert found[1].histograms == {"nic0.read": {200_000: 7, 300_000: 1}}
        assert results.known(["a0", "c7", "b0"]) == {"a0": "ok", "b0": "error"}
        assert results.resolved("a") == "parts: {iommu0: 16}\n"


def test_a_run_is_there_once_and_one_without_numbers_makes_room_for_one_that_has_them() -> None:
    with Results(MEMORY, write=True) as results:
        swept(results, {"a": 16}, [stored("a", 0, "lost"), stored("a", 0, read=300), stored("a", 0, read=999)])
        (run,) = results.runs()
        assert (run.outcome, dict(run.numbers)) == ("ok", {READ: 300})


def test_every_number_is_a_row_for_whoever_asks_in_sql(tmp_path: Path) -> None:
    path = tmp_path / "study.sqlite"
    with Results(path, write=True) as results:
        swept(results, {"a": 16}, [stored("a", 0, read=300, events=7), stored("a", 1, read=310)])
    with sqlite3.connect(path) as file:
        rows = file.execute("SELECT run, name, value FROM scalars ORDER BY run, name").fetchall()
    file.close()
    assert rows == [("a0", "events", 7), ("a0", READ, 300), ("a1", READ, 310)]


def twice(results: Results) -> int:
    """A sweep of two places of one configuration, with one of another between them, in a file that has more runs."""
    row = swept(results, {"a": 8, "b": 16}, [stored(point, seed, read=seed) for point in "ab" for seed in range(3)])
    results.plan(row, [(2, "a", {ENTRIES: "0x8"})])
    return row.id


def labelled(results: Results, sweep: int) -> list[tuple[str, str, int]]:
    return [(run.settings[ENTRIES], run.point, run.seed) for run in results.runs(sweep)]


def test_what_grows_with_the_run_is_known_of_what_a_file_holds() -> None:
    with Results(MEMORY, write=True) as results:
        row = swept(results, {"a": 8}, [stored("a", 0, read=300, **{"nic0.overloaded": 1})])
        (point,) = points_of(results, row, [READ])
        assert (list(point.means), point.means[READ].overloaded) == ([READ], True)


def test_each_place_of_a_sweep_has_its_label_and_each_of_its_runs_once() -> None:
    with Results(MEMORY, write=True) as results:
        sweep = twice(results)
        places = (("8", "a"), ("16", "b"), ("0x8", "a"))
        assert labelled(results, sweep) == [(*place, seed) for place in places for seed in range(3)]
        assert [point.settings[ENTRIES] for point in estimates(results.runs(sweep), [READ])] == ["8", "16", "0x8"]
        (row,) = results.sweeps()
        for place, seeds in enumerate(([0, 1], [1], [1, 2])):
            results.ask(row, place, seeds)
        asked = [("8", "a", 0), ("8", "a", 1), ("16", "b", 1), ("0x8", "a", 1), ("0x8", "a", 2)]
        assert labelled(results, sweep) == asked
        assert points_of(results, row, [READ]) == list(estimates(results.runs(sweep), [READ]))
        rows = [(row["run"], row[ENTRIES]) for row in tidy(results, sweep)]
        assert rows == [("a0", 8), ("a1", 8), ("b1", 16), ("a1", 8), ("a2", 8)]


def test_two_labels_of_a_configuration_are_compared_with_their_own() -> None:
    with Results(MEMORY, write=True) as first, Results(MEMORY, write=True) as second:
        twice(first)
        swept(second, {"c": 8}, [stored("c", seed, read=seed + 1) for seed in range(3)])
        found = compare(first, second)
    assert [point.settings for point in found.points] == [{ENTRIES: "8"}]
    assert found.only_first == [{ENTRIES: "16"}, {ENTRIES: "0x8"}]


def test_a_point_is_compared_by_what_the_last_sweep_says_of_it() -> None:
    with Results(MEMORY, write=True) as first, Results(MEMORY, write=True) as second:
        runs = [stored("a", seed, read=seed + 1) for seed in range(3)]
        swept(first, {"a": 8}, runs)
        swept(first, {"a": 16}, runs)
        swept(second, {"a": 8}, runs)
        found = compare(first, second)
    assert not found.points
    assert (found.only_first, found.only_second) == ([{ENTRIES: "16"}], [{ENTRIES: "8"}])


def test_a_metric_that_neither_of_two_files_has_is_told(tmp_path: Path) -> None:
    paths = [str(tmp_path / name) for name in ("first.sqlite", "second.sqlite")]
    for path, number in zip(paths, ("walks", "reads"), strict=True):
        with Results(path, write=True) as results:
            swept(results, {"a": 8}, [stored("a", 0, **{"read": 1, number: 2}), stored("a", 1, "failed", writes=1)])
    asked = ["compare", *paths, "-m", "walks", "-m", "reads", "-m", "nic0.*"]
    assert CliRunner().invoke(main, asked).exit_code == 0
    found = CliRunner().invoke(main, [*asked, "-m", "gpu9", "-m", "writes"])
    assert (found.exit_code, found.stdout) == (2, "")
    assert found.stderr == (
        "-m gpu9: no run has such a number; cosim list scalars has their names\n"
        "-m writes: no run has such a number; cosim list scalars has their names\n"
    )


def before_seeds_were_noted(path: Path) -> None:
    with sqlite3.connect(path) as file:
        file.executescript("DROP VIEW swept; DROP TABLE asked;")
    file.close()


def test_a_file_of_before_seeds_were_noted_is_read_and_written(tmp_path: Path) -> None:
    path = tmp_path / "study.sqlite"
    with Results(path, write=True) as results:
        sweep = twice(results)
        seeds = results.begin(SweepRow("cosim sweep", "tiny", "", {"run.seed": ["0", "2"]}))
        results.plan(seeds, [(0, "a", {"run.seed": "0"}), (1, "a", {"run.seed": "2"})])
    before_seeds_were_noted(path)
    data = path.read_bytes()
    with Results(path) as results:
        found = labelled(results, sweep)
        assert found == [(*place, seed) for place in (("8", "a"), ("16", "b"), ("0x8", "a")) for seed in range(3)]
        assert [(run.settings["run.seed"], run.seed) for run in results.runs(seeds.id)] == [("0", 0), ("2", 2)]
    assert path.read_bytes() == data
    with Results(path, write=True) as results:
        assert labelled(results, sweep) == found
        results.ask(swept(results, {"a": 4}), 0, [2])
    with Results(path) as results:
        assert labelled(results, sweep) == found
        assert labelled(results, results.sweeps()[-1].id) == [("4", "a", 2)]


def test_what_was_added_survives_that_its_process_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "study.sqlite"
    program = f"""
        import sys
        sys.path.insert(0, {str(Path(__file__).parents[3])!r})
        from cosim.study.results.results import Results
        from tests.study.results.made import stored, swept
        results = Results({str(path)!r}, write=True)
        swept(results, {{"a": 16}}, [stored("a", n, read=n) for n in range(50)])
        print("added", flush=True)
        sys.stdin.read()
    """
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"added\n"
        os.kill(child.pid, signal.SIGKILL)
    with Results(path, write=True) as results:
        assert sum(1 for _ in results.runs()) == 50
        results.add(stored("a", 50, read=1))
    with Results(path) as results:
        assert sum(1 for _ in results.runs()) == 51


def refused(path: Path, *, write: bool) -> str:
    before = path.read_bytes() if path.is_file() else b""
    with pytest.raises(TopologyError) as error:
        Results(path, write=write)
    assert (path.read_bytes() if path.is_file() else b"") == before
    return str(error.value)


@pytest.mark.parametrize("write", [False, True])
def test_what_is_no_results_file_is_refused_and_stays_as_it_is(tmp_path: Path, write: bool) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("not a database, and longer than the head of one: " + "x" * 100)
    assert refused(text, write=write) == f"{text}: no results file of cosim"
    other = tmp_path / "other.sqlite"
    with sqlite3.connect(other) as file:
        file.execute("CREATE TABLE t (x)")
    file.close()
    assert refused(other, write=write) == f"{other}: no results file of cosim"
    assert refused(tmp_path, write=write) == f"{tmp_path}: a folder, not a results file"


@pytest.mark.parametrize("write", [False, True])
def test_a_file_of_another_version_or_cut_short_is_refused(tmp_path: Path, write: bool) -> None:
    path = tmp_path / "study.sqlite"
    with Results(path, write=True) as results:
        swept(results, {"a": 16}, [stored("a", n, read=n) for n in range(50)])
    whole = path.read_bytes()
    with sqlite3.connect(path) as file:
        file.execute("PRAGMA user_version = 7")
    file.close()
    assert refused(path, write=write).endswith(": a results file of version 7, and this cosim reads versions 1 and 2")
    path.write_bytes(whole[: len(whole) // 2])
    assert f"damaged: it has {len(whole) // 2} of {len(whole)} bytes" in refused(path, write=write)


def older(path: Path) -> None:
    """Make it a file of version 1, which had its numbers as text alone."""
    with sqlite3.connect(path) as file:
        file.executescript("PRAGMA user_version = 1; ALTER TABLE runs DROP COLUMN doubles;")
    file.close()


def test_a_file_of_version_1_is_read_and_not_written(tmp_path: Path) -> None:
    path = tmp_path / "study.sqlite"
    with Results(path, write=True) as results:
        swept(results, {"a": 16}, [stored("a", 0, read=300.5, events=7), stored("a", 1, "lost")])
        newer = (list(results.runs()), list(results.table(model_version())))
    older(path)
    assert ": a results file of version 1, which is read, and not written; name another" in refused(path, write=True)
    with Results(path) as results:
        assert (list(results.runs()), list(results.table(model_version()))) == newer
        (some,) = [run for run in results.some(model_version(), lambda names: names[-1:]) if run[2] == "ok"]
        assert some == ("a", 0, "ok", "", {"events": 7})


@pytest.mark.parametrize("column", ["numbers", "doubles"])
def test_numbers_that_were_overwritten_are_told_and_are_no_traceback(tmp_path: Path, column: str) -> None:
    path = tmp_path / "study.sqlite"
    with Results(path, write=True) as results:
        swept(results, {"a": 16}, [stored("a", 0, read=300)])
        results._file.execute(f"UPDATE runs SET {column} = CAST('[3' AS {'TEXT' if column == 'numbers' else 'BLOB'})")
        results._file.commit()
    with Results(path) as results, pytest.raises(TopologyError, match=r"study.sqlite: damaged \(.*name another file"):
        list(results.runs() if column == "numbers" else results.table(model_version()))


def test_text_that_was_overwritten_is_told_without_all_of_it(tmp_path: Path) -> None:
    path = tmp_path / "study.sqlite"
    with Results(path, write=True) as results:
        swept(results, {"a": 16}, [stored("a", 0, read=300)])
        results._file.execute("UPDATE runs SET reason = CAST(X'FF' AS TEXT)")
        results._file.commit()
    with Results(path) as results, pytest.raises(TopologyError, match=r"damaged \(there is text that is none\); name"):
        list(results.runs())


def test_a_file_that_is_not_there_is_no_empty_study(tmp_path: Path) -> None:
    assert "no such file; `cosim sweep ... -o FILE` writes one" in refused(tmp_path / "none.sqlite", write=False)
    assert not (tmp_path / "none.sqlite").exists()


def test_a_page_that_was_overwritten_is_told_when_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "study.sqlite"
    with Results(path, write=True) as results:
        swept(results, {"a": 16}, [stored("a", n, read=n) for n in range(200)])
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    path.write_bytes(data)
    with Results(path) as results, pytest.raises(TopologyError, match="damaged"):
        list(results.runs())


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("UPDATE runs SET numbers = '[3'", "numbers of a row of runs is no JSON"),
        ("UPDATE runs SET numbers = '[3, 4, 5, 6]'", "run a0 has other numbers than names"),
        ("UPDATE histograms SET buckets = ''", "buckets of a row of histograms is no JSON"),
        ("UPDATE runs SET reason = CAST(X'FF' AS TEXT)", "there is text that is none"),
    ],
)
def test_nothing_is_written_into_a_file_with_a_damaged_row(tmp_path: Path, change: str, why: str) -> None:
    path = tmp_path / "study.sqlite"
    with Results(path, write=True) as results:
        swept(results, {"a": 16}, [stored("a", 0, read=300)])
        results._file.execute("PRAGMA journal_mode = DELETE")
        results._file.execute(change)
        results._file.commit()
    before = path.read_bytes()
    assert refused(path, write=True).endswith(f": damaged ({why}); name another file with -o")
    assert path.read_bytes() == before


def test_nothing_is_written_into_a_file_with_a_damaged_page(tmp_path: Path) -> None:
    path = tmp_path / "study.sqlite"
    with Results(path, write=True) as results:
        swept(results, {"a": 16}, [stored("a", n, read=n) for n in range(200)])
    with sqlite3.connect(path) as file:
        ((root,),) = file.execute("SELECT rootpage FROM sqlite_master WHERE name = 'runs_of_points'")
    file.close()
    data = bytearray(path.read_bytes())
    data[(root - 1) * 4096 : root * 4096] = b"\xff" * 4096  # an index, which is met when a row is added, or asked for
    path.write_bytes(data)
    assert "damaged" in refused(path, write=True)
    assert path.read_bytes() == bytes(data)


def test_a_full_disk_keeps_what_was_there_and_says_how_to_go_on(tmp_path: Path) -> None:
    path = tmp_path / "study.sqlite"
    with Results(path, write=True) as results:
        swept(results, {"a": 16}, [stored("a", 0, read=300)])
        results._file.execute("PRAGMA max_page_count = 1")
        many = (results.add(stored("a", number, read=300)) for number in range(1, 2000))
        with pytest.raises(TopologyError, match="the disk is full; what had ended before is kept: make room"):
            list(many)
    with Results(path) as results:
        assert sum(1 for _ in results.runs()) >= 1


def test_a_file_in_a_folder_that_cannot_be_written_to_is_read_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "study.sqlite"
    with Results(path, write=True) as results:
        swept(results, {"a": 16}, [stored("a", 0, read=300)])
    path.chmod(0o444)
    tmp_path.chmod(0o555)
    try:
        with Results(path) as results:
            assert sum(1 for _ in results.runs()) == 1
    finally:
        tmp_path.chmod(0o755)
    assert [each.name for each in tmp_path.iterdir()] == ["study.sqlite"]


def test_of_very_many_runs_it_is_known_which_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cosim.study.results.results.AT_ONCE", 3)
    with Results(MEMORY, write=True) as results:
        swept(results, {"a": 16}, [stored("a", seed, read=1) for seed in range(7)])
        asked = [f"a{seed}" for seed in range(9)]
        assert results.known(asked) == {f"a{seed}": "ok" for seed in range(7)}
