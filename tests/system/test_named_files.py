"""Files that a topology names are looked for in the current folder, or else beside the topology that names them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import cosim
from cosim import TopologyError

TINY = (Path(__file__).parents[1] / "tiny.yaml").read_text(encoding="utf-8")
MINE = """\
from cosim.sw.driver.policies.invalidate import PerIommu


class Mine(PerIommu):
    pass
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One below the current folder, with a driver file."""
    monkeypatch.chdir(tmp_path)
    made = tmp_path / "sub"
    made.mkdir()
    (made / "mine.py").write_text(MINE, encoding="utf-8")
    return made


def driver(folder: Path, text: str, **changes: Any) -> Any:
    (folder / "own.yaml").write_text(f"{TINY}\n{text}\n", encoding="utf-8")
    return cosim.load("sub/own.yaml", **changes).driver.model_dump()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("driver: mine.py:Mine", {"variant": "sub/mine.py:Mine"}),
        ("driver: {invalidate: mine.py:Mine}", {"variant": "merged", "invalidate": "sub/mine.py:Mine"}),
        (
            "driver: {invalidate: {policy: mine.py:Mine, fence_ps: 1 ms}}",
            {"variant": "merged", "invalidate": {"policy": "sub/mine.py:Mine", "fence_ps": "1 ms"}},
        ),
    ],
)
def test_a_driver_of_ones_own_lies_beside_the_topology_or_in_the_current_folder(
    folder: Path, text: str, named: dict[str, Any]
) -> None:
    assert driver(folder, text) == named
    Path("mine.py").write_text(MINE, encoding="utf-8")
    assert "sub/" not in str(driver(folder, text))


def test_an_overlay_names_files_beside_itself_and_an_override_in_the_current_folder(folder: Path) -> None:
    (folder / "over.yaml").write_text("driver: {invalidate: mine.py:Mine}", encoding="utf-8")
    Path("tiny.yaml").write_text(TINY, encoding="utf-8")
    laid = cosim.load("tiny.yaml", overlays=["sub/over.yaml"])
    assert laid.driver.cells == {"invalidate": "sub/mine.py:Mine"}
    assert cosim.load(laid) == laid
    with pytest.raises(TopologyError, match=r"mine\.py:Mine: there is no file mine\.py in /.*, nor beside a topology"):
        cosim.load("sub/over.yaml", overlays=["tiny.yaml"], sets=["driver.invalidate=mine.py:Mine"])


def test_the_drivers_that_a_search_is_held_against_are_found_as_well(folder: Path) -> None:
    text = "explore: {clean: [merged, {invalidate: mine.py:Mine}], defects: [{driver: mine.py:Mine, signature: x}]}"
    (folder / "own.yaml").write_text(f"{TINY}\n{text}\n", encoding="utf-8")
    explore = cosim.load("sub/own.yaml").explore
    assert explore is not None
    assert explore.clean[0] == "merged"
    assert explore.clean[1].cells == {"invalidate": "sub/mine.py:Mine"}
    assert explore.defects[0].driver == "sub/mine.py:Mine"


@pytest.mark.parametrize("text", ["driver: 'object:a.o, b.o'", "driver: {object: [a.o, b.o]}"])
def test_objects_are_found_beside_it_and_told_with_where_they_were_looked_for(folder: Path, text: str) -> None:
    (folder / "b.o").write_bytes(b"\x7fELF")
    with pytest.raises(TopologyError) as missing:
        driver(folder, text)
    (problem,) = missing.value.problems
    assert problem.message == f"a.o: no such file in {folder.parent}, nor beside a topology file that names it"
    (folder / "a.o").write_bytes(b"\x7fELF")
    with pytest.raises(TopologyError, match=r"sub/a\.o was cut short"):
        driver(folder, text)
