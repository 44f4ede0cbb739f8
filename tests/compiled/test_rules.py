"""What may not be written in a module that is compiled, and what neither mypyc nor the C compiler would see."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import cosim

ROOT = Path(cosim.__file__).parents[1]
sys.path.insert(0, str(ROOT / "compiled"))
try:
    from modules import INTERPRETED, modules
finally:
    sys.path.pop(0)


def broken(source: str) -> list[str]:
    """The rules of docs/compiled-core.md that a source breaks, each with its line."""
    return [f"{line}: {rule}" for node in ast.walk(ast.parse(source)) for line, rule in _of(node)]


def _of(node: ast.AST) -> Iterator[tuple[int, str]]:
    if isinstance(node, ast.ExceptHandler):
        for inner in _inside(node):
            if isinstance(inner, ast.Yield | ast.YieldFrom | ast.Await):
                yield inner.lineno, "a generator waits inside of except"
    if isinstance(node, ast.Lambda) and (node.args.vararg or node.args.kwarg):
        yield node.lineno, "a lambda takes any number of arguments"
    if isinstance(node, ast.ClassDef):
        for inner in node.body:
            if isinstance(inner, ast.Assign) and len(inner.targets) > 1:
                yield inner.lineno, "a class has several targets of one assignment"
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("setattr", "delattr"):
        yield node.lineno, f"{node.func.id} of an attribute by its name"


def _inside(node: ast.AST) -> Iterator[ast.AST]:
    """What is below a node, but for functions of their own."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from _inside(child)


def test_no_module_that_is_compiled_breaks_a_rule() -> None:
    found = {str(path): broken((ROOT / path).read_text()) for path in modules()}
    assert not {path: rules for path, rules in found.items() if rules}


@pytest.mark.parametrize(
    ("source", "rule"),
    [
        ("def f():\n try:\n  g()\n except E:\n  yield 1\n", "5: a generator waits inside of except"),
        ("def f():\n try:\n  g()\n except E:\n  if x:\n   yield from h()\n", "6: a generator waits inside of except"),
        ("f(lambda *_: True)\n", "1: a lambda takes any number of arguments"),
        ("class A:\n a = b = 1\n", "2: a class has several targets of one assignment"),
        ("setattr(a, name, 1)\n", "1: setattr of an attribute by its name"),
    ],
)
def test_a_broken_rule_is_seen(source: str, rule: str) -> None:
    assert broken(source) == [rule]


def class_attributes(source: str) -> set[str]:
    """The attributes that a class of a compiled source does not have itself, but its objects."""
    return {
        f"{node.name}.{target.id}"
        for node in ast.parse(source).body
        if isinstance(node, ast.ClassDef)
        and not {"NamedTuple", "IntEnum", "Enum"} & {ast.unparse(b) for b in node.bases}
        for statement in node.body
        if isinstance(statement, ast.Assign)
        for target in statement.targets
        if isinstance(target, ast.Name) and target.id != "__slots__"
    }


def asked(attributes: set[str], source: str) -> list[str]:
    """Those of the attributes that a source asks of the class."""
    return [name for name in sorted(attributes) if name in source]


def test_no_attribute_of_a_compiled_class_is_asked_of_the_class() -> None:
    attributes = set().union(*(class_attributes((ROOT / path).read_text()) for path in modules()))
    found = {str(path): asked(attributes, path.read_text()) for path in (ROOT / "cosim").rglob("*.py")}
    assert attributes
    assert not {path: names for path, names in found.items() if names}


def test_an_attribute_that_is_asked_of_its_class_is_seen() -> None:
    attributes = class_attributes("class Page:\n    SIZE = 4096\n")
    assert asked(attributes, "x = Page.SIZE\n") == ["Page.SIZE"]
    assert not asked(attributes, "x = page.SIZE\n")


def test_what_waits_behind_an_except_or_in_a_function_of_its_own_is_right() -> None:
    assert not broken("def f():\n try:\n  yield 1\n except E:\n  g(lambda: (yield))\n finally:\n  yield 2\n")


def test_every_module_of_hardware_and_clock_is_compiled_or_has_a_reason_not_to_be() -> None:
    found = set(modules())
    assert Path("cosim/sim/agenda.py") in found
    assert Path("cosim/hw/iommu/registers.py") not in found
    for name in INTERPRETED:
        assert "/" not in name or (ROOT / "cosim" / name).exists(), name
