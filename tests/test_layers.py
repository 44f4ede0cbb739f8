"""Who may import whom: spec at the bottom, hw and sw side by side, the command line on top."""

import ast
from collections.abc import Collection
from functools import cache
from pathlib import Path

import pytest

import cosim

ROOT = Path(cosim.__file__).parent

MAY_IMPORT = {
    "spec": {"spec"},
    "units": {"units", "pydantic"},
    "events": {"events", "spec"},
    "sim": {"sim", "simpy", "numpy", "mypy_extensions", "units"},
    "isa": {"isa"},
    "object": {"object", "isa", "spec"},
    "hw": {"hw", "spec", "events", "sim", "units", "pydantic", "mypy_extensions"},
    "sw": {"sw", "isa", "object", "spec", "events", "sim", "units", "pydantic"},
    "oracles": {"oracles", "spec", "events", "units"},
    "config": {"config", "units", "pydantic", "yaml"},
    "system": {"system", "config", "hw", "sw", "object", "oracles", "spec", "events", "sim", "units", "pydantic"},
    "study": {
        *("study", "system", "config", "hw", "sw", "oracles", "spec", "events", "sim", "units"),
        *("rich", "numpy", "pydantic", "mypy_extensions", "vcd", "perfetto", "matplotlib"),
    },
    "cli": {"cli", "study", "system", "config", "units", "click", "shell", "compiled", "__init__"},
    "shell": set(),
    "compiled": {"shell"},
    "__init__": {"study", "system", "config", "units", "compiled"},
    "__main__": {"cli", "__init__", "shell"},
}


@cache
def import_statements(path: Path) -> list[ast.Import | ast.ImportFrom]:
    """Those of a file, inside functions too; found once for all tests."""
    return [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, (ast.Import, ast.ImportFrom))]


def imports(path: Path) -> set[str]:
    """What a module imports: layers of cosim by their name, other packages by theirs, the standard library not."""
    import sys

    found: set[str] = set()
    for node in import_statements(path):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            assert node.level == 0, f"{path}: imports are absolute"
            names = [node.module or ""]
            if node.module == "cosim":
                names = [f"cosim.{alias.name}" for alias in node.names]
        for name in names:
            first, *rest = name.split(".")
            if first == "cosim":
                found.add(rest[0] if rest else "__init__")
            elif first not in sys.stdlib_module_names:
                found.add(first)
    return found


MODULES = sorted(ROOT.rglob("*.py"))


@pytest.mark.parametrize("layer", MAY_IMPORT)
def test_a_module_imports_only_from_the_layers_below_it(layer: str) -> None:
    modules = [path for path in MODULES if path.relative_to(ROOT).parts[0].removesuffix(".py") == layer]
    assert modules
    forbidden = {str(path.relative_to(ROOT)): imports(path) - MAY_IMPORT[layer] for path in modules}
    assert not {module: names for module, names in forbidden.items() if names}


def test_every_module_is_in_a_layer() -> None:
    assert {path.relative_to(ROOT).parts[0].removesuffix(".py") for path in MODULES} == MAY_IMPORT.keys()


def test_the_check_sees_a_forbidden_import(tmp_path: Path) -> None:
    module = tmp_path / "wrong.py"
    module.write_text("def f():\n    from cosim.sw import driver\n    import rich, json\n")
    assert imports(module) == {"sw", "rich"}


def test_hardware_arbitrates_only_with_servers_and_gates() -> None:
    """simpy's own Resource, Store, Condition and succeed order by insertion, not by rank."""
    for path in sorted((ROOT / "hw").rglob("*.py")):
        tree = ast.parse(path.read_text())
        names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        names |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        assert not names & {"Resource", "Store_", "FilterStore", "Condition", "AllOf", "AnyOf", "succeed", "timeout"}, (
            path
        )


ABOVE_THE_DRIVER = [
    path for path in MODULES if path.is_relative_to(ROOT / "sw") and not {"driver", "object_driver"} & {*path.parts}
]


@pytest.mark.parametrize("path", ABOVE_THE_DRIVER, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_core_and_the_dma_api_know_the_contract_of_drivers_and_no_driver(path: Path) -> None:
    """A driver that is no row of policies can take the place of the one that is."""
    assert not {name for name in imported(path, modules(ROOT)) if name.startswith("cosim.sw.driver")}


LONGEST_CYCLE = 3
LONGEST_FILE = 400
BESIDE_FOLDERS = 5
BESIDE_TESTS = [Path(__file__).parents[1] / name for name in ("benchmarks", "docs", "validation")]


def modules(root: Path) -> dict[str, Path]:
    """Every module below `root` by its name."""
    names = {".".join(path.relative_to(root.parent).with_suffix("").parts): path for path in root.rglob("*.py")}
    return {name.removesuffix(".__init__"): path for name, path in names.items()}


def imported(path: Path, known: Collection[str]) -> set[str]:
    """The modules among `known` that a file imports, those under TYPE_CHECKING and inside functions too."""
    found: set[str] = set()
    for node in import_statements(path):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.add(whole if whole in known else node.module or "")
        else:
            found |= {alias.name for alias in node.names}
    return found & set(known)


def reached(graph: dict[str, set[str]], start: str) -> set[str]:
    """What can be reached from `start` by one step or more."""
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        new = graph[waiting.pop()] - seen
        seen |= new
        waiting += new
    return seen


def cycles(root: Path) -> list[list[str]]:
    """The groups of modules below `root` that import one another in a circle, each sorted."""
    files = modules(root)
    graph = {name: imported(path, files) - {name} for name, path in files.items()}
    reach = {name: reached(graph, name) for name in graph}
    groups = {tuple(sorted(b for b in reach[a] if a in reach[b])) for a in graph}
    return [list(group) for group in sorted(groups) if group]


def test_no_circle_of_imports_has_more_than_three_files() -> None:
    """Typed ones included: a circle of types cannot be read, or replaced, file by file."""
    assert not [circle for circle in cycles(ROOT) if len(circle) > LONGEST_CYCLE]


def test_a_circle_is_seen_also_where_only_types_are_imported(tmp_path: Path) -> None:
    root = tmp_path / "zoo"
    root.mkdir()
    (root / "__init__.py").write_text("")
    (root / "fox.py").write_text("from zoo.hare import Hare\n")
    (root / "hare.py").write_text("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from zoo import grass\n")
    (root / "grass.py").write_text("def grow():\n    import zoo.fox\n")
    (root / "stone.py").write_text("import zoo.fox\n")
    assert cycles(root) == [["zoo.fox", "zoo.grass", "zoo.hare"]]


def test_no_file_is_longer_than_can_be_read_at_once() -> None:
    tests = Path(__file__).parent
    files = [*MODULES, *(path for folder in (tests, *BESIDE_TESTS) for path in sorted(folder.rglob("*.py")))]
    long = {str(path.relative_to(tests.parent)): len(path.read_text().splitlines()) for path in files}
    assert not {name: lines for name, lines in long.items() if lines > LONGEST_FILE}


def test_few_files_stand_beside_the_folders_of_the_hardware() -> None:
    beside = [path.name for path in (ROOT / "hw").glob("*.py") if path.name != "__init__.py"]
    assert len(beside) <= BESIDE_FOLDERS
