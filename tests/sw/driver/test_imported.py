"""Which modules of the user's own a file imports: not cosim's, not installed ones, wherever the statement stands."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

from cosim.sw.driver.imported import anew, imported, note, parsed


def written(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = folder / f"{name.replace('__of__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def test_those_beside_it_are_directly_or_through_one_another(tmp_path: Path) -> None:
    written(
        tmp_path,
        policy="import json, cosim.sw, numpy\nimport own_a\n\ndef late():\n    from own_pack import inside as it\n",
        own_a="from own_b import NUMBER\nimport own_missing\n",
        own_b="import own_a\nNUMBER = 1\n",
        own_other="",
    )
    (tmp_path / "own_pack").mkdir()
    written(tmp_path / "own_pack", __init__="", inside="from . import next\nfrom .. import nothing\n", next="")
    found = imported(tmp_path / "policy.py")
    assert list(found) == ["own_a", "own_b", "own_pack", "own_pack.inside", "own_pack.next"]
    assert found["own_pack.next"].samefile(tmp_path / "own_pack" / "next.py")
    assert not [name for name in sys.modules if name.startswith("own_")], "nothing was imported"


def test_one_of_elsewhere_is_if_it_has_been_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path / "lib", far_away="")
    written(tmp_path / "lib" / "site-packages", far_installed="")
    written(tmp_path, policy="import far_away, far_installed\n")
    assert imported(tmp_path / "policy.py") == {}
    for folder in ("lib", "lib/site-packages"):
        monkeypatch.syspath_prepend(str(tmp_path / folder))
    __import__("far_away")
    __import__("far_installed")
    assert list(imported(tmp_path / "policy.py")) == ["far_away"]


def test_one_that_has_changed_is_forgotten_and_only_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    written(tmp_path, policy="import once_read\n", once_read="NUMBER = 1\n")
    policy, module = tmp_path / "policy.py", __import__("once_read")
    note(policy)
    anew(policy)
    assert sys.modules["once_read"] is module
    written(tmp_path, once_read="NUMBER = 1_000\n")
    anew(policy)
    assert "once_read" not in sys.modules
    assert __import__("once_read").NUMBER == 1_000


def test_a_file_is_parsed_once_for_whoever_asks_and_again_when_it_has_changed(tmp_path: Path) -> None:
    written(tmp_path, policy="import json\n")
    policy = tmp_path / "policy.py"
    imported(policy)
    tree = parsed(policy)
    assert parsed(Path(str(policy))) is tree
    written(tmp_path, policy="import json, sys\n")
    assert ast.unparse(parsed(policy)) == "import json, sys"
