"""What may have been meant by a driver that is not known: the nearest row, policy, axis, or name in a user's file."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

from cosim.sw.driver.compiled import COMPILED
from cosim.sw.driver.imported import parsed
from cosim.sw.driver.policies.capable import COHERENT
from cosim.units.looked_for import looked_for
from cosim.units.nearest import closest, nearest

MISSPELT = 0.75
"""How alike a method that nobody calls must be to one of a base class to be taken for that."""

ASKED_FOR = tuple(sorted(COHERENT))
"""The capabilities that the core and the DMA API ask for."""

Cells = Mapping[str, Collection[str]]
"""The names of the policies of each axis."""


def row_hint(text: str, rows: Collection[str], cells: Cells) -> str:
    """What somebody meant who named the driver `text`, which is no row."""
    axis, sets, _ = text.removeprefix("driver.").partition("=")
    if sets and axis in cells:
        return f"that is no driver, but a cell of one: -s driver.{text.removeprefix('driver.')}"
    if text.endswith(".o"):
        return f"objects that a kernel's tree has compiled are {COMPILED}{text}"
    if text in cells:
        return f"it is an axis; one policy is chosen with -s driver.{text}=POLICY, of {', '.join(cells[text])}"
    if policy := policy_hint(text, cells, "-s driver."):
        return policy
    if not closest(text, rows) and (near := closest(text, _policies(cells), 0.8)):
        return "did you mean " + _choosing(near, cells, "-s driver.") + "?"
    return nearest(text, rows)


def policy_hint(text: str, cells: Cells, prefix: str = "driver.") -> str:
    """That `text` is a policy, of which axis, and how it is chosen; nothing if it is none."""
    of = [axis for axis, names in cells.items() if text in names]
    return f"it is a policy of {' and '.join(of)}: {_choosing(text, cells, prefix)}" if of else ""


def only_a_file(path: Path) -> str:
    """What is missing of a driver that is named by its file alone."""
    if not path.is_file():
        return f"there is no file {path}{looked_for(path)}; a driver of your own is FILE.py:NAME"
    return f"a driver is named FILE.py:NAME; {names_hint(path)}"


def names_hint(path: Path, name: str = "") -> str:
    """The drivers and policies that a user's file defines, or the one of them that `name` is near to.

    The file is read and not run.
    """
    names = defined(path)
    if not names:
        return "it defines no class and makes no Variant"
    return nearest(name, names) if name else f"it defines: {', '.join(f'{path}:{one}' for one in names)}"


def defined(path: Path) -> list[str]:
    """The public classes of a file, and the names of what it makes by a call; none if it is not Python."""
    try:
        body = parsed(path).body
    except (OSError, ValueError, SyntaxError):
        return []
    found: list[str] = []
    for statement in body:
        if isinstance(statement, ast.ClassDef):
            found.append(statement.name)
        elif isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Call):
            found += [target.id for target in statement.targets if isinstance(target, ast.Name)]
    return [name for name in dict.fromkeys(found) if not name.startswith("_")]


def misspelt(kind: type) -> Iterator[tuple[str, str]]:
    """The methods of a user's class that take the place of none, though they are named nearly as one that they could,
    each with its name; those that the class's own file speaks of are called from there."""
    kinds = kind.__mro__[:-1]
    for at, base in enumerate(kinds, 1):
        inherited = [name for other in kinds[at:] for name in vars(other)]
        for name, method in vars(base).items() if not base.__module__.startswith("cosim.") else ():
            if name.startswith("_") or name in inherited or not inspect.isfunction(method):
                continue
            near = closest(name, inherited, MISSPELT)
            if near and name not in _spoken_of(Path(method.__code__.co_filename)):
                yield name, near


def misnamed(claimed: Iterable[object]) -> Iterator[tuple[str, str]]:
    """The capabilities that are claimed under a name which nobody asks for, and is near to one that is asked for."""
    for name in claimed:
        near = closest(str(name), ASKED_FOR, MISSPELT)
        if near and near != name:
            yield str(name), near


def _spoken_of(path: Path) -> set[str]:
    """The names that a file uses, other than to define them."""
    try:
        nodes = list(ast.walk(parsed(path)))
    except (OSError, ValueError, SyntaxError):
        return set()
    found = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    found |= {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return found | {node.id for node in nodes if isinstance(node, ast.Name)}


def _policies(cells: Cells) -> list[str]:
    return list(dict.fromkeys(name for names in cells.values() for name in names))


def _choosing(policy: str, cells: Cells, prefix: str) -> str:
    return " or ".join(f"{prefix}{axis}={policy}" for axis, names in cells.items() if policy in names)
