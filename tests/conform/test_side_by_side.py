"""What two drivers do where they part: side by side, or one above the other where there is no room; all of it."""

from __future__ import annotations

import pytest

from cosim.events import LineReached, LockGiven, LockTaken
from cosim.sim.chooser import Chooser
from cosim.study.conform.drivers.compare import Difference
from cosim.study.conform.drivers.deed import Deed
from cosim.study.conform.drivers.judge import BESIDE, WIDTH, told
from cosim.study.conform.drivers.record import Record
from cosim.system.build import build
from tests.study.finding.systems import beside

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


def test_a_lock_has_the_line_that_its_thread_has_reached_last_and_keeps_it_behind_the_driver() -> None:
    """That a thread leaves a driver is an empty line."""
    system = build(beside(), Chooser())
    record = Record(system)
    reached, taken, given = (system.sim.probe(event) for event in (LineReached, LockTaken, LockGiven))
    reached(LineReached(1, "cpu0.unmap", "queue.c:5, in own_send"))
    reached(LineReached(1, "cpu1.attach", "domain.c:7, in enter"))
    taken(LockTaken(2, "cpu0.unmap", "queue_lock", 0x8000_0000))
    reached(LineReached(3, "cpu0.unmap", "queue.c:9, in own_send"))
    given(LockGiven(4, "cpu0.unmap", "queue_lock", 0x8000_0000))
    reached(LineReached(5, "cpu0.unmap", ""))
    taken(LockTaken(6, "cpu0.unmap", "core_lock", 0x8000_0008))
    assert [(deed.what, deed.name, deed.place) for deed in record.deeds["cpu0.unmap"]] == [
        ("lock", "queue_lock", "queue.c:5, in own_send"),
        ("unlock", "queue_lock", "queue.c:9, in own_send"),
        ("lock", "core_lock", "queue.c:9, in own_send"),
    ]
