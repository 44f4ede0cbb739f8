"""Two drivers side by side: every cell that differs, what each side draws, and what a cell costs alone."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from cosim.cli import main
from cosim.study.compare.cost import Cost, costs
from cosim.study.compare.difference import differences
from cosim.study.report.driver_difference import cells, tables
from cosim.study.report.page import Page
from cosim.sw.driver.table import ROWS
from tests.terminal import shown_on_a_terminal

TINY = str(Path(__file__).parents[2] / "tiny.yaml")


def verb(*words: str):
    return CliRunner().invoke(main, ["diff-driver", *words], catch_exceptions=False)


@pytest.mark.parametrize(("first", "second"), [("v2", "merged"), ("merged", "ideal"), ("current", "latest")])
def test_every_cell_that_differs_is_shown_and_no_other(first, second):
    found = {pair.axis: (pair.first.name, pair.second.name) for pair in differences(first, second)}
    assert found == {
        axis: (cell, ROWS[second][axis]) for axis, cell in ROWS[first].items() if cell != ROWS[second][axis]
    }


def test_the_order_of_drivers_is_that_of_columns_and_steps():
    (there,) = (pair for pair in differences("v2", "merged") if pair.axis == "invalidate")
    (back,) = (pair for pair in differences("merged", "v2") if pair.axis == "invalidate")
    assert (there.first.name, there.second.name) == ("v2", "per-iommu") == (back.second.name, back.first.name)
    assert "barrier" in there.second.steps
    assert "barrier" not in there.first.steps


def test_drawings_stand_side_by_side_where_they_fit_and_else_below_one_another():
    pairs = [pair for pair in differences("v2", "merged") if pair.axis == "invalidate"]
    wide = [line.plain for line in cells("v2", "merged", pairs, Page(80))]
    assert any("read the bonds" in line.partition(" | ")[0] and "smp_mb" in line for line in wide)
    assert max(map(len, wide)) <= 80
    narrow = [line.plain for line in cells("v2", "merged", pairs, Page(60))]
    assert not any(" | " in line for line in narrow)
    assert max(map(len, narrow)) <= 60


def test_a_policy_without_a_drawing_shows_its_text():
    pairs = [pair for pair in differences("merged", "current") if pair.axis == "queue"]
    text = " ".join(line.plain for line in cells("merged", "current", pairs, Page(80)))
    assert "On a single CPU" in text


def test_a_dataclass_without_a_docstring_is_told_by_that_of_its_module_if_it_is_the_first_there(tmp_path):
    file = tmp_path / "own.py"
    kinds = "".join(
        f"@dataclass(frozen=True)\nclass {name}(PerIommu):\n    async def barrier(self): pass\n"
        for name in ("First", "Second")
    )
    file.write_text(
        '"""Fences are sent first. And more."""\nfrom dataclasses import dataclass\n'
        f"from cosim.sw.driver.policies.invalidate import PerIommu\n{kinds}"
    )
    about = [differences("merged", f"{file}:{name}")[0].second.about for name in ("First", "Second")]
    assert about == ["Fences are sent first", "derives from PerIommu; its class has no docstring"]


def test_two_rows_with_equal_cells_differ_in_none(tmp_path):
    file = tmp_path / "own.py"
    file.write_text("from cosim.sw.driver.variants import load_variant\nMERGED = load_variant('merged')\n")
    assert " ".join(verb("merged", f"{file}:MERGED").output.split()) == f"merged and {file}:MERGED differ in no cell"


@pytest.mark.slow
def test_a_cell_of_a_users_file_is_put_alone_into_the_first_driver(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "from cosim.sim.operations import Work\nfrom cosim.sw.driver.policies.invalidate import PerIommu\n\n\n"
        "class Slow(PerIommu):\n"
        "    async def barrier(self, *given):\n        await Work(1_000_000)\n        await super().barrier(*given)\n"
    )
    found = verb("merged", f"{file}:Slow", "--on", TINY, "--json", "-j", "1")
    assert found.exit_code == 0, found.output
    first, alone, second = json.loads(found.stdout)["costs"]
    assert alone["cells"] == [f"invalidate={file}:Slow"]
    assert alone["unmap_mean_ps"] == second["unmap_mean_ps"] >= first["unmap_mean_ps"] + 1_000_000
    assert alone["command"] == f"cosim run {TINY} -s driver.invalidate={file}:Slow --driver merged"


@pytest.mark.slow
def test_cells_that_need_one_another_are_put_in_together():
    pairs = [pair for pair in differences("merged", "ideal") if pair.axis in ("pscid", "bonds", "attach")]
    ran: list[tuple[int, int]] = []
    found = costs("merged", "ideal", pairs, TINY, jobs=1, progress=lambda done, of: ran.append((done, of)))
    assert ran == [(done, 4) for done in range(5)]
    assert [cost.cells for cost in found] == [
        (),
        ("pscid=by-bond", "bonds=counted", "attach=fenced"),
        ("bonds=counted",),
        (),
    ]
    assert [cost.driver for cost in found] == ["merged", "merged", "merged", "ideal"]
    assert all(cost.calls and not cost.why for cost in found)


def test_costs_are_ratios_to_the_first_driver():
    first = Cost(TINY, "a", (), "cosim run", {"map": 100_000, "unmap": 2_000_000}, 30, 20, 10)
    other = Cost(TINY, "a", ("queue=x",), "cosim run", {"map": 150_000, "unmap": 1_000_000}, 15, 20, 5)
    rows = [line.plain.split() for line in tables([first, other], Page(80))]
    assert ["a", "100", "ns", "2,000", "ns", "-", "3.0", "2.0", "0"] in rows
    assert ["+", "queue=x", "1.50", "0.50", "-", "1.00", "2.00", "0"] in rows


@pytest.mark.slow
def test_a_cell_whose_run_raises_says_so_and_the_others_are_told(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "from cosim.sw.driver.policies.invalidate import PerIommu\n\n\n"
        "class Broken(PerIommu):\n    async def barrier(self, *given):\n        raise RuntimeError('not today')\n"
    )
    found = verb("merged", f"{file}:Broken", "--on", TINY, "-j", "1")
    assert found.exit_code == 0
    assert "not today" in found.output
    assert "Traceback" not in found.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["mergd", "v2"], "did you mean merged?"),
        (["merged", "merged"], "merged is named twice"),
        (["merged", "no.py:Mine"], "there is no file no.py"),
        (["merged", "context-first"], "-s driver.attach=context-first"),
        (["merged", "v2", "--on", "quickstrt"], "did you mean quickstart?"),
        (["merged"], "Missing argument"),
    ],
)
def test_bad_input_is_exit_code_2_and_names_what_was_meant(words, said):
    found = verb(*words)
    assert found.exit_code == 2
    assert said in found.output
    assert "Traceback" not in found.output


@pytest.mark.slow
def test_the_runs_are_counted_on_a_terminal_and_leave_nothing_behind(tmp_path):
    words = ["diff-driver", "merged", "ideal", "--on", TINY, "-j", "1"]
    assert re.search("runs .*0/8", shown_on_a_terminal(words, tmp_path))
    assert "0/8" not in shown_on_a_terminal([*words, "-q"], tmp_path)
