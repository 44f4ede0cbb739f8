"""An oracle is a file and a line of the table; this names what was forgotten of one."""

from __future__ import annotations

import importlib
import pkgutil

import pytest

import cosim.oracles
from cosim.events import FreedTouched, KernelLog
from cosim.oracles import ORACLES, FreedMemory, KernelHealth, Oracle, Violation
from cosim.study.report.catalogue import oracles

MODULES = [
    importlib.import_module(f"cosim.oracles.{found.name}") for found in pkgutil.iter_modules(cosim.oracles.__path__)
]


def test_every_oracle_that_has_a_file_is_in_the_table() -> None:
    classes = {value for module in MODULES for value in vars(module).values() if isinstance(value, type)}
    there = {found for found in classes if issubclass(found, Oracle) and found is not Oracle}
    assert there == set(ORACLES.values()), "cosim/oracles/__init__.py lists every oracle"


@pytest.mark.parametrize("oracle", ORACLES.values(), ids=list(ORACLES))
def test_an_oracle_says_what_it_judges_and_watches_what_it_says(oracle: type[Oracle]) -> None:
    assert oracle.__doc__, "its docstring says when it reports"
    assert dict(oracles())[oracle.name], "the first sentence of its module is its line in `cosim list oracles`"
    assert oracle.watches
    assert all(callable(listener) for _, listener in oracle(lambda _: None).listeners())


def test_a_touch_of_freed_memory_names_both_sides() -> None:
    found: list[Violation] = []
    FreedMemory(found.append).touched(FreedTouched(500_000, "nic0", 0x8000_0000, True, 480_000, "cpu0.t", "page"))
    assert [violation.message for violation in found] == [
        "nic0 wrote 0x80000000 (page), at 500 ns, 20 ns after cpu0.t had freed it"
    ]


@pytest.mark.parametrize(("level", "violations"), [("oops", 1), ("error", 0), ("warning", 0)])
def test_only_an_oops_is_a_violation(level: str, violations: int) -> None:
    found: list[Violation] = []
    KernelHealth(found.append).logged(KernelLog(5, "cpu0.t", level, "sleeping in an interrupt"))
    assert len(found) == violations
