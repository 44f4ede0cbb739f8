"""Contexts of devices and leaves of a range are found as the hardware finds them."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from cosim.events import ContextChanged
from cosim.spec.pagetable import PAGE, Pte
from cosim.spec.registers import Ddtp, IommuMode
from cosim.spec.translation import Ddte, Fsc, IosatpMode, Tc
from cosim.sw.object_driver.contexts import Contexts
from cosim.sw.object_driver.watch import Ring
from cosim.units.quantities import GIB, MIB
from tests.sw.machine import Machine

LARGE = 2 * MIB


@pytest.mark.parametrize(
    ("iova", "size", "found"),
    [
        (0, PAGE, [0]),
        (0, LARGE, [0]),
        (LARGE - PAGE, 2 * PAGE, [0, LARGE]),
        (LARGE + PAGE, 2 * PAGE, [LARGE + 2 * PAGE]),
        (LARGE + PAGE, PAGE, []),
        (3 * LARGE - PAGE, 2 * PAGE, [3 * LARGE]),
        (0, 4 * LARGE, [0, LARGE, LARGE + 2 * PAGE, 3 * LARGE]),
    ],
)
def test_a_range_has_the_leaves_of_which_there_are_bytes_in_it(iova: int, size: int, found: list[int]) -> None:
    """Of a large leaf, a table with a hole between two leaves, a large hole, and a large leaf."""
    machine = Machine()
    root, middle, low = (machine.run(machine.kernel.pages.alloc(purpose="table")) for _ in range(3))
    leaf = Pte.of(v=1, r=1, w=1)

    def put(table: int, index: int, entry: int) -> int:
        machine.memory.write(table + 8 * index, 8, entry)
        return table + 8 * index

    tables = [put(root, 0, Pte.of(v=1, ppn=middle // PAGE)), put(middle, 1, Pte.of(v=1, ppn=low // PAGE))]
    ways: dict[int, tuple[int, tuple[int, ...]]] = {
        LARGE * index: (LARGE, (tables[0], put(middle, index, leaf))) for index in (0, 3)
    }
    ways |= {LARGE + PAGE * index: (PAGE, (*tables, put(low, index, leaf))) for index in (0, 2)}
    leaves = Contexts(machine.kernel).leaves(Fsc.of(mode=IosatpMode.SV39, ppn=root // PAGE), iova, size)
    assert list(leaves) == [(start, *ways[start]) for start in found]


@pytest.mark.parametrize("mode", [IommuMode.LVL1, IommuMode.LVL2, IommuMode.LVL3])
@pytest.mark.parametrize(
    ("extended", "size", "digits"), [(False, 32, (0x55, 0x1A5, 0x5A)), (True, 64, (0x2D, 0x15A, 0xA5))]
)
def test_a_device_context_is_found_through_a_directory_of_any_depth(
    mode: IommuMode, extended: bool, size: int, digits: tuple[int, ...]
) -> None:
    """It is waited for level by level, and told of once the directory leads to it."""
    machine, iommu = Machine(), "iommu0"
    memory, contexts = machine.memory, Contexts(machine.kernel)
    told: list[tuple[str, int, str, int]] = []
    machine.sim.probe(ContextChanged).watch(
        lambda event: told.append((event.who, event.device_id, event.field, event.value))
    )
    digits = digits[: mode - IommuMode.BARE]
    low = 6 if extended else 7
    device_id = sum(digit << (low + 9 * level - 9 if level else 0) for level, digit in enumerate(digits))
    tables = [machine.run(machine.kernel.pages.alloc(purpose="directory")) for _ in digits]
    ring = Ring(iommu, directory=Ddtp.of(iommu_mode=mode, ppn=tables[-1] // PAGE), extended=extended)
    contexts.look_for(ring, (device_id,))
    for level in reversed(range(1, len(digits))):
        assert contexts.table_of(ring, device_id) is None
        memory.write(tables[level] + 8 * digits[level], 8, Ddte.of(v=1, ppn=tables[level - 1] // PAGE))
    context = tables[0] + size * digits[0]
    tc, fsc = Tc.of(v=1), Fsc.of(mode=IosatpMode.SV39, ppn=0x8_0123)
    memory.write(context + 24, 8, fsc)
    assert contexts.table_of(ring, device_id) is None, "it is not valid yet"
    memory.write(context, 8, tc)
    assert contexts.table_of(ring, device_id) == fsc
    assert told == [(iommu, device_id, "fsc", fsc), (iommu, device_id, "tc", tc)]
    memory.write(context + 24, 8, Fsc.of(mode=IosatpMode.BARE))
    assert contexts.table_of(ring, device_id) is None, "it has no page table"
    contexts.gone(iommu)
    memory.write(context, 8, 0)
    assert len(told) == 3, "what is there is no context any more"
    memory.write(context, 8, tc)
    found = contexts.words(ring, device_id, lambda place: memory.peek(place, 8))
    assert found == (tc, 0, 0, 0), "though the directory, if it is one still, leads there"


def test_a_context_is_waited_for_no_longer_once_its_directory_is_gone() -> None:
    """However often it was looked for."""
    machine, told = Machine(), list[ContextChanged]()
    machine.sim.probe(ContextChanged).watch(told.append)
    contexts = Contexts(machine.kernel)
    root, leaf = (machine.run(machine.kernel.pages.alloc(purpose="directory")) for _ in range(2))
    ring = Ring("iommu0", directory=Ddtp.of(iommu_mode=IommuMode.LVL2, ppn=root // PAGE))
    for _ in range(2):
        contexts.look_for(ring, (0,))
    contexts.gone("iommu0")
    machine.memory.write(root, 8, Ddte.of(v=1, ppn=leaf // PAGE))
    machine.memory.write(leaf, 8, Tc.of(v=1))
    assert not told


@pytest.mark.parametrize("mode", [IommuMode.LVL1, IommuMode.LVL2])
def test_where_a_directory_or_a_table_is_no_memory_nothing_is_found(mode: IommuMode) -> None:
    """As where a driver has named a null pointer as the root: what comes of that the IOMMU tells."""
    contexts = Contexts(Machine().kernel)
    ring = Ring("iommu0", directory=Ddtp.of(iommu_mode=mode, ppn=0))
    contexts.look_for(ring, (1,))
    assert contexts.table_of(ring, 1) is None
    assert not list(contexts.leaves(Fsc.of(mode=IosatpMode.SV39, ppn=0), 0, PAGE))


def test_a_null_pointer_is_no_page_table_though_there_be_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    contexts = Contexts(Machine().kernel)
    memory = SimpleNamespace(peek=lambda place, size: int(Pte.of(v=1, r=1, ppn=5)))
    monkeypatch.setattr(contexts, "_memory", memory)
    assert not list(contexts.leaves(Fsc.of(mode=IosatpMode.SV39, ppn=0), 0, PAGE))
    assert list(contexts.leaves(Fsc.of(mode=IosatpMode.SV39, ppn=1), 0, PAGE))


@pytest.mark.parametrize("mode", [IommuMode.OFF, IommuMode.BARE])
def test_without_a_directory_no_context_is_looked_for(mode: IommuMode) -> None:
    machine = Machine()
    contexts, page = Contexts(machine.kernel), machine.run(machine.kernel.pages.alloc(purpose="no directory"))
    machine.memory.write(page, 8, Tc.of(v=1))
    machine.memory.write(page + 24, 8, Fsc.of(mode=IosatpMode.SV39, ppn=1))
    assert contexts.table_of(Ring("iommu0", directory=Ddtp.of(iommu_mode=mode, ppn=page // PAGE)), 0) is None


def test_what_is_waited_for_in_the_directory_of_an_iommu_does_not_go_with_another_one() -> None:
    machine, told = Machine(), list[ContextChanged]()
    machine.sim.probe(ContextChanged).watch(told.append)
    contexts = Contexts(machine.kernel)
    root, leaf = (machine.run(machine.kernel.pages.alloc(purpose="directory")) for _ in range(2))
    contexts.look_for(Ring("iommu0", directory=Ddtp.of(iommu_mode=IommuMode.LVL2, ppn=root // PAGE)), (0,))
    contexts.gone("iommu1")
    machine.memory.write(root, 8, Ddte.of(v=1, ppn=leaf // PAGE))
    machine.memory.write(leaf, 8, Tc.of(v=1))
    assert [(event.who, event.field) for event in told] == [("iommu0", "tc")]


@pytest.mark.parametrize("bits", [{"r": 1}, {"x": 1}, {"r": 1, "x": 1}])
def test_a_leaf_is_what_can_be_read_or_executed(bits: dict[str, int]) -> None:
    machine = Machine()
    root = machine.run(machine.kernel.pages.alloc(purpose="table"))
    machine.memory.write(root, 8, Pte.of(v=1, **bits))
    leaves = Contexts(machine.kernel).leaves(Fsc.of(mode=IosatpMode.SV39, ppn=root // PAGE), PAGE, PAGE)
    assert list(leaves) == [(0, GIB, (root,))]
