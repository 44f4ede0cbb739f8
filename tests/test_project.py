"""The repository as a whole: it speaks of its subject alone, the README's commands exist, the wheel has it all."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import click
import pytest

from cosim.cli import main
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
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if re.search(FOREIGN[what], line, re.IGNORECASE):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()}")
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
    verbs = set(re.findall(r"(?:`|\$ )cosim ([a-z]+)", README))
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


@pytest.mark.parametrize("page", ["README.md", *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))])
def test_every_link_leads_to_a_file(page: str) -> None:
    path = ROOT / page
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
        assert (path.parent / target).exists(), target


# --- Installing -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_wheel_has_the_topologies_and_runs_without_the_checkout(tmp_path: Path) -> None:
    pytest.importorskip("hatchling", reason="builds the wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    for name in shipped():
        assert f"cosim/topologies/{name}.yaml" in names
    unpacked = tmp_path / "unpacked"
    zipfile.ZipFile(wheel).extractall(unpacked)
    program = "import cosim; print(cosim.__file__); print(cosim.load('quickstart').driver.variant)"
    ended = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={"PYTHONPATH": str(unpacked)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines() == [str(unpacked / "cosim" / "__init__.py"), "merged"]
