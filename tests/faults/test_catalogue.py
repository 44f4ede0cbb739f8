"""The planted faults fit the source: each names one place of it, and what is planted there is Python."""

from __future__ import annotations

import ast
import gc
import json
from collections import Counter
from pathlib import Path

import pytest

from tests.faults.catalogue import ROOT, Fault, NotPlantable, faults
from tests.faults.child import run
from tests.faults.in_place import Functions, NotInPlace
from tests.faults.results import KILLERS


def text_of(fault: Fault) -> str:
    return (ROOT / fault.path).read_text(encoding="utf-8")


def test_every_fault_has_one_place_in_the_source() -> None:
    for fault in faults():
        source = text_of(fault)
        assert fault.planted(source) != source, f"{fault.name} changes nothing"


@pytest.mark.slow
def test_what_is_planted_is_python_that_does_something_else() -> None:
    for fault in faults():
        source = text_of(fault)
        assert ast.dump(ast.parse(fault.planted(source))) != ast.dump(ast.parse(source)), fault.name


def test_every_fault_says_in_a_line_of_its_own_what_it_breaks() -> None:
    said = Counter(fault.breaks for fault in faults())
    assert not [text for text, times in said.items() if times > 1 or not 10 < len(text) <= 110 or "\n" in text]


def test_there_are_faults_in_every_layer() -> None:
    layers = Counter(fault.path.split("/")[1] for fault in faults())
    assert layers.total() >= 150
    assert all(layers[layer] >= 10 for layer in ("hw", "sw", "oracles", "sim", "study"))


def test_what_has_killed_a_fault_is_noted_of_faults_and_tests_that_are_there() -> None:
    noted = json.loads(KILLERS.read_text(encoding="utf-8"))
    assert noted.keys() <= {fault.breaks for fault in faults()}
    tests = {by.split("::")[0] for by in noted.values()} - {"the import"}
    assert len(tests) > 100
    assert not [path for path in tests if not (ROOT / path).is_file()]


SOURCE = """
class Buffer:
    def put(self, entry):
        if self.full:
            return False
        self.entries.append(entry)
        return True

    def clear(self):
        self.entries = []
"""


def fault(old: str, new: str) -> Fault:
    return Fault("hw#1", "a full buffer takes an entry", "cosim/hw/buffer.py", old, new)


def test_a_fault_takes_the_place_of_whole_lines_at_their_indentation() -> None:
    planted = fault("if self.full:\n    return False\n", "if False:\n    return None\n")
    assert planted.planted(SOURCE) == SOURCE.replace("self.full", "False").replace("return False", "return None")
    assert planted.statements(SOURCE) == range(4, 6)
    assert fault("return True", "").planted(SOURCE) == SOURCE.replace("        return True\n", "")


@pytest.mark.parametrize(("old", "places"), [("self.entries", 0), ("if self.full:\n    return True", 0), ("pass", 2)])
def test_a_fault_that_fits_nowhere_or_twice_is_refused(old: str, places: int) -> None:
    with pytest.raises(NotPlantable, match=rf"hw#1: {places} places in cosim/hw/buffer\.py"):
        fault(old, "return").planted(SOURCE + "    pass\n    pass\n")


def test_what_an_import_runs_is_told_from_what_functions_do() -> None:
    assert fault("def clear(self):", "def clear(self, now):").statements(SOURCE) is None
    assert fault("class Buffer:", "class Buffer(list):").statements(SOURCE) is None
    assert fault("self.entries = []", "pass").statements(SOURCE) == range(10, 11)


def test_a_fault_whose_lines_no_test_runs_is_killed_by_none(tmp_path: Path) -> None:
    assert run([], {}, tmp_path / "where") == 0


def test_functions_that_are_there_get_the_code_that_is_planted() -> None:
    """Also those that a table or a closure holds, and frozen ones; what was made by the import stays as it is."""
    file = "cosim/hw/adder.py"
    source = "def adder(n):\n    return lambda m: m + n\nTABLE = {2: adder(2)}\nTABLE[3] = adder(3)\n"
    names: dict[str, dict[int, object]] = {}
    exec(compile(source, file, "exec", dont_inherit=True), names)
    gc.freeze()
    functions = Functions()
    gc.freeze()  # as it was before: what stays for the session is looked at by no collection
    functions.plant(file, source, source.replace("m + n", "m - n"))
    assert [call(10) for call in names["TABLE"].values()] == [8, 7]  # type: ignore[operator]
    with pytest.raises(NotInPlace):
        functions.plant(file, source, source.replace("lambda m: m + n", "n"))
    with pytest.raises(NotInPlace, match="no function of it is here"):
        functions.plant("cosim/hw/other.py", source, source.replace("m + n", "m - n"))
