"""What a run could have shown: an unmapped buffer counts as touched if a stale translation would have been used."""

from __future__ import annotations

from cosim.events import Attached, DmaCommitted, DmaDone, KernelEnded, MapBegun, Mapped, UnmapBegun, Unmapped
from cosim.oracles import TouchedAfterwards
from cosim.study.report.seen import seen


def counted(*events: object) -> tuple[int, int, int]:
    recorder = TouchedAfterwards()
    listeners = dict(recorder.listeners())
    for event in events:
        listeners[type(event)](event)
    counts = recorder.counts()
    return counts["unmapped"], counts["touched"], counts["unflushed"]


def mapping(time: int, address: int = 0x8000_0000, size: int = 0x1000) -> tuple[MapBegun, Mapped]:
    place = ("cpu0.t", "shared", 0x1000, size, address)
    return MapBegun(time, *place), Mapped(time + 10, *place)


def refused(issued: int, iova: int = 0x1008, *, who: str = "nic0", slot: int = 0, status: str = "UR") -> DmaDone:
    parts = {"slot": slot} if slot else {}  # a part that took no time is not there
    return DmaDone(issued + 1000, who, 1, 0, iova, 8, False, issued, status, parts | {"link": 1000 - slot})


def committed(time: int, address: int, translated: int) -> DmaCommitted:
    return DmaCommitted(time, "nic0", 1, 0, 0x1000, address, 64, True, translated)


ATTACH = Attached(0, "cpu0.boot", "nic0", (1,), "shared")
MAP = mapping(0)
BEGIN = UnmapBegun(50_000, "cpu0.t", "shared", 0x1000, 0x1000)
UNMAP = Unmapped(100_000, "cpu0.t", "shared", 0x1000, 0x1000)


def test_a_buffer_that_no_device_asks_for_afterwards_is_not_touched() -> None:
    assert counted(ATTACH, *MAP, BEGIN, UNMAP) == (1, 0, 0)
    assert counted(ATTACH, *MAP, refused(40_000), BEGIN, UNMAP) == (1, 0, 0)
    assert counted(ATTACH, *MAP, BEGIN, UNMAP, refused(110_000, 0x2008)) == (1, 0, 0), "another page"
    assert counted(ATTACH, *MAP, BEGIN, UNMAP, refused(110_000, who="nic1")) == (1, 0, 0), "in another domain"


def test_a_request_that_is_refused_is_a_touch_if_it_was_issued_after_the_unmap() -> None:
    assert counted(ATTACH, *MAP, BEGIN, UNMAP, refused(100_000)) == (1, 1, 0)
    assert counted(ATTACH, *MAP, BEGIN, UNMAP, refused(99_999)) == (1, 0, 0)
    assert counted(ATTACH, *MAP, BEGIN, UNMAP, refused(99_900, slot=200)) == (1, 1, 0), "it waited in the device"
    assert counted(ATTACH, *MAP, BEGIN, UNMAP, refused(110_000), refused(120_000)) == (1, 1, 0), "one buffer"


def test_a_request_that_a_stale_translation_answers_is_a_touch() -> None:
    assert counted(ATTACH, *MAP, BEGIN, UNMAP, committed(120_000, 0x8000_0000, 110_000)) == (1, 1, 0)


def test_the_iova_that_leads_elsewhere_by_then_still_shows_what_is_stale() -> None:
    again = mapping(110_000, 0x9000_0000)
    assert counted(ATTACH, *MAP, BEGIN, UNMAP, *again, committed(130_000, 0x9000_0000, 125_000)) == (1, 1, 0)


def test_the_same_page_at_the_same_iova_hides_it() -> None:
    again = mapping(110_000)
    assert counted(ATTACH, *MAP, BEGIN, UNMAP, *again, committed(130_000, 0x8000_0000, 125_000)) == (1, 0, 0)


def test_an_unmap_that_waits_for_its_flush_is_not_counted_yet() -> None:
    assert counted(ATTACH, *MAP, BEGIN, refused(60_000)) == (0, 0, 1)


def test_what_waited_or_was_unmapped_when_a_kernel_ended_is_none_of_the_next_one() -> None:
    """Though that has a domain of the same name."""
    ended, anew = KernelEnded(150_000), Attached(200_000, "cpu0.boot", "nic0", (1,), "shared")
    assert counted(ATTACH, *MAP, BEGIN, ended) == (0, 0, 0)
    assert counted(ATTACH, *MAP, BEGIN, UNMAP, ended, anew, refused(300_000)) == (1, 0, 0)


def test_what_was_never_mapped_is_no_buffer() -> None:
    failed = MapBegun(0, "cpu0.t", "shared", 0x1000, 0x1000, 0x8000_0000)
    assert counted(ATTACH, failed, UNMAP) == (0, 0, 0)
    assert counted(ATTACH, BEGIN, UNMAP) == (0, 0, 0)


def test_a_buffer_of_many_pages_is_one() -> None:
    whole = Unmapped(100_000, "cpu0.t", "shared", 0x1000, 0x3000)
    touches = refused(110_000, 0x1000), refused(110_000, 0x3000)
    assert counted(ATTACH, *mapping(0, size=0x3000), whole, *touches) == (1, 1, 0)


def test_it_is_told_in_a_sentence() -> None:
    assert seen({"unmapped": 34, "touched": 0, "unflushed": 0}) == (
        "0 of 34 unmapped buffers were touched by a device afterwards: no device could show a stale translation"
    )
    assert seen({"unmapped": 34, "touched": 34, "unflushed": 0}) == (
        "34 of 34 unmapped buffers were touched by a device afterwards"
    )
    assert seen({"unmapped": 1, "touched": 0, "unflushed": 2}) == (
        "0 of 1 unmapped buffer was touched by a device afterwards, and 2 more waited for a flush at the end: no "
        "device could show a stale translation"
    )
    assert seen({"unmapped": 0, "touched": 0, "unflushed": 5}) == (
        "no flush has ended for any of 5 unmapped buffers: no device could show a stale translation"
    )
    assert not seen({"unmapped": 0, "touched": 0, "unflushed": 0})
    assert not seen({})
