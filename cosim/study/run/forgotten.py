"""Operations that a file of the user's makes and never awaits: they do nothing, and Python says nothing of them."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from cosim.sim.operations import Op
from cosim.sw.driver.compiled import COMPILED, paths_of
from cosim.sw.driver.imported import OURS, State, imported, parsed, state_of
from cosim.sw.kernel.objects import Cell, CellMember, Object
from cosim.system.driver_options import DriverOptions

Forgotten = tuple[str, tuple[str, int, str]]
"""What is called, and its file, line and function."""

_OF_CELLS = frozenset(name for name, method in vars(Cell).items() if callable(method) and not name.startswith("_"))


def forgotten(driver: DriverOptions) -> list[Forgotten]:
    """Each statement in the files of a driver, and in what they import, that is a call of an operation without await.

    Only what is surely an operation counts: a class of `cosim.sim.operations`, by whatever name the file has it, or a
    method of a word in a kernel object, such as ``bond.next.store(0)``.
    """
    files = dict.fromkeys(_files(driver))
    found: list[Forgotten] = []
    for file in dict.fromkeys([*files, *(other for each in files for other in imported(each).values())]):
        try:
            found += _calls(file, state_of(file))
        except (OSError, SyntaxError, ValueError):
            continue  # who loads it says so
    return found


def _files(driver: DriverOptions) -> Iterator[Path]:
    """The files of Python that a driver names."""
    for cell in (driver.variant, *driver.cells.values()):
        text = str(cell.get("policy") if isinstance(cell, dict) else cell)
        paths = paths_of(text) if text.startswith(COMPILED) else (Path(text.rpartition(":")[0]),)
        yield from (path for path in paths if path.suffix == ".py")


@lru_cache(maxsize=256)
def _calls(file: Path, _now: State) -> tuple[Forgotten, ...]:
    tree = parsed(file)
    return tuple(_below(tree, "<module>", str(file), _operations(tree)))


def _below(node: ast.AST, function: str, file: str, operations: frozenset[str]) -> Iterator[Forgotten]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Expr) and isinstance(child.value, ast.Call):
            called = child.value.func
            name = ast.unparse(called)
            if name in operations or _is_of_a_cell(called):
                yield name, (file, child.lineno, function)
        inside = child.name if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)) else function
        yield from _below(child, inside, file, operations)


def _operations(tree: ast.Module) -> frozenset[str]:
    """What the classes of operations are called in a file; none that it also calls something else."""
    nodes = list(ast.walk(tree))
    other = {node.id for node in nodes if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)}
    other |= {node.arg for node in nodes if isinstance(node, ast.arg)}
    other |= {node.name for node in nodes if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))}
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").partition(".")[0] == OURS:
            module = sys.modules.get(node.module or "")
            for alias in node.names:
                bound = alias.asname or alias.name
                it = getattr(module, alias.name, None)
                names = [bound] if _is_operation(it) else [f"{bound}.{name}" for name in _of_module(it)]
                found.update(names if bound not in other else ())
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.partition(".")[0] == OURS:
                    bound = alias.asname or alias.name
                    found.update(f"{bound}.{name}" for name in _of_module(sys.modules.get(alias.name)))
    return frozenset(found)


def _of_module(module: object) -> list[str]:
    return [name for name, each in vars(module).items() if _is_operation(each)] if isinstance(module, type(ast)) else []


def _is_operation(each: object) -> bool:
    return isinstance(each, type) and issubclass(each, Op)


def _is_of_a_cell(called: ast.expr) -> bool:
    """Whether that is a method of a word in a kernel object: the name of the word is that of a member of one."""
    return (
        isinstance(called, ast.Attribute)
        and called.attr in _OF_CELLS
        and isinstance(called.value, ast.Attribute)
        and called.value.attr in _members(Object)
    )


def _members(kind: type[Object]) -> set[str]:
    """The names of the words of all kernel objects that there are, the user's own among them."""
    return {name for name, each in vars(kind).items() if isinstance(each, CellMember)}.union(
        *map(_members, kind.__subclasses__())
    )
