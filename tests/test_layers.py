"""Who may import whom (design, section 2): spec at the bottom, hw and sw side by side, the command line on top."""

import ast
from pathlib import Path

import pytest

import cosim

ROOT = Path(cosim.__file__).parent

MAY_IMPORT = {
    "spec": {"spec"},
    "units": {"units", "pydantic"},
    "events": {"events", "spec"},
    "sim": {"sim", "simpy", "numpy", "units"},
    "hw": {"hw", "spec", "events", "sim", "units", "pydantic"},
    "sw": {"sw", "spec", "events", "sim", "units", "pydantic"},
    "oracles": {"oracles", "spec", "events", "units"},
    "config": {"config", "units", "pydantic", "yaml"},
    "system": {"system", "config", "hw", "sw", "oracles", "spec", "events", "sim", "units", "pydantic"},
    "study": {
        *("study", "system", "config", "hw", "sw", "oracles", "spec", "events", "sim", "units"),
        *("rich", "numpy", "pydantic", "vcd"),
    },
    "cli": {"study", "system", "config", "click", "shell"},
    "shell": set(),
    "__init__": {"study", "system"},
    "__main__": {"cli", "__init__", "shell"},
}


def imports(path: Path) -> set[str]:
    """What a module imports: layers of cosim by their name, other packages by theirs, the standard library not."""
    import sys

    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            names = [node.module or ""]
            if node.module == "cosim":
                names = [f"cosim.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            first, *rest = name.split(".")
            if first == "cosim":
                found.add(rest[0] if rest else "__init__")
            elif first not in sys.stdlib_module_names:
                found.add(first)
    return found


MODULES = sorted(ROOT.rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_only_from_the_layers_below_it(path: Path) -> None:
    layer = path.relative_to(ROOT).parts[0].removesuffix(".py")
    forbidden = imports(path) - MAY_IMPORT[layer]
    assert not forbidden, f"{path.relative_to(ROOT)} ({layer}) may not import {', '.join(sorted(forbidden))}"


def test_the_check_sees_a_forbidden_import(tmp_path: Path) -> None:
    module = tmp_path / "wrong.py"
    module.write_text("def f():\n    from cosim.sw import driver\n    import rich, json\n")
    assert imports(module) == {"sw", "rich"}


def test_hardware_arbitrates_only_with_servers_and_gates() -> None:
    """simpy's own Resource, Store, Condition and succeed order by insertion, not by rank (design, section 1)."""
    for path in sorted((ROOT / "hw").rglob("*.py")):
        tree = ast.parse(path.read_text())
        names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        names |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        assert not names & {"Resource", "Store_", "FilterStore", "Condition", "AllOf", "AnyOf", "succeed", "timeout"}, (
            path
        )


ABOVE_THE_DRIVER = ("calls", "contract", "dma_api", "flush_queue", "iommu_core", "iommu_map", "iommu_ops", "runtime")


@pytest.mark.parametrize("name", ABOVE_THE_DRIVER)
def test_the_core_and_the_dma_api_know_the_contract_of_drivers_and_no_driver(name: str) -> None:
    text = (ROOT / "sw" / f"{name}.py").read_text()
    assert "cosim.sw.driver" not in text
