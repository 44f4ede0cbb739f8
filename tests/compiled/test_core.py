"""The compiled core: it is used where it fits; where it does not, one sentence says so, and all runs interpreted."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import cosim
from cosim.compiled import PYTHON, STAMP, SWITCH, version_of

PACKAGE = Path(cosim.__file__).parent
ROOT = PACKAGE.parent


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package with the front of cosim and two modules, of which a core says that it has one."""
    made = tmp_path / "cosim"
    (made / "sim").mkdir(parents=True)
    for name in ("__init__.py", "compiled.py", "shell.py", "sim/__init__.py", "sim/demand.py"):
        shutil.copy(PACKAGE / name, made / name)
    return made


def stamp(package: Path, **changed: str) -> None:
    """A core that fits, but for what is changed, and whose only module is no extension at all."""
    folder = package / "_compiled"
    folder.mkdir()
    told = {"python": PYTHON, "source": version_of(str(package)), "module": "cosim.sim.demand", **changed}
    (folder / STAMP).write_text("".join(f"{key} {value}\n" for key, value in told.items()))
    (folder / f"cosim.sim.demand.{PYTHON}.so").write_text("")


def imported(package: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """What importing the module says."""
    program = "import cosim.sim.demand as demand; print(demand.__file__)"
    return subprocess.run(
        [sys.executable, "-S", "-c", program],
        cwd=package.parent,
        env={"PYTHONDONTWRITEBYTECODE": "1", **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        pytest.param({"source": "0123456789abcdef"}, "is one of another version of the source", id="source"),
        pytest.param({"python": "cpython-27"}, f"is one of cpython-27, and this is {PYTHON}", id="python"),
        pytest.param({"module": "two words"}, "is incomplete", id="stamp"),
        pytest.param({"module": "cosim.sim.gone"}, None, id="not asked for"),
        pytest.param({}, "cannot be loaded (", id="library"),
    ],
)
def test_a_core_that_does_not_fit_is_told_in_a_sentence_and_not_used(
    package: Path, changed: dict[str, str], why: str | None
) -> None:
    stamp(package, **changed)
    done = imported(package)
    assert (done.returncode, done.stdout) == (0, f"{package / 'sim' / 'demand.py'}\n")
    if why is None:
        assert done.stderr == ""
    else:
        assert done.stderr.startswith(f"cosim: the compiled core {why}")
        assert done.stderr.endswith(": everything runs interpreted; `make fast` compiles it anew\n")
        assert done.stderr.count("\n") == 1


def test_a_core_that_is_not_wanted_is_not_looked_at(package: Path) -> None:
    stamp(package, source="0123456789abcdef")
    done = imported(package, **{SWITCH: "0"})
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{package / 'sim' / 'demand.py'}\n", "")


def test_a_changed_source_makes_another_version(package: Path) -> None:
    before = version_of(str(package))
    (package / "shell.py").write_text("")
    assert version_of(str(package)) == before
    (package / "sim" / "demand.py").write_text("# shorter\n")
    assert version_of(str(package)) != before


def test_without_a_compiler_one_sentence_says_so() -> None:
    done = subprocess.run(
        [sys.executable, "compiled/build.py", "--anew"],
        cwd=ROOT,
        env={"PATH": "/nowhere", "CC": "no-such-compiler", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert done.stderr == (
        "make fast: there is no C compiler here (no-such-compiler); name one with: make fast CC=gcc; "
        "cosim runs interpreted as before\n"
    )


def test_where_the_compiler_fails_one_sentence_says_so(tmp_path: Path) -> None:
    (tmp_path / "x.c").write_text("int x;\n")
    program = (
        "import build, pathlib, sys; from setuptools import Extension; "
        "build.WORK = pathlib.Path(sys.argv[1]); build.compiled([Extension('x', [sys.argv[1] + '/x.c'])], 1)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        cwd=ROOT / "compiled",
        env={"PATH": "/bin:/usr/bin", "CC": "false", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("make fast: the C compiler failed (")
    assert done.stderr.endswith("); cosim runs interpreted as before\n")
    assert done.stderr.count("\n") == 1
