"""The latency parts are a closed list: what models count time for is in it, and nothing else."""

from __future__ import annotations

import ast
import pickle
from collections.abc import Iterator
from pathlib import Path

import cosim
from cosim.units.latency_parts import LatencyPart

ROOT = Path(cosim.__file__).parent
MODELS = ("hw", "sw", "sim")
NAMES = frozenset({"part", "hop_part", "wait_part", "wake_part"})
"""What the parameters and attributes are called that hold a latency part."""


def nodes(root: Path) -> list[ast.AST]:
    """Every node of every module of the models."""
    paths = [path for street in MODELS for path in sorted((root / street).rglob("*.py"))]
    return [node for path in paths for node in ast.walk(ast.parse(path.read_text()))]


def literals(node: ast.AST | None) -> Iterator[str]:
    """The strings that an expression may be."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from literals(node.body)
        yield from literals(node.orelse)
    elif isinstance(node, ast.BoolOp):
        for value in node.values:
            yield from literals(value)


def called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def places(scanned: list[ast.AST]) -> dict[str, set[int]]:
    """For each function or class by name: at which places its arguments are latency parts."""
    found: dict[str, set[int]] = {}
    for outer in scanned:
        if not isinstance(outer, ast.Module | ast.ClassDef):
            continue
        for function in outer.body:
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                name = outer.name if function.name == "__init__" and isinstance(outer, ast.ClassDef) else function.name
                parameters = [arg.arg for arg in function.args.args if arg.arg not in ("self", "cls")]
                found.setdefault(name, set()).update(i for i, arg in enumerate(parameters) if arg in NAMES)
    return found


def used(scanned: list[ast.AST]) -> set[str]:
    """Every latency part that the models name: as an argument, as a default, or as an attribute."""
    at, found = places(scanned), set[str]()
    for node in scanned:
        if isinstance(node, ast.Call):
            for keyword in node.keywords:
                if keyword.arg in NAMES:
                    found.update(literals(keyword.value))
            for index in at.get(called(node), ()):
                if index < len(node.args):
                    found.update(literals(node.args[index]))
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            positional = node.args.args[len(node.args.args) - len(node.args.defaults) :]
            defaults = [*zip(positional, node.args.defaults, strict=True)]
            defaults += [
                (arg, value) for arg, value in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True) if value
            ]
            for arg, value in defaults:
                if arg.arg in NAMES:
                    found.update(literals(value))
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(getattr(target, "attr", getattr(target, "id", "")) in NAMES for target in targets):
                found.update(literals(node.value))
    return found


NOT_YET = {"pdt"}
"""Parts of what is not modelled yet: there is no process directory."""


def test_what_models_count_time_for_is_in_the_list_and_nothing_else() -> None:
    known = {part.value for part in LatencyPart}
    names = used(nodes(ROOT)) - {""}
    assert not names - known, f"{sorted(names - known)}: no member of LatencyPart in cosim/units/latency_parts.py"
    unused = known - names - NOT_YET
    assert not unused, f"{sorted(unused)}: in LatencyPart, and no model counts time for it"


def test_the_scan_sees_a_part_however_it_is_written(tmp_path: Path) -> None:
    for street in MODELS:
        (tmp_path / street).mkdir()
    (tmp_path / "hw" / "model.py").write_text(
        "class Server:\n"
        "    def __init__(self, interval_ps, part, *, wait_part='by_default'):\n"
        "        self.part = part\n"
        "class Tree:\n"
        "    part = 'as_attribute'\n"
        "def f(x):\n"
        "    Server(1, 'in_place')\n"
        "    Server(1, x, wait_part='by_name')\n"
        "    x.Server(1, 'one' if x else 'other')\n"
    )
    assert used(nodes(tmp_path)) == {"by_default", "as_attribute", "in_place", "by_name", "one", "other"}


def test_a_member_is_its_name_and_says_all_that_is_known_of_it() -> None:
    assert LatencyPart.WALKER_WAIT == "walker_wait"
    assert {LatencyPart.WALK: 1}["walk"] == 1
    assert pickle.loads(pickle.dumps(LatencyPart.WALK)) is LatencyPart.WALK
    for part in LatencyPart:
        assert part.name.lower() == part.value
        assert part.about
        assert part.phrase
        assert part.remedy
    assert LatencyPart.WALKER_WAIT.waits
    assert not LatencyPart.WALK.waits
