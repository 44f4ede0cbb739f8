"""Chapters of the specification are cited by the numbers and titles of one edition."""

import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TABLE = Path(__file__).parent / "data" / "chapters.tsv"
CHAPTERS = dict(line.split("\t") for line in TABLE.read_text(encoding="utf-8").splitlines() if not line.startswith("#"))

NUMBER = r"\d+(?:\.\d+)+"
TITLED = re.compile(rf'(?<![\d.])(?<!PCIe )({NUMBER}),?\s+"([^"]+)"')
"""A number with the title that it should have; another document is named before the number."""
BARE = re.compile(rf"(?:\(|\bIOMMU )([1-7]\.{NUMBER}|[1-7]\.\d+)(?=[),;: ])(?! [num]?s\b| [KMG]i?B\b| %)")
"""A number that opens a parenthesis, or follows the document's name."""

MODULES = sorted((ROOT / "cosim").rglob("*.py"))
PAGES = sorted((ROOT / "docs").glob("*.md"))


def prose(path: Path) -> str:
    """What a module says to its readers: docstrings, comments, and what stands below a field."""
    with path.open("rb") as file:
        tokens = list(tokenize.tokenize(file.readline))
    kinds = (tokenize.COMMENT, tokenize.STRING)
    return "\n".join(token.string for token in tokens if token.type in kinds and token.string[:1] in "#\"'r")


def wrong(text: str) -> Iterator[str]:
    """What a text cites that is not so in the edition of the table."""
    flat = re.sub(r"\s+", " ", text)
    for number, title in TITLED.findall(flat):
        if title.lower() not in CHAPTERS.get(number, "").lower():
            yield f'{number} "{title}": {number} is {CHAPTERS.get(number, "no chapter")}'
    for number in BARE.findall(flat):
        if number not in CHAPTERS:
            yield f"{number} is no chapter"


def test_the_table_is_of_the_edition_that_the_package_names():
    assert "version 1.0 " in TABLE.read_text(encoding="utf-8").splitlines()[0]
    assert "specification 1.0 " in (ROOT / "cosim" / "spec" / "__init__.py").read_text(encoding="utf-8")
    assert CHAPTERS["2.3"] == "Process to translate an IOVA"


def test_every_chapter_that_a_module_cites_has_that_number_and_title():
    """Code is full of numbers: a text that seems wrong is judged by what it says to its readers alone."""
    seem = [module for module in MODULES if any(wrong(module.read_text(encoding="utf-8")))]
    assert seem
    assert not {str(module): found for module in seem if (found := list(wrong(prose(module))))}


@pytest.mark.parametrize("page", PAGES, ids=lambda file: file.name)
def test_every_title_that_a_page_cites_has_that_number(page):
    """Numbers alone are many things there."""
    assert not [found for found in wrong(page.read_text(encoding="utf-8")) if '"' in found]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('(2.3 "Process to translate an IOVA")', []),
        ('(2.3 "process to\n    translate")', []),
        ("(3.1.2)", []),
        ('(as PCIe 2.2.7 "TLP rules" demands)', []),
        ("(1.5 us on average)", []),
        ('(6.5 "Device-directory-table pointer")', ['6.5 "Device-directory-table pointer": 6.5 is Guidelines']),
        ("(IOMMU 3.8)", ["3.8 is no chapter"]),
        ('IOMMU 4.1, "Command-Queue"', ['4.1 "Command-Queue": 4.1 is no chapter', "4.1 is no chapter"]),
    ],
)
def test_a_wrong_number_is_seen_and_a_right_one_is_not(text, said):
    found = list(wrong(text))
    assert len(found) == len(said)
    assert all(one.startswith(start) for one, start in zip(found, said, strict=True))
