"""The page on defects of the hardware: each is there, with what sees it and the commands that show both sides."""

from __future__ import annotations

from pathlib import Path

import pytest

from cosim.hw.iommu.options import DefectOptions
from tests.docs.test_generator import script

defects = script("defects")
TEXT = (Path(__file__).parents[2] / "docs" / defects.PAGE).read_text(encoding="utf-8")


def test_the_page_is_what_options_and_topologies_say() -> None:
    assert defects.defects() == TEXT, "docs/generate.py renews it"


@pytest.mark.parametrize("defect", DefectOptions.model_fields)
def test_each_defect_has_a_row_a_picture_and_a_command_without_it(defect: str) -> None:
    (row,) = (line for line in TEXT.splitlines() if line.startswith(f"| [`{defect}`]"))
    assert f"`cosim run {defect}`" in row
    assert all(f"`{signature}`" in row for signature in defects.signatures(defect))
    section = TEXT.partition(f"\n## {defect}\n")[2].partition("\n## ")[0]
    columns = [line for line in section.splitlines() if line.startswith(" " * 44)]
    assert columns, "the right column of its picture"
    assert f"\n    cosim run {defect} {defects.without(defect)}\n" in section
