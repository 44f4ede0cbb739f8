"""What two drivers do where they part: side by side, or one above the other where there is no room; all of it."""

from __future__ import annotations

import pytest

from cosim.study.conform.drivers.compare import Difference
from cosim.study.conform.drivers.deed import Deed
from cosim.study.conform.drivers.judge import BESIDE, WIDTH, told

PARTED = Difference(
    thread="cpu0.unmap",
    call="unmap",
    number=2,
    before=(Deed("memory", "store to page 1 of cpu0.prepare-map+0xff8, 8 bytes", ""),),
    left=(Deed("memory", "fence ow,ow", "policies.queue.ByTicket.send+27"), Deed("memory", "write iommu0.cqt = 1", "")),
    right=(Deed("memory", "write iommu0.cqt = 1", "policies.queue.WithoutFence.send+29"),),
)


@pytest.mark.parametrize("width", [40, 60, BESIDE, 80, WIDTH])
def test_it_fits_and_nothing_is_left_out(width: int) -> None:
    lines = list(told("scene", PARTED, "v2", "merged", width))
    assert max(map(len, lines)) <= width
    sides = ([line.split(" | ")[0] for line in lines], [line.partition(" | ")[2] for line in lines])
    text = "".join("".join(side) for side in sides).replace(" ", "")
    for deed in (*PARTED.before, *PARTED.left, *PARTED.right):
        assert f"{deed}".replace(" ", "") in text
        assert deed.place in text
    assert (" | merged" in lines[2] + lines[3]) == (width >= BESIDE)
    if width < BESIDE:
        assert lines.index("  v2:") < lines.index("    write iommu0.cqt = 1") < lines.index("  merged:")


def test_a_path_that_has_no_room_in_a_line_stays_whole() -> None:
    path = "/a/path/that/is/longer/than/a/line/of/the/terminal.yaml"
    assert f"{path}:" in list(told(path, PARTED, "v2", "merged", 40))
