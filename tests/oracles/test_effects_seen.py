"""What invalidations and readers had to do with, and how it is told."""

from __future__ import annotations

from cosim.events import Attached, Attaching, Invalidated, ReadSectionBegun, ReadSectionEnded
from cosim.oracles import SEEN, EffectiveInvalidations, OverlappedRemovals
from cosim.oracles.oracle import Listener
from cosim.study.report.seen import effects


def tell(recorder: Listener, *events: object) -> None:
    listeners = dict(recorder.listeners())
    for event in events:
        listeners[type(event)](event)


def test_an_invalidation_has_something_to_drop_in_a_cache_or_a_walk() -> None:
    recorder = EffectiveInvalidations()
    tell(recorder, Invalidated(0, "iommu0", 0, 0), Invalidated(0, "iommu0", 2, 0), Invalidated(0, "iommu0", 0, 1))
    assert recorder.counts() == {"invalidations": 3, "dropping": 2}


IN = [Attaching(0, "t", "nic0", "shared"), Attached(0, "t", "nic0", (1,), "shared")]
LEAVE = Attaching(0, "t", "nic0", "other")
LEFT = Attached(0, "t", "nic0", (1,), "other")
READ, DONE = ReadSectionBegun(0, "cpu0.u"), ReadSectionEnded(0, "cpu0.u")


def removals(*events: object) -> tuple[int, int]:
    recorder = OverlappedRemovals()
    tell(recorder, *events)
    counts = recorder.counts()
    return counts["removals"], counts["overlapped"]


def test_a_removal_is_overlapped_by_a_reader_that_is_there_before_it_or_comes() -> None:
    assert removals(*IN, LEAVE, LEFT) == (1, 0)
    assert removals(*IN, READ, LEAVE, LEFT) == (1, 1)
    assert removals(*IN, LEAVE, READ, LEFT) == (1, 1)
    assert removals(*IN, LEAVE, READ, DONE, LEFT) == (1, 1)
    assert removals(*IN, READ, DONE, LEAVE, LEFT, READ) == (1, 0)


def test_a_device_that_was_in_no_domain_or_stays_in_its_own_is_not_removed() -> None:
    assert removals(READ, *IN) == (0, 0)
    assert removals(READ, *IN, *IN) == (0, 0)
    blocked = [Attaching(0, "t", "nic0", ""), Attached(0, "t", "nic0", (1,), "")]
    assert removals(READ, *IN, *blocked, *IN) == (1, 1), "it is removed once, and comes back"


def test_the_names_are_those_of_the_recorders() -> None:
    assert SEEN == ("unmapped", "touched", "unflushed", "invalidations", "dropping", "removals", "overlapped")


def test_they_are_told_in_a_sentence() -> None:
    assert effects({"invalidations": 1, "dropping": 0}) == "0 of 1 invalidation had something to drop"
    assert effects({"invalidations": 1200, "dropping": 30, "removals": 2, "overlapped": 1}) == (
        "30 of 1,200 invalidations had something to drop, and 1 of 2 removals of a device a reader beside it"
    )
    assert not effects({"removals": 1})
    assert not effects({})
