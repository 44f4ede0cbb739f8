"""Tests with a fault planted in what the import of a module makes: in an interpreter that imports it so.

Usage: python -m tests.faults.apart JOB, where JOB is a file with a `Job` as JSON.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import CodeType, ModuleType
from typing import NamedTuple

import pytest

from tests.faults.child import run, with_tests


class PlantedLoader(importlib.machinery.SourceFileLoader):
    """Loads a module from a text that is not the one in its file."""

    def __init__(self, name: str, path: str, text: str) -> None:
        super().__init__(name, path)
        self._text = text

    def get_code(self, fullname: str) -> CodeType:
        """Compiled anew: what is cached is the code of the file."""
        return compile(self._text, self.path, "exec", dont_inherit=True)


class Planted(importlib.abc.MetaPathFinder):
    """Has one module imported with a fault in it."""

    def __init__(self, module: str, text: str) -> None:
        self._module = module
        self._text = text

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The module as it is found on the path, with another loader."""
        if fullname != self._module:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        assert spec is not None
        assert spec.origin is not None
        spec.loader = PlantedLoader(fullname, spec.origin, self._text)
        return spec


class Job(NamedTuple):
    """Import `module` as `text` says, and run the tests `names`; `seconds` and `where` are as `child.run` has them."""

    module: str
    text: str
    names: Sequence[str]
    seconds: Mapping[str, float]
    where: str


def main(file: Path) -> int:
    """Carry out a job; returns the exit code of `run`, or `BROKEN`."""
    job = Job(*json.loads(file.read_text()))
    sys.meta_path.insert(0, Planted(job.module, job.text))

    def chosen(items: Sequence[pytest.Item]) -> int:
        by_name = {item.nodeid: item for item in items}
        return run([by_name[name] for name in job.names], job.seconds, Path(job.where))

    return with_tests(list(dict.fromkeys(name.split("::")[0] for name in job.names)), chosen)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
