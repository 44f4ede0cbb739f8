"""The oracle of what is mapped: a request that is stopped although its page is there, and its device in the domain."""

from __future__ import annotations

import pytest

from cosim.events import Attached, Attaching, DmaDone, Mapped, UnmapBegun
from cosim.oracles import Bounds, RefusedDma, Violation

US = 1_000_000
BOUNDS = Bounds(store_ps=15 * US, answer_ps=5 * US)
VISIBLE_PS = BOUNDS.store_ps + BOUNDS.answer_ps


def answer(issued: int, status: str = "UR", *, iova: int = 0x1008, write: bool = False, who: str = "nic0") -> DmaDone:
    """A request that is answered 1 us after its issue."""
    return DmaDone(issued + US, who, 1, 0, iova, 8, write, issued, status, {}, cause=13)


def judged(*events: object) -> list[Violation]:
    found: list[Violation] = []
    listeners = dict(RefusedDma(found.append, BOUNDS).listeners())
    for event in events:
        listeners[type(event)](event)
    return found


ATTACH = Attached(0, "cpu0.boot", "nic0", (1,), "shared")
MAP = Mapped(10 * US, "cpu0.t", "shared", 0x1000, 0x2000, 0x8000_0000)
SEEN = 10 * US + VISIBLE_PS
LEAVING = Attaching(90 * US, "cpu0.t", "nic0", "other")
UNMAPPING = UnmapBegun(90 * US, "cpu0.t", "shared", 0x1000, 0x2000)


def test_a_request_for_a_mapped_page_must_not_be_refused():
    (found,) = judged(ATTACH, MAP, answer(SEEN))
    assert found.since_ps == 10 * US
    assert found.signature == "refused-dma: read of a mapped page, read_page_fault"
    assert found.message == (
        "nic0 (device 1) was refused a read of IOVA 0x1008 at 31 us, 21 us after it was mapped in shared"
    )
    assert judged(ATTACH, MAP, answer(SEEN, iova=0x2008)), "nor for the second page of the mapping"


@pytest.mark.parametrize(
    "events",
    [
        (ATTACH, MAP, answer(SEEN, "SUCCESS")),
        (ATTACH, MAP, answer(SEEN, "ACCESS_FAULT")),
        (ATTACH, MAP, answer(SEEN - 1)),
        (ATTACH, MAP, answer(SEEN, iova=0x3000)),
        (ATTACH, MAP, answer(SEEN, iova=0x2FFC)),
        (MAP, answer(SEEN)),
        (ATTACH, MAP, answer(SEEN, who="nic1")),
        (ATTACH, MAP, UNMAPPING, answer(100 * US)),
        (ATTACH, MAP, UNMAPPING, answer(89 * US)),
        (ATTACH, MAP, LEAVING, answer(89 * US)),
        (MAP, Attached(80 * US, "cpu0.t", "nic0", (1,), "shared"), answer(79 * US)),
        (MAP, Attached(80 * US, "cpu0.t", "nic0", (1,), "shared"), answer(80 * US + VISIBLE_PS - 1)),
        (MAP, Attached(80 * US, "cpu0.t", "nic0", (1,), "other"), answer(85 * US)),
    ],
    ids=[
        "not refused",
        "refused by memory",
        "its entries may still be in a store buffer",
        "another page",
        "in part another page",
        "device is in no domain",
        "another device",
        "after the beginning of the unmap",
        "answered after the beginning of the unmap",
        "answered after the beginning of an attach",
        "issued before the attach returned",
        "its context may still be in a store buffer",
        "device is in another domain",
    ],
)
def test_what_else_is_refused_is_right(events: tuple[object, ...]):
    assert not judged(*events)


@pytest.mark.parametrize(
    ("prot", "write", "judges"), [("r", True, 0), ("r", False, 1), ("w", False, 0), ("w", True, 1)]
)
def test_permissions_are_minded(prot: str, write: bool, judges: int):
    mapped = Mapped(10 * US, "cpu0.t", "shared", 0x1000, 0x1000, 0x8000_0000, prot)
    assert len(judged(ATTACH, mapped, answer(SEEN, write=write))) == judges


def test_a_device_that_has_entered_long_ago_must_not_be_refused():
    entered = Attached(80 * US, "cpu0.t", "nic0", (1,), "shared")
    assert judged(MAP, entered, answer(80 * US + VISIBLE_PS))


def test_a_page_that_is_mapped_again_counts_from_then_on():
    again = Mapped(100 * US, "cpu0.t", "shared", 0x1000, 0x1000, 0x8000_0000)
    assert not judged(ATTACH, MAP, UNMAPPING, again, answer(100 * US))
    assert judged(ATTACH, MAP, UNMAPPING, again, answer(100 * US + VISIBLE_PS))
