"""The leaves of a range are found as the hardware finds them, wherever in a leaf or in a hole it begins."""

from __future__ import annotations

import pytest

from cosim.spec.pagetable import PAGE, Pte
from cosim.spec.translation import Fsc, IosatpMode
from cosim.sw.object_driver.contexts import Contexts
from cosim.units.quantities import MIB
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
