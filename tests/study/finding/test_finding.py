"""A finding's file: what it holds, that it comes back as it went, and why another file is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cosim.config.problems import TopologyError
from cosim.study.finding import Finding, read
from cosim.study.finding.driver_files import moved, names_of
from cosim.study.finding.finding import checksum_of
from cosim.study.pool import Record
from cosim.study.run.run import Point
from cosim.system.driver_options import DriverOptions
from cosim.system.load import load
from tests.study.finding.systems import HELD, UNFLUSHED, beside, found, record_of, recorded, written


def refused(path: Path) -> str:
    with pytest.raises(TopologyError) as error:
        read(path)
    assert error.value.exit_code == 2
    return str(error.value)


def changed(path: Path, *, checked: bool = True, **held: Any) -> Path:
    """The file with other values; `checked` gives it the checksum of what it holds then."""
    content = json.loads(path.read_text()) | held
    if checked:
        content["checksum"] = checksum_of(content)
    path.write_text(json.dumps(content))
    return path


def test_it_holds_what_the_run_depends_on_and_what_was_seen(tmp_path: Path) -> None:
    held = json.loads(written(tmp_path).read_text())
    assert held["schedule"] == list(HELD)
    assert held["driver"] == "merged attach=context-first"
    assert held["signature"] in {violation["signature"] for violation in held["violations"]}
    assert "  attach: context-first" in held["topology"]


def test_what_is_read_is_what_was_written_and_gives_the_same_point(tmp_path: Path) -> None:
    assert read(written(tmp_path)) == found()
    assert found().point() == Point(beside(), "beside", HELD)


def test_a_record_without_the_signature_is_no_finding_of_it() -> None:
    with pytest.raises(ValueError, match="shows no"):
        Finding.of(Point(beside()), Record("ok"), UNFLUSHED)


def test_of_several_violations_the_first_one_of_each_signature_is_kept() -> None:
    signatures = [violation.signature for violation in found().violations]
    assert len(signatures) == len(set(signatures)) > 1
    violation = found().violation
    assert violation
    assert violation.signature == UNFLUSHED
    assert found().shown is violation


def test_a_finding_of_a_failure_is_told_with_that_failure() -> None:
    failures = ("threads: cpu0.unmap has not ended", "calls: 3 rounds of cpu1.attach failed")
    finding = replace(found(), signature="calls: N rounds of cpu1.attach failed", failures=failures)
    assert (finding.violation, finding.shown.message, finding.shown.time_ps) == (
        None,
        failures[1],
        found().simulated_ps,
    )


def test_a_file_that_cannot_be_written_leaves_what_was_there(tmp_path: Path) -> None:
    path = written(tmp_path)
    before = path.read_bytes()
    (tmp_path / "found.json.part").mkdir()
    with pytest.raises(TopologyError, match="cannot be written"):
        found().write(path)
    assert path.read_bytes() == before
    with pytest.raises(TopologyError, match="cannot be written"):
        found().write(tmp_path / "nowhere" / "found.json")


# --- What is refused -------------------------------------------------------------------------------------------------


def test_what_is_no_file_is_refused_with_what_it_may_have_been(tmp_path: Path) -> None:
    written(tmp_path)
    assert "no such file; did you mean" in refused(tmp_path / "fuond.json")
    assert "a folder, not a file" in refused(tmp_path)
    assert "no such file" in refused(tmp_path / "no" / "folder.json")
    assert "not the name of a file" in refused(Path("a\0b"))


def test_a_topology_is_to_be_run(tmp_path: Path) -> None:
    assert refused(Path("quickstart")) == (
        "quickstart: a topology that comes with cosim, and no finding; run it: cosim run quickstart"
    )
    path = tmp_path / "mine.yaml"
    path.write_text("parts: {}")
    assert refused(path).endswith(f"a topology is no finding; run it: cosim run {path}")


def test_a_finding_is_no_topology_and_is_to_be_replayed(tmp_path: Path) -> None:
    path = written(tmp_path)
    with pytest.raises(TopologyError, match=f"a finding is no topology; replay it: cosim replay {path}"):
        load(path)


def test_what_else_a_search_leaves_is_no_finding(tmp_path: Path) -> None:
    (tmp_path / "outcome.json").write_text('{"model": "", "rows": []}')
    assert "this is what a search came to, and no finding" in refused(tmp_path / "outcome.json")
    (tmp_path / "journal.jsonl").write_text("{}\n{}\n")
    assert "lines of JSON are no finding" in refused(tmp_path / "journal.jsonl")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "the file is empty"),
        ("  \n", "the file is empty"),
        ("what I saw", ":1:1: not JSON: Expecting value"),
        ('{"finding": 1 "name": 2}', ":1:15: not JSON: Expecting ',' delimiter"),
        ("[1, 2]", "this is no finding, which is an object"),
        ("{}", "the object has no 'finding'"),
        ('{"finding": 1}', "the object has no 'checksum'"),
        ('{"finding": 2, "checksum": ""}', "its format is 2, and this cosim reads 1"),
        ("[" * 100_000, "lists in lists"),
        (b"\xff\xfe{}", "not UTF-8 text: the byte 0xff"),
    ],
)
def test_what_is_no_finding_is_refused(tmp_path: Path, content: str | bytes, said: str) -> None:
    path = tmp_path / "found.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert said in refused(path)


def test_one_that_is_cut_short_anywhere_is_refused_as_that(tmp_path: Path) -> None:
    path = written(tmp_path)
    content = path.read_text().rstrip()
    for end in range(1, len(content), 97):
        path.write_text(content[:end])
        assert "cut short" in refused(path)
        assert "take the file as `cosim explore` has written it" in refused(path)


def test_one_that_was_edited_is_refused_and_may_be_tried_by_hand(tmp_path: Path) -> None:
    said = refused(changed(written(tmp_path), checked=False, schedule=["cpu0.unmap.amo#0:2"]))
    assert "it was edited, or damaged" in said
    assert "cosim run FILE.yaml --schedule cpu0.unmap.amo#0:2" in said
    assert "it was edited" in refused(changed(written(tmp_path), checked=False, schedule=5))


@pytest.mark.parametrize("name", ["schedule", "seed", "digest", "events", "topology", "model", "signature", "driver"])
def test_every_value_is_under_the_checksum(tmp_path: Path, name: str) -> None:
    assert "it was edited" in refused(changed(written(tmp_path), checked=False, **{name: None}))


def test_layout_is_not_content(tmp_path: Path) -> None:
    path = written(tmp_path)
    path.write_text(json.dumps(json.loads(path.read_text()), sort_keys=True))
    assert read(path) == found()


def test_one_of_another_version_is_refused_with_both(tmp_path: Path) -> None:
    path = changed(written(tmp_path), model="0123456789abcdef", cosim="0.0.9")
    said = refused(path)
    assert "made by model 0123456789abcdef of cosim 0.0.9, and this is model" in said
    assert "replay it with the cosim that made it, or search again" in said
    assert read(path, any_version=True) == replace(found(), model="0123456789abcdef", cosim="0.0.9")


def test_one_with_a_value_missing_is_refused_though_its_checksum_is_right(tmp_path: Path) -> None:
    path = written(tmp_path)
    content = json.loads(path.read_text())
    del content["digest"]
    path.write_text(json.dumps(content | {"checksum": checksum_of(content)}))
    assert "this is no finding: 'digest'" in refused(path)


# --- A driver of the user's own --------------------------------------------------------------------------------------

OWN = """
from dataclasses import dataclass
from cosim.sw.driver.policies.attach_defects import ContextFirst

@dataclass(frozen=True)
class Mine(ContextFirst):
    '''The context before the bond.'''
"""


def of_own_driver(folder: Path) -> Path:
    """The finding, of a driver in ``mine.py`` beside it."""
    driver = folder / "mine.py"
    driver.write_text(OWN)
    point = Point(load(beside(), set={"driver.attach": f"{driver}:Mine"}), "mine", HELD)
    path = folder / "found.json"
    Finding.of(point, recorded(), UNFLUSHED).write(path)
    return path


def test_a_driver_of_ones_own_is_named_with_what_was_in_it(tmp_path: Path) -> None:
    finding = read(of_own_driver(tmp_path))
    assert list(finding.driver_files) == [str(tmp_path / "mine.py")]
    (tmp_path / "mine.py").write_text(OWN + "# changed\n")
    assert "mine.py is not the one that it was found in: its content has changed" in refused(tmp_path / "found.json")
    (tmp_path / "mine.py").unlink()
    assert "mine.py is gone: there is no file" in refused(tmp_path / "found.json")


def test_the_files_of_a_driver_are_those_of_its_policies_too_each_once() -> None:
    cells = {
        "attach": "/a/mine.py:Mine",
        "invalidate": {"policy": "/a/own.py:Own", "fence_ps": "1 s"},
        "bonds": "grouped",
    }
    assert names_of(DriverOptions(variant="/a/mine.py:ROW", **cells)) == ["/a/mine.py", "/a/own.py"]
    assert names_of(DriverOptions(variant="object:/a/x.o,/a/y.o,-iommu.c:453")) == ["/a/x.o", "/a/y.o"]


def test_where_the_files_of_a_driver_have_moved_all_else_of_it_stays() -> None:
    cells = {
        "attach": "/a/mine.py:Mine",
        "invalidate": {"policy": "/a/mine.py:Own", "fence_ps": "1 s"},
        "pscid": {"without": "lock"},
        "bonds": "grouped",
        "tables": "/a/other.py:Tables",
    }
    driver = DriverOptions(variant="/a/mine.py:ROW", **cells)
    assert moved(driver, {"/a/mine.py": "/b/mine.py"}) == DriverOptions(
        variant="/b/mine.py:ROW",
        **cells | {"attach": "/b/mine.py:Mine", "invalidate": {"policy": "/b/mine.py:Own", "fence_ps": "1 s"}},
    )
    assert moved(driver, {}) == driver
    objects = DriverOptions(variant="object:/a/x.o,/a/y.o")
    assert moved(objects, {"/a/y.o": "/b/y.o"}).variant == "object:/a/x.o,/b/y.o"


@pytest.mark.slow
def test_a_driver_may_lie_beside_a_finding_that_was_moved(tmp_path: Path) -> None:
    path = of_own_driver(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    for name in ("mine.py", "found.json"):
        (tmp_path / name).rename(other / name)
    finding = read(other / path.name)
    assert finding.point().topology.driver.cells == {"attach": f"{other / 'mine.py'}:Mine"}
    assert record_of(finding.point()).digest == finding.digest
