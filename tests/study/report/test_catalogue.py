"""The lists of what there is: complete, and each entry with a sentence on it."""

import pytest
from click.testing import CliRunner

from cosim.cli import main
from cosim.hw.dma.options import DmaOptions
from cosim.hw.dma.patterns import PATTERNS
from cosim.oracles import ORACLES
from cosim.study.report.catalogue import CATALOGUE, DRIVERS, first_sentence
from cosim.sw.driver.table import CELLS, ROWS
from cosim.system import load


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_entry_has_a_name_of_its_own_and_one_line_on_it(name):
    rows = CATALOGUE[name]()
    names = [entry for entry, _ in rows]
    assert len(set(names)) == len(names)
    for entry, text in rows:
        assert text, f"{name}: {entry} has no text"
        assert "\n" not in text
        assert not text.endswith(".")


def test_topologies_are_told_by_the_first_sentence_of_their_opening_comment(tmp_path, monkeypatch):
    (tmp_path / "one.yaml").write_text(
        "# Ten devices share a domain,\n# all behind one IOMMU. And more.\n\nparts: {}\n"
    )
    (tmp_path / "two.yaml").write_text("# Short\nparts: {}  # not this. Nor this.\n# And not this\n")
    found = {"one": tmp_path / "one.yaml", "two": tmp_path / "two.yaml"}
    monkeypatch.setattr("cosim.study.report.catalogue.shipped", lambda: found)
    assert CATALOGUE["topologies"]() == [("one", "Ten devices share a domain, all behind one IOMMU"), ("two", "Short")]


def test_the_help_names_every_list():
    told = CliRunner().invoke(main, ["list", "--help"]).output
    assert [name for name in CATALOGUE if f"\n  {name} " not in told] == []


def test_every_shipped_topology_is_listed():
    assert [name for name, _ in CATALOGUE["topologies"]()] == list(load.shipped())


def test_a_driver_is_told_by_what_it_stands_for_and_how_it_differs():
    rows = dict(CATALOGUE["drivers"]())
    assert list(rows) == list(ROWS) == list(DRIVERS)
    assert rows["merged"] == DRIVERS["merged"]
    assert rows["v2"].startswith(f"{DRIVERS['v2']}; merged but for pscid tables-first, bonds v2")
    assert rows["current"].count(",") == sum(ROWS["current"][axis] != ROWS["merged"][axis] for axis in CELLS) - 1


def test_every_policy_of_every_axis_is_listed():
    names = [name for name, _ in CATALOGUE["policies"]()]
    assert names == [f"{axis}: {cell}" for axis, cells in CELLS.items() for cell in cells]


def test_patterns_threads_parts_and_oracles_are_what_a_topology_accepts():
    assert [name for name, _ in CATALOGUE["patterns"]()] == list(PATTERNS)
    for pattern in PATTERNS:
        file = {"file": "requests.csv"} if pattern == "replay" else {}
        DmaOptions(kind="dma", direct=True, traffic={"pattern": pattern, **file})
    assert [name for name, _ in CATALOGUE["parts"]()] == ["memory", "cpu", "iommu", "dma", "ring"]
    assert "map-unmap" in dict(CATALOGUE["threads"]())
    assert [name for name, _ in CATALOGUE["oracles"]()] == list(ORACLES)


def test_events_are_told_with_the_fields_of_their_lines():
    rows = dict(CATALOGUE["events"]())
    assert rows["CommandFetched"].endswith("(time_ps, who, index, words)")
    assert rows["Mapped"].startswith("``iommu_map`` returned: `size` bytes from `iova` in `domain` lead to `address`")
    assert {"RegisterRead", "ContextChanged", "BootDone"} <= set(rows)


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("One. Two.", "One"),
        ("Linux 6.13 does it:\nas told. More.", "Linux 6.13 does it: as told"),
        ("No stop at all\n\nSecond paragraph.", "No stop at all"),
        ("", ""),
        (None, ""),
    ],
)
def test_the_first_sentence_ends_at_a_full_stop_or_at_its_paragraph(text, first):
    assert first_sentence(text) == first


def test_the_command_line_lists_them_in_columns():
    done = CliRunner().invoke(main, ["list", "patterns"])
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(PATTERNS)
    assert {line[: len("sequential  ")].rstrip() for line in lines} == set(PATTERNS)


def test_the_command_line_refuses_an_unknown_list_and_names_the_nearest():
    done = CliRunner().invoke(main, ["list", "pattern"])
    assert done.exit_code == 2
    assert "there is no list of pattern; did you mean patterns?" in done.stderr
