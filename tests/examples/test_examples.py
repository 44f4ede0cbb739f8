"""Each example prints what stands beside it, and they are numbered in the order in which one reads them."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "examples"
EXAMPLES = sorted(FOLDER.glob("*.py"))


def test_there_are_examples_numbered_without_gaps() -> None:
    numbers = [int(example.name[:2]) for example in EXAMPLES]
    assert numbers == list(range(1, len(EXAMPLES) + 1))
    assert numbers


def test_each_output_belongs_to_an_example_and_each_example_has_one() -> None:
    assert {example.stem for example in EXAMPLES} == {output.stem for output in FOLDER.glob("*.out")}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)
def test_an_example_opens_with_what_it_shows(example: Path) -> None:
    docstring = ast.get_docstring(ast.parse(example.read_text(encoding="utf-8")))
    assert docstring is not None
    assert docstring.endswith(".")


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)
def test_an_example_prints_what_stands_beside_it(example: Path, tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, str(example)], cwd=tmp_path, capture_output=True, text=True, encoding="utf-8", check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == example.with_suffix(".out").read_text(encoding="utf-8"), "`make docs` renews it"
