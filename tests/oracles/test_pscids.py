"""Which flushes are all of a PSCID's, and whose a PSCID is: one domain's at a time, whatever that is called."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cosim.events import (
    Attached,
    Attaching,
    CommandSent,
    DomainMade,
    LeafCleared,
    MapBegun,
    Mapped,
    UnmapBegun,
    Unmapped,
)
from cosim.oracles import FlushPromises
from cosim.spec.queues import Iodir, Iotinval
from cosim.spec.translation import Fsc, IosatpMode
from tests.oracles.contexts import executed, fence, found, invalid, named
from tests.oracles.judging import SMALL, Small, judged

POLICIES = Path(__file__).with_name("policies.py")
ATTACH = Attached(0, "cpu0.boot", "nic0", (1,), "mine", "iommu0")
MAP = [MapBegun(2, "t", "mine", 0x1000, 0x4000, 0x8000_0000), Mapped(3, "t", "mine", 0x1000, 0x4000, 0x8000_0000)]
BEGUN, CLEARED, UNMAPPED = (
    UnmapBegun(9, "t", "mine", 0x1000, 0x4000),
    LeafCleared(10, "t", "mine", 0x1000, 0x4000),
    Unmapped(50, "t", "mine", 0x1000, 0x4000),
)
LEFT = [ATTACH, *named(1, 7), invalid(10), executed(20, Iodir.inval_ddt(1)), fence(25)]
ENTERS = [Attaching(50, "t", "nic1", "theirs", (2,), "iommu0")]
TAKEN = ["PSCID taken over from another domain before its flush"]
TWO = ["one PSCID names two domains"]
NEVER = "attach returned, context never invalidated"


def told(small: Small) -> list[str]:
    return [each.partition(": ")[2] for each in small.signatures if each.startswith("flush-promises")]


# --- Commands --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("addr", "flushed"), [(0x1000, True), (0x4000, True), (0, False), (0x5000, False)])
def test_a_page_that_is_named_for_all_pscids_is_flushed_of_each(addr: int, flushed: bool) -> None:
    """Its leaf, by whichever of its pages."""
    commands = [executed(20, Iotinval.vma(addr=addr)), fence(25)]
    kinds = found(FlushPromises, ATTACH, *named(1, 7), *MAP, BEGUN, CLEARED, *commands, UNMAPPED)
    assert kinds == ([] if flushed else ["unmap returned, never invalidated"])


@pytest.mark.parametrize("what", [{}, {"addr": 0x1000}, {"addr": 0, "pages_lg2": 3}], ids=["PSCID", "page", "range"])
def test_an_invalidation_before_the_leaf_is_cleared_is_none_though_its_fence_comes_later(what: dict[str, int]) -> None:
    commands = [executed(9, Iotinval.vma(pscid=7, **what)), CLEARED, fence(25)]
    kinds = found(FlushPromises, ATTACH, *named(1, 7), *MAP, BEGUN, *commands, UNMAPPED)
    assert kinds == ["unmap returned, never invalidated"]


def test_a_driver_that_names_pages_for_all_pscids_is_right() -> None:
    small = Small("latest", sets=[f"driver.invalidate={POLICIES}:OfAllPscids"])
    iova, _ = small.map("nic0")
    small.unmap("nic0", iova)
    assert small.signatures == []


def part(addr: int, pages_lg2: int, nl: int = 1, pscid: int | None = 7) -> Iotinval:
    return Iotinval.vma(pscid=pscid, addr=addr, pages_lg2=pages_lg2, nl=nl)


LOW, HIGH = part(0, 51), part(1 << 63, 51)


@pytest.mark.parametrize(
    ("ranges", "all_of_it"),
    [
        ([part(0, 52)], True),
        ([part(0, 52, pscid=None)], True),
        ([part(0, 52, nl=0)], False),
        ([part(0, 52, pscid=8)], False),
        ([LOW, HIGH], True),
        ([HIGH, LOW], True),
        ([LOW], False),
        ([HIGH], False),
        ([LOW, part(1 << 63, 51, nl=0)], False),
        ([part(0, 44), part((1 << 64) - (1 << 56), 44)], True),
        ([part(0, 43), part((1 << 64) - (1 << 56), 44)], False),
        ([part(0, 44), part((1 << 64) - (1 << 55), 43)], False),
        ([part(0, 43), part(1 << 55, 43), part((1 << 64) - (1 << 56), 44)], True),
    ],
)
def test_ranges_that_are_all_addresses_together_flush_a_pscid_with_nl(ranges: list[Iotinval], all_of_it: bool) -> None:
    """Without NL what leads to its leaves stays. No table maps what is in the middle of Sv57."""
    flushes = [executed(30 + n, each) for n, each in enumerate(ranges)]
    enters = [*ENTERS, *named(60, 7, device_id=2)]
    assert found(FlushPromises, *LEFT, *flushes, fence(40), *enters) == ([] if all_of_it else TAKEN)
    assert found(FlushPromises, *LEFT, *flushes, *enters) == TAKEN
    early = [replace(each, time=2) for each in flushes]
    assert found(FlushPromises, ATTACH, *named(1, 7), *early, fence(3), *LEFT[4:], *enters) == TAKEN


def test_a_driver_that_leaves_a_pscid_by_a_range_is_right() -> None:
    text = SMALL.replace("base: 0x0300_0000}", "base: 0x0300_0000, capabilities: {s: true, nl: true}}")
    small = Small(sets=[f"driver.attach={POLICIES}:LeavesByRange"], text=text)
    small.hand_on()
    assert small.signatures == []


# --- Domains of one name ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("made", "kinds"), [(False, []), (True, TAKEN)], ids=["the same", "another"])
def test_a_domain_that_is_made_when_one_of_its_name_was_freed_is_another(made: bool, kinds: list[str]) -> None:
    again = [*([DomainMade(40, "mine")] if made else []), Attaching(50, "t", "nic0", "mine", (1,), "iommu0")]
    violations = judged(FlushPromises, *LEFT, *again, *named(60, 7))
    assert [each.signature.partition(": ")[2] for each in violations] == kinds
    assert all("what an earlier mine has left there is not flushed" in each.message for each in violations)
    flushed = [executed(30, Iotinval.vma(pscid=7)), fence(35)]
    assert found(FlushPromises, *LEFT, *flushed, *again, *named(60, 7)) == []


def test_what_an_earlier_domain_of_its_name_has_unmapped_is_none_of_the_new_ones() -> None:
    """Neither what it has left under the PSCID, nor a leaf of it that was not cleared when its unmap returned."""
    unmap = [replace(each, time=each.time + 20) for each in (BEGUN, CLEARED, UNMAPPED)]  # type: ignore[type-var]
    again = [DomainMade(80, "mine"), Attaching(85, "t", "nic0", "mine", (1,), "iommu0"), *named(90, 7)]
    assert found(FlushPromises, *LEFT[:2], *MAP, *LEFT[2:], *unmap, *again) == TAKEN
    late = [UNMAPPED, DomainMade(80, "mine"), replace(CLEARED, time=85)]
    assert found(FlushPromises, ATTACH, *MAP, BEGUN, *late) == []


def test_what_a_domain_has_unmapped_stays_its_own_when_one_of_another_name_is_made() -> None:
    unmap = [replace(each, time=each.time + 20) for each in (BEGUN, CLEARED, UNMAPPED)]
    made, back = DomainMade(80, "theirs"), [Attaching(85, "t", "nic0", "mine", (1,), "iommu0"), *named(90, 7)]
    kinds = ["PSCID in use again before the flush of what was unmapped meanwhile"]
    assert found(FlushPromises, *LEFT[:2], *MAP, *LEFT[2:], *unmap, made, *back) == kinds
    late = [UNMAPPED, made, replace(CLEARED, time=85)]
    kinds = ["unmap returned before its leaf was cleared in memory"] * 4
    assert found(FlushPromises, ATTACH, *MAP, BEGUN, *late) == kinds, "one for each page"
    begun = [BEGUN, DomainMade(10, "theirs"), UNMAPPED]
    assert found(FlushPromises, ATTACH, *named(1, 7), *MAP, *begun) == ["unmap returned, never invalidated"]


def test_each_id_of_a_device_is_in_the_domain_that_it_enters() -> None:
    """So that the PSCID which it has left is not taken over by another domain when it comes back."""
    ids = (1, 2)
    there = [replace(ATTACH, device_ids=ids), *named(1, 7, device_id=1), *named(2, 7, device_id=2)]
    left = [*map(invalid, (10, 11), ids), executed(20, Iodir.inval_ddt()), fence(25)]
    blocked, back = Attached(30, "t", "nic0", ids, "", "iommu0"), Attaching(50, "t", "nic0", "mine", ids, "iommu0")
    again = [*named(60, 7, device_id=1), *named(61, 7, device_id=2)]
    assert found(FlushPromises, *there, *left, blocked, back, *again) == []


@pytest.mark.parametrize(("attach", "kinds"), [("bond-first", []), ("no-old-flush", TAKEN)])
def test_a_domain_that_is_freed_and_made_again_finds_the_pscid_flushed(attach: str, kinds: list[str]) -> None:
    small = Small(sets=[f"driver.attach={attach}"])
    for _ in range(2):
        small.make("x")
        small.move("nic0", "x")
        small.move("nic0", "nic0")
        small.free("x")
    assert told(small) == kinds


# --- Two domains -----------------------------------------------------------------------------------------------------

THEIRS = Fsc.of(mode=IosatpMode.SV39, ppn=0x90)


def test_a_pscid_that_two_domains_have_at_once_is_told_once() -> None:
    entered = Attached(70, "t", "nic1", (2,), "theirs", "iommu0")
    both = [ATTACH, *named(1, 7), *ENTERS, *named(60, 7, device_id=2, fsc=THEIRS)]
    (violation,) = judged(FlushPromises, *both, entered)
    assert (violation.time_ps, violation.since_ps) == (60, 1)
    assert "PSCID 7 of iommu0 names theirs in the context of device 2" in violation.message
    assert ", and mine since 1 ps" in violation.message
    again = [Attaching(80, "t", "nic2", "theirs", (3,), "iommu0"), *named(90, 7, device_id=3, fsc=THEIRS)]
    assert found(FlushPromises, *both, entered, *again) == TWO


@pytest.mark.parametrize(
    ("second", "kinds"),
    [
        (named(60, 7, device_id=2), []),
        (named(60, 8, device_id=2, fsc=THEIRS), []),
        (sorted(named(60, 7, device_id=2, fsc=THEIRS), key=lambda event: event.field != "tc"), [NEVER, *TWO]),
    ],
    ids=["one table", "another PSCID", "V first"],
)
def test_two_domains_are_told_by_their_tables_when_the_context_is_whole(second: list[object], kinds: list[str]) -> None:
    """The device may be in the domain it came from still, if its attach has failed."""
    entered = Attached(70, "t", "nic1", (2,), "theirs", "iommu0")
    assert found(FlushPromises, ATTACH, *named(1, 7), *ENTERS, *second, entered) == kinds


def test_a_pscid_stays_the_other_domains_when_one_of_two_has_left_it() -> None:
    """What is unmapped there is judged as before."""
    both = [ATTACH, *named(1, 7), *ENTERS, *named(60, 7, device_id=2, fsc=THEIRS)]
    left = [*both, invalid(61), executed(62, Iodir.inval_ddt(1)), fence(63)]
    unmap = [replace(each, domain="theirs", time=each.time + 70) for each in (*MAP, BEGUN, CLEARED, UNMAPPED)]  # type: ignore[type-var]
    assert found(FlushPromises, *left, *unmap) == [*TWO, "unmap returned, never invalidated"]


def test_one_number_for_all_domains_is_seen_though_no_device_makes_a_request() -> None:
    small = Small(sets=[f"driver.pscid={POLICIES}:OneNumber"])
    assert told(small) == TWO


# --- What is said ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("cleared", "since"), [(True, "the leaf was cleared at 10 ps"), (False, "at 9 ps")])
def test_a_leaf_that_was_not_seen_to_be_cleared_is_not_said_to_be(cleared: bool, since: str) -> None:
    events = [BEGUN, *([CLEARED] if cleared else []), UNMAPPED]
    (violation,) = judged(FlushPromises, ATTACH, *named(1, 7), *MAP, *events)
    assert violation.message.endswith(since)
    assert ("since the unmap began, which was not seen to clear its leaf" in violation.message) is not cleared


def test_what_is_executed_at_the_very_moment_of_a_return_is_in_time() -> None:
    commands = [executed(50, Iotinval.vma(pscid=7))]
    kinds = found(FlushPromises, ATTACH, *named(1, 7), *MAP, BEGUN, CLEARED, *commands, UNMAPPED)
    assert kinds == ["unmap returned, invalidated but not fenced"]


def test_what_was_sent_and_never_executed_is_not_said_to_be_invalidated() -> None:
    """The IOMMU has executed another command, and a fence."""
    command = Iotinval.vma(pscid=7, addr=0x1000)
    sent = CommandSent(11, "t", "iommu0", 0, (command[0], command[1]))
    others = [executed(12, Iotinval.vma(pscid=7, addr=0x9000)), fence(13)]
    kinds = found(FlushPromises, ATTACH, *named(1, 7), *MAP, BEGUN, CLEARED, sent, *others, UNMAPPED)
    assert kinds == ["unmap returned, invalidation sent but not executed"]
