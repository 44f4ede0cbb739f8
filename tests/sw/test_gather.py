"""What an unmap gathers until it is flushed."""

from __future__ import annotations

from cosim.spec.pagetable import PAGE
from cosim.sw.iommu_ops import Gather


def test_what_touches_a_gathered_range_is_not_apart_from_it_and_nothing_is_once_it_is_cleared() -> None:
    gather = Gather()
    gather.add(5 * PAGE, 2 * PAGE)
    assert [page for page in range(10) if gather.disjoint(page * PAGE, PAGE)] == [0, 1, 2, 3, 8, 9]
    gather.frames.append((0x8010_0000, PAGE))
    gather.cleared(PAGE)
    gather.clear()
    assert gather == Gather()
    assert not gather.disjoint(0, PAGE)
