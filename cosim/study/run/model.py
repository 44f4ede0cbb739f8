"""Which version of the model made a result: one hash of all source that can change what a run measures."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.metadata import version
from pathlib import Path

from cosim.sw.driver.imported import PACKAGE

NOT_OF_THE_MODEL = (
    *("__init__.py", "__main__.py", "cli", "compiled.py", "shell.py"),
    *("study/report", "study/trace", "study/conform", "study/pool", "study/explore", "study/finding"),
    *("study/results", "study/sweep", "study/fit", "study/compare", "study/drawing", "study/pictures", "study/html"),
)
"""What prints, watches, replays, or makes many runs: a run measures the same without it."""


@cache
def model_version() -> str:
    """The version of the model that this process runs, in 16 hexadecimal digits."""
    return version_of(PACKAGE)


@cache
def package_version() -> str:
    """The version of cosim that is installed."""
    return version("cosim")


def version_of(package: Path) -> str:
    """The hash of the names and bytes of the model's files in `package`.

    Of the bytes, and not of syntax trees, which differ between versions of Python: so that a changed comment makes
    another version, and equal versions are surely the same model. Ends of lines do not count.
    """
    found = hashlib.sha256()
    for path in sorted(package.rglob("*.py"), key=lambda path: path.relative_to(package).as_posix()):
        name = path.relative_to(package).as_posix()
        if not any(name == other or name.startswith(f"{other}/") for other in NOT_OF_THE_MODEL):
            content = path.read_bytes().replace(b"\r\n", b"\n")
            found.update(f"{name}\0{len(content)}\0".encode() + content)
    return found.hexdigest()[:16]
