"""An oracle is a file and a line of the table; this names what was forgotten of one."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path

import pytest

import cosim
import cosim.oracles
from cosim.events import FreedTouched, KernelLog
from cosim.oracles import ORACLES, Bounds, FreedMemory, KernelHealth, Oracle, Violation
from cosim.study.report.catalogue import oracles
from tests.stress.stress import DEFECTS

MODULES = [
    importlib.import_module(f"cosim.oracles.{found.name}") for found in pkgutil.iter_modules(cosim.oracles.__path__)
]


DRIVERS = {"kernel": "v2"}
"""Oracles that a driver shows to see, not a defect of the hardware under stress."""
PLANTED = {
    "unrecovered-error": "test_unrecovered_errors",
    "command-ring": "test_rings",
    "fault-ring": "test_rings",
    "context-update": "test_hardware_structures",
    "attached-context": "test_attached_context",
    "one-root": "test_hardware_structures",
    "iotlb-entries": "test_hardware_structures",
    "flush-promises": "test_flush_promises",
    "page-table": "test_page_table",
    "iommu-memory": "test_iommu_memory",
    "global-leaves": "test_global_leaves",
    "foreign-dma": "test_foreign_dma",
    "data-race": "test_data_race",
    "endless-call": "test_endless_call",
    "endless-faults": "test_endless_faults",
    "flush-queue": "test_flush_queue_oracle",
    "iova-ranges": "test_iova_ranges",
    "mapped-memory": "test_mapped_memory",
    "grace-period": "test_grace_period",
    "leaked-memory": "test_leaked_memory",
    "lock-order": "test_lock_order",
    "sleep": "test_sleep",
}
"""Oracles that see what a test of this folder plants in the kernel or in a driver."""
CORRECTNESS = Path(__file__).parents[2] / "docs" / "correctness.md"
NEVER_ATTACHED = """\
parts:
  dram0: {kind: memory, base: 0x8000_0000, size: 64 MiB}
  cpu0: {kind: cpu}
  iommu0: {kind: iommu, base: 0x0300_0000}
  nic0: {kind: dma, through: iommu0, traffic: {pattern: none}}
domains: {empty: {devices: []}}
threads:
  - {on: cpu0, does: map-unmap, domain: empty, count: 1}
run: {until: 20 us}
"""


def test_every_oracle_that_has_a_file_is_in_the_table() -> None:
    classes = {value for module in MODULES for value in vars(module).values() if isinstance(value, type)}
    there = {found for found in classes if issubclass(found, Oracle) and found is not Oracle}
    assert there == set(ORACLES.values()), "cosim/oracles/__init__.py lists every oracle"


@pytest.mark.parametrize("oracle", ORACLES.values(), ids=list(ORACLES))
def test_an_oracle_says_what_it_judges_and_watches_what_it_says(oracle: type[Oracle]) -> None:
    assert oracle.__doc__, "its docstring says when it reports"
    assert dict(oracles())[oracle.name], "the first sentence of its module is its line in `cosim list oracles`"
    assert oracle.watches
    assert all(callable(listener) for _, listener in oracle(lambda _: None, Bounds()).listeners())


def test_a_touch_of_freed_memory_names_both_sides() -> None:
    found: list[Violation] = []
    event = FreedTouched(500_000, "nic0", 0x8000_0000, True, 480_000, "cpu0.t", "buffer page", "dma")
    FreedMemory(found.append, Bounds()).touched(event)
    assert [(violation.signature, violation.message) for violation in found] == [
        (
            "freed-memory: dma wrote buffer page",
            "nic0 wrote 0x80000000 (buffer page), at 500 ns, 20 ns after cpu0.t had freed it",
        )
    ]


@pytest.mark.parametrize(("level", "violations"), [("oops", 1), ("error", 0), ("warning", 0)])
def test_only_an_oops_is_a_violation(level: str, violations: int) -> None:
    found: list[Violation] = []
    KernelHealth(found.append, Bounds()).logged(KernelLog(5, "cpu0.t", level, "sleeping in an interrupt"))
    assert len(found) == violations


@pytest.mark.parametrize(
    ("text", "signature"),
    [
        ("null pointer dereference at 0x1f: 'iommu' of 0x80001000", "null pointer dereference at ...: ... of ..."),
        ("cpu0.map-unmap sleeps in an interrupt handler", "... sleeps in an interrupt handler"),
        ("sleeping with 2 locks held", "sleeping with ... locks held"),
    ],
)
def test_the_signature_of_an_oops_is_its_text_without_what_it_names(text: str, signature: str) -> None:
    found: list[Violation] = []
    KernelHealth(found.append, Bounds()).logged(KernelLog(5, "cpu0.t", "oops", text))
    assert [violation.signature for violation in found] == [f"kernel: {signature}"]


def test_what_else_is_known_of_an_oops_is_told_and_no_part_of_its_signature() -> None:
    found: list[Violation] = []
    KernelHealth(found.append, Bounds()).logged(KernelLog(5, "cpu0.t", "oops", "freed twice", " (domain.c:7, in own)"))
    assert [(each.message, each.signature) for each in found] == [
        ("cpu0.t: freed twice (domain.c:7, in own)", "kernel: freed twice")
    ]


@pytest.mark.parametrize("oracle", ORACLES)
def test_a_defect_or_a_driver_is_planted_for_every_oracle_and_a_page_says_so(oracle: str) -> None:
    seen = {name for _, names in DEFECTS.values() for name in names} | set(DRIVERS) | set(PLANTED)
    assert oracle in seen, "DEFECTS in tests/stress/stress.py, or DRIVERS or PLANTED here, says what it must see"
    if oracle in PLANTED:
        test = Path(__file__).with_name(f"{PLANTED[oracle]}.py").read_text(encoding="utf-8")
        assert f'"{oracle}: ' in test, "the test that plants something holds the signature under which it is seen"
    assert f"`{oracle}`" in CORRECTNESS.read_text(encoding="utf-8"), "docs/correctness.md says by what it is tried"


@pytest.mark.slow
def test_the_kernel_s_oracle_sees_the_oops_of_the_driver_that_has_one(tmp_path: Path) -> None:
    topology = tmp_path / "never_attached.yaml"
    topology.write_text(NEVER_ATTACHED, encoding="utf-8")
    assert {each.oracle for each in cosim.run(topology, driver=DRIVERS["kernel"]).violations} == {"kernel"}
    assert not cosim.run(topology, driver="merged").violations
