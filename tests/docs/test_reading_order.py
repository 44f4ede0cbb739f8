"""The reading order is true: its files are there, every package is reached, and no file needs one that comes later."""

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reading-order.md"
TEXT = PAGE.read_text(encoding="utf-8")


def linked(text: str) -> list[str]:
    """The Python files of the package that a page links, in its order."""
    return list(dict.fromkeys(re.findall(r"\]\(\.\./(cosim/[\w/]+\.py)\)", text)))


@cache
def needed(path: str) -> frozenset[str]:
    """The files that a module imports when it is imported itself, and not for its types alone."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    found: set[str] = set()
    for node in tree.body:
        names: list[str] = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        found |= {name.replace(".", "/") + ".py" for name in names}
    return frozenset(found)


def out_of_order(files: list[str]) -> list[str]:
    """Each file that needs one which comes later, and that one."""
    return [
        f"{file} needs {later}"
        for index, file in enumerate(files)
        for later in files[index + 1 :]
        if later in needed(file)
    ]


def packages() -> set[str]:
    """Every folder of the package that holds code."""
    folders = {path.parent for path in (ROOT / "cosim").rglob("*.py") if path.name != "__init__.py"}
    return {folder.relative_to(ROOT).as_posix() for folder in folders}


def unreached(files: list[str]) -> set[str]:
    return packages() - {file.rpartition("/")[0] for file in files}


def test_every_file_is_there():
    assert not [file for file in linked(TEXT) if not (ROOT / file).is_file()]


def test_no_file_needs_one_that_comes_later():
    assert not out_of_order(linked(TEXT))


def test_every_package_is_reached():
    assert not unreached(linked(TEXT))


def test_a_file_before_what_it_needs_and_a_package_left_out_would_be_named():
    assert out_of_order(["cosim/sim/gate.py", "cosim/sim/task.py"]) == ["cosim/sim/gate.py needs cosim/sim/task.py"]
    assert "cosim/sw" in unreached([file for file in linked(TEXT) if not file.startswith("cosim/sw/")])


def test_what_is_named_without_a_link_is_there_too():
    for name in re.findall(r"`(cosim/[\w/.]+?)/?`", TEXT):
        assert (ROOT / name).exists(), name
