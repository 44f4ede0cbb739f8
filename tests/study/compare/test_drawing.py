"""Drawings are read from docstrings by one parser, whoever wrote them, and fit the width that there is."""

import pytest

from cosim.study.compare.drawing import Drawing, drawing_of, drawings, text_of
from cosim.sw.driver.axes import AXES
from cosim.sw.driver.policies import attach, attach_reviewed
from cosim.sw.driver.table import CELLS
from cosim.sw.driver.variants import load_variant
from cosim.sw.steps import without

TWO = """Unmaps before the IOMMU.

    unmap                   IOMMU
    clear the PTE           .
        .                   walks: no entry
    return

And that is all.
"""


def test_a_drawing_is_a_paragraph_under_two_names():
    assert drawings(TWO) == [
        Drawing((("unmap", "IOMMU"), ("clear the PTE", "."), ("    .", "walks: no entry"), ("return", "")))
    ]
    assert not drawings("Sentences.  Even with two blanks.\n\nAnd a second line\nof another paragraph.")


def test_a_drawing_at_the_end_of_a_docstring_is_found_as_one_in_its_middle():
    assert drawings(TWO.removesuffix("\nAnd that is all.\n")) == drawings(TWO)


def test_the_drawing_of_a_module_is_that_of_its_first_class():
    first = drawing_of(attach.BondFirst())
    assert first is not None
    assert first.rows[0] == ("attach", "IOMMU")
    reviewed = drawing_of(attach_reviewed.ReviewedAttach())
    assert reviewed is not None
    assert reviewed.rows[0] == ("attach", "unmap")
    assert drawing_of(CELLS["queue"]["stop-on-error"]) is None  # it has none, and that of the module is of `Tickets`


def test_a_policy_with_steps_taken_out_is_drawn_as_the_whole_one():
    assert drawing_of(without(attach.BondFirst(), ["barrier"])) == drawing_of(attach.BondFirst())


def test_the_drawing_of_a_users_file_is_read_as_ours(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(f'"""{TWO}"""\nfrom cosim.sw.driver.policies.attach import BondFirst\n\n'
                    "class Mine(BondFirst):\n    async def barrier(self) -> None:\n        pass\n\n\n"
                    "class Second(Mine):\n    async def barrier(self) -> None:\n        pass\n")  # fmt: skip
    assert drawing_of(load_variant(f"{file}:Mine").attach) == drawings(TWO)[0]
    assert drawing_of(load_variant(f"{file}:Second").attach) is None


@pytest.mark.parametrize("axis", AXES)
def test_no_cell_of_a_shipped_drawing_reaches_into_its_neighbour(axis):
    for name, policy in CELLS[axis].items():
        drawing = drawing_of(policy)
        assert drawing is None or len(drawing.rows) > 2, name
        for left, right in drawing.rows if drawing else ():
            assert not right.startswith(" " * 5), f"{axis} {name}: {left}|{right}"
        assert "  " not in text_of(policy), f"{axis} {name}: a drawing was taken for text"


@pytest.mark.parametrize("width", [40, 60, 78])
def test_a_drawing_is_broken_to_the_width_and_loses_no_word(width):
    drawing = drawing_of(attach.BondFirst())
    assert drawing is not None
    lines = drawing.lines(width)
    assert max(map(len, lines)) <= width
    words = sorted(" ".join(cell for row in drawing.rows for cell in row).split())
    assert sorted(" ".join(lines).split()) == words
    assert drawing.fits(78)
    assert not drawing.fits(30)
