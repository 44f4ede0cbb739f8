"""The repository as a whole: it speaks of its subject alone, the README's commands exist, the wheel has it all."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import click
import pytest

from cosim.cli import main
from cosim.study.run.model import model_version
from cosim.system.load import load, shipped

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def repository() -> list[Path]:
    """Every text file that is, or could be, committed."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    paths = [ROOT / name for name in listed.stdout.splitlines()]
    return [path for path in paths if path.suffix in TEXT or path.name in {"Makefile", "run", ".gitignore"}]


TEXT = {".py", ".md", ".yaml", ".toml", ".out", ".txt", ".cfg", ".json"}

FOREIGN = {
    "how the work was done": r"\b(?:sub-?agent|this session|last session|next session|earlier session|the helper)\b",
    "work that is left": r"\b(?:TO" r"DO|FIX" r"ME|XX" r"X)\b",
    "this or that machine": r"(?<![\w.<>])/(?:work|farm|root|home|Users)/\w",
    "a package registry": r"\b(?:pypi\.org|files\.pythonhosted\.org|registry\.npmjs\.org|crates\.io)\b",
}


@pytest.mark.parametrize("what", FOREIGN)
def test_the_repository_speaks_of_its_subject_alone(what: str) -> None:
    found = []
    for path in repository():
        if path == Path(__file__) or not path.exists():
            continue
        text = path.read_text(encoding="utf-8")
        for match in re.finditer(FOREIGN[what], text, re.IGNORECASE):
            line = text.count("\n", 0, match.start())
            found.append(f"{path.relative_to(ROOT)}:{line + 1}: {text.splitlines()[line].strip()}")
    assert not found, "\n".join(found)


# --- README -----------------------------------------------------------------------------------------------------------


def test_the_first_two_commands_of_the_readme_are_make_run_and_make_test() -> None:
    blocks = re.findall(r"^```(?:sh|console)[^\n]*\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    commands = [line.removeprefix("$ ").split("#")[0].strip() for line in blocks[0].splitlines()]
    assert commands == ["make run", "make test"]


def test_every_make_target_of_the_readme_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([\w-]+):", makefile, re.MULTILINE))
    assert set(re.findall(r"(?:`|^)make ([a-z][\w-]*)", README, re.MULTILINE)) <= targets


def test_every_verb_of_the_readme_exists() -> None:
    assert isinstance(main, click.Group)
    verbs = set(re.findall(r"(?:`|\$ )cosim ([a-z-]+)", README))
    assert {"run", "show", "list"} <= verbs <= set(main.commands)


def test_every_topology_that_the_readme_runs_is_shipped() -> None:
    names = set(re.findall(r"cosim (?:run|show|check) (\w+)(?![\w.])", README)) - {"mine"}
    assert "quickstart" in names
    assert names <= set(shipped())


@pytest.mark.parametrize("change", sorted(set(re.findall(r"-s ([a-z][\w.]+=[\w-]+)", README))))
def test_every_change_that_the_readme_makes_is_valid_or_shown_to_be_an_error(change: str) -> None:
    if f"-s {change}: " in README:
        return
    load("quickstart", sets=[change])


PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")),
]


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_to_a_file(page: str) -> None:
    path = ROOT / page
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
        assert (path.parent / target).exists(), target


def test_every_make_target_that_contributors_are_told_of_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    told = re.findall(
        r"(?:`|^)make ([a-z][\w-]*)", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert {"check", "test", "slow-check"} <= set(told) <= set(re.findall(r"^([\w-]+):", makefile, re.MULTILINE))


# --- Installing -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The source distribution, and the wheel that is built of it and of nothing else."""
    pytest.importorskip("hatchling", reason="builds both")
    folder = tmp_path_factory.mktemp("dist")
    _done([sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(folder)], ROOT)
    (sdist,) = folder.glob("*.tar.gz")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    _done([*pip, "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(folder), str(sdist)], folder)
    (wheel,) = folder.glob("*.whl")
    return {"sdist": sdist, "wheel": wheel}


def _done(command: list[str], folder: Path, **environment: str) -> str:
    """What a command prints that has to succeed, with nothing of this checkout in its environment."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    ended = subprocess.run(command, cwd=folder, env=kept | environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.mark.slow
def test_the_wheel_has_all_that_is_needed_and_says_what_it_is(built: dict[str, Path]) -> None:
    with zipfile.ZipFile(built["wheel"]) as wheel:
        names = set(wheel.namelist())
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        said = wheel.read(metadata).decode()
    folder = shipped()["quickstart"].parent
    for path in shipped().values():
        assert f"cosim/topologies/{path.relative_to(folder)}" in names
    assert "cosim/py.typed" in names
    assert {name.rpartition("/")[2] for name in names if "/licenses/" in name} == {"LICENSE", "NOTICE"}
    assert "License-Expression: Apache-2.0" in said
    assert "Classifier: Typing :: Typed" in said
    assert "\nProject-URL:" not in said, "there is no page yet that one could lead to"
    assert not [name for name in names if not name.startswith("cosim")], "nothing beside the package"


@pytest.mark.slow
def test_the_source_distribution_has_what_one_needs_to_carry_on(built: dict[str, Path]) -> None:
    with tarfile.open(built["sdist"]) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert {"LICENSE", "NOTICE", "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "Makefile", ".ci/run"} <= names
    assert {"tests/test_project.py", "docs/reading-order.md", "cosim/py.typed", "topologies/quickstart.yaml"} <= names
    assert "tests/litmus/data/LICENCE.litmus-tests-riscv" in names


@pytest.mark.slow
def test_it_installs_into_an_empty_environment_and_runs_from_anywhere(built: dict[str, Path], tmp_path: Path) -> None:
    """Of this environment it has the libraries, which come without network so, and nothing of the checkout."""
    empty = tmp_path / "empty"
    _done([sys.executable, "-m", "venv", "--without-pip", str(empty)], tmp_path)
    python = str(empty / "bin" / "python")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python]
    _done([*pip, "install", "-q", "--no-deps", "--no-index", str(built["wheel"])], tmp_path)
    site = Path(_done([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], tmp_path).strip())
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib"))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    where = _done([python, "-c", "import cosim; print(cosim.__file__, cosim.__version__)"], elsewhere)
    assert where.split() == [str(site / "cosim" / "__init__.py"), "0.1.0"]
    command = str(empty / "bin" / "cosim")
    assert "quickstart" in _done([command, "list"], elsewhere)
    result = json.loads(_done([command, "run", "quickstart", "--json", "--until", "120 us"], elsewhere))
    assert result["outcome"] == "ok"
    assert result["model"] == model_version()
