"""Planting in a process that has imported everything: functions get the code that the planted source gives them.

What the import of a module has made already (its tables, its classes' defaults) stays as it is: a fault there is
planted in a process of its own, see `apart`.
"""

from __future__ import annotations

import gc
from collections import defaultdict
from types import CodeType, FunctionType


class NotInPlace(Exception):
    """A function that is there has no counterpart in the planted source."""


class Functions:
    """All functions that this process has, by the file that they come from."""

    def __init__(self) -> None:
        self._by_file: defaultdict[str, list[FunctionType]] = defaultdict(list)
        gc.unfreeze()  # what is frozen, as tests/conftest.py does after it has collected them, is not among the objects
        for found in gc.get_objects():
            if type(found) is FunctionType:
                self._by_file[found.__code__.co_filename].append(found)

    def plant(self, file: str, source: str, planted: str) -> None:
        """Give the functions of `file` the code that they have in `planted`. Raises NotInPlace."""
        if not self._by_file[file]:
            raise NotInPlace(f"{file}: no function of it is here")
        old, new = (_by_name(compile(text, file, "exec", dont_inherit=True)) for text in (source, planted))
        new_of = {
            before: after
            for name, codes in old.items()
            if len(codes) == len(new[name])
            for before, after in zip(codes, new[name], strict=True)
        }
        try:
            for function in self._by_file[file]:
                function.__code__ = new_of[function.__code__]
        except (KeyError, ValueError) as error:
            raise NotInPlace(f"{file}: {error}") from error


def _by_name(code: CodeType) -> defaultdict[str, list[CodeType]]:
    """The code of every function below `code`, in order, by its qualified name."""
    found: defaultdict[str, list[CodeType]] = defaultdict(list)
    for each in code.co_consts:
        if isinstance(each, CodeType):
            found[each.co_qualname].append(each)
            for name, codes in _by_name(each).items():
                found[name] += codes
    return found
