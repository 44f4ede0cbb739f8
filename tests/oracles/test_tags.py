"""What an IOMMU may have cached under a PSCID, from contexts and commands alone: three oracles rest on it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cosim.events import (
    Attached,
    Attaching,
    CacheFilled,
    ContextChanged,
    LeafCleared,
    MapBegun,
    Mapped,
    UnmapBegun,
    Unmapped,
)
from cosim.oracles import ContextUpdate, FlushPromises, IotlbEntries
from cosim.spec.queues import Iodir, Iotinval
from cosim.spec.translation import DcTa, Fsc, IosatpMode, Tc
from tests.oracles.contexts import executed, fence, filled, found, invalid, named
from tests.oracles.judging import judged

# --- Contexts --------------------------------------------------------------------------------------------------------

FORGOTTEN = [executed(20, Iodir.inval_ddt(1)), fence(25)]


@pytest.mark.parametrize(
    ("commands", "kinds"),
    [
        ([executed(20, Iodir.inval_ddt(2)), fence(25)], []),
        ([executed(20, Iodir.inval_ddt()), fence(25)], []),
        (FORGOTTEN, ["a context is changed while it may be cached"]),
        ([executed(20, Iodir.inval_ddt(2))], ["a context is changed while it may be cached"]),
    ],
)
def test_a_context_is_forgotten_by_a_command_that_names_it_and_a_fence_behind_it(commands, kinds):
    events = [*named(1, 7, device_id=2), invalid(10, device_id=2), *commands, *named(30, 8, device_id=2)]
    assert found(ContextUpdate, *events) == kinds


def test_what_changes_behind_the_command_is_not_forgotten_by_the_next_fence():
    """The second old context was there after the only IODIR: a further fence behind that does not reach it."""
    events = [*named(1, 7), invalid(10), *FORGOTTEN, *named(30, 8), invalid(40), fence(45), *named(50, 9)]
    assert found(ContextUpdate, *events) == ["a context is changed while it may be cached"]


def test_two_wrong_changes_with_a_right_one_between_them_are_two():
    right = [*named(1, 7), invalid(10), *FORGOTTEN]
    wrong = [*named(30, 8), invalid(40), *named(41, 9), invalid(45)]
    again = [executed(50, Iodir.inval_ddt(1)), fence(55), *named(60, 7), invalid(70), *named(71, 8)]
    assert found(ContextUpdate, *right, *wrong, *again) == ["a context is changed while it may be cached"] * 2


@pytest.mark.parametrize(
    "before", [[*named(1, 7)], [*named(1, 7), invalid(10), *named(30, 8)]], ids=["right", "while it may be cached"]
)
def test_a_change_of_a_valid_context_is_told_whatever_was_told_before(before: list[ContextChanged]) -> None:
    told = found(ContextUpdate, *before)
    changed = [ContextChanged(40, "iommu0", 1, "ta", DcTa.of(pscid=9)), invalid(50)]
    assert found(ContextUpdate, *before, *changed) == [*told, "a context is changed while it is valid"]


@pytest.mark.parametrize(
    ("invalidated", "kind"),
    [([], "a context is changed while it is valid"), ([invalid(10)], "a context is changed while it may be cached")],
    ids=["valid", "invalid"],
)
def test_of_the_words_of_a_context_tc_may_change_alone_if_v_stays_as_it_is(
    invalidated: list[ContextChanged], kind: str
) -> None:
    """An IOMMU reads the one word as it was or as it is ("Updating in-memory data structure entries")."""
    valid = not invalidated
    before = [*named(1, 7), *invalidated]
    changed = [ContextChanged(20 + dtf, "iommu0", 1, "tc", Tc.of(v=valid, dtf=dtf)) for dtf in (1, 0)]
    other_word = ContextChanged(40, "iommu0", 1, "ta", DcTa.of(pscid=9))
    for times in (1, 2):
        assert found(ContextUpdate, *before, *changed[:times]) == []
        assert found(ContextUpdate, *before, *changed[:times], other_word) == [kind]


@pytest.mark.parametrize(
    ("commands", "state"),
    [
        ([], "never invalidated"),
        ([executed(20, Iodir.inval_ddt(2))], "never invalidated"),
        ([executed(20, Iotinval.vma())], "never invalidated"),
        ([executed(20, Iodir.inval_ddt(1))], "invalidated but not fenced"),
        ([executed(20, Iodir.inval_ddt())], "invalidated but not fenced"),
        (FORGOTTEN, None),
    ],
    ids=["nothing", "another device", "translations", "the device", "all", "fenced"],
)
def test_an_attach_that_returns_says_what_became_of_the_old_context(commands: list[object], state: str | None) -> None:
    changed = [Attaching(5, "t", "nic0", "theirs", (1,), "iommu0"), invalid(10), *commands, *named(30, 8)]
    kinds = found(FlushPromises, *named(1, 7), *changed, Attached(40, "t", "nic0", (1,), "theirs", "iommu0"))
    assert kinds == ([] if state is None else [f"attach returned, context {state}"])


def test_each_id_of_a_device_has_a_context_that_is_to_be_forgotten() -> None:
    """That of the first was never valid, and nothing of it can be cached."""
    change = [*named(1, 7, device_id=2), Attaching(5, "t", "nic0", "", (1, 2), "iommu0"), invalid(10, device_id=2)]
    (told,) = judged(FlushPromises, *change, Attached(40, "t", "nic0", (1, 2), "", "iommu0"))
    assert "may use the old context of device 2: never invalidated" in told.message


# --- Who owns a PSCID ------------------------------------------------------------------------------------------------

ATTACH = Attached(0, "cpu0.boot", "nic0", (1,), "mine", "iommu0")
MAP = [MapBegun(2, "t", "mine", 0x1000, 0x1000, 0x8000_0000), Mapped(3, "t", "mine", 0x1000, 0x1000, 0x8000_0000)]
LARGE, LARGE_SIZE = 0x10_0000, 0x1_0000
"""A leaf of 16 pages."""
NOBODY = ["an entry under a PSCID that nobody owns"]


@pytest.mark.parametrize(
    ("events", "kinds"),
    [
        ([*named(1, 7)], []),
        ([*named(1, 7), invalid(10)], []),
        ([*named(1, 7), invalid(10), executed(20, Iodir.inval_ddt(1))], []),
        ([*named(1, 7), invalid(10), *FORGOTTEN], NOBODY),
        ([*named(1, 7), invalid(10), executed(11, Iodir.inval_ddt(1)), *named(12, 7), fence(25)], []),
        ([*named(1, 7, fsc=Fsc.of(mode=IosatpMode.BARE))], NOBODY),
        ([*named(1, 8)], NOBODY),
    ],
    ids=["in use", "invalid", "told", "forgotten", "in use again", "Bare", "another"],
)
def test_a_pscid_has_an_owner_until_the_last_context_that_names_it_is_forgotten(events, kinds):
    assert found(IotlbEntries, ATTACH, *events, *MAP, filled(90, 7)) == kinds


@pytest.mark.parametrize(
    ("reached", "kinds"), [("mine", []), ("theirs", ["an entry that its owner does not map"])], ids=["failed", "done"]
)
def test_the_owner_is_the_domain_that_the_attach_has_reached(reached: str, kinds: list[str]) -> None:
    attach = [Attaching(4, "t", "nic0", "theirs", (1,), "iommu0"), Attached(5, "t", "nic0", (1,), reached, "iommu0")]
    assert found(IotlbEntries, ATTACH, *attach, *named(6, 7), *MAP, filled(90, 7)) == kinds


def test_a_page_that_was_invalidated_may_be_cached_again_once_it_is_being_mapped():
    cleared = [LeafCleared(10, "t", "mine", 0x1000, 0x1000), executed(20, Iotinval.vma(pscid=7)), fence(25)]
    flushed = [ATTACH, *named(1, 7), *MAP, UnmapBegun(9, "t", "mine", 0x1000, 0x1000), *cleared]
    assert found(IotlbEntries, *flushed, filled(30, 7)) == ["an entry that was invalidated before"]
    assert found(IotlbEntries, *flushed, Unmapped(28, "t", "mine", 0x1000, 0x1000), *MAP, filled(30, 7)) == []


@pytest.mark.parametrize("named_by", [0, 0x7000, LARGE_SIZE - 0x1000])
def test_every_page_of_a_large_leaf_may_be_cached_again_once_that_is_being_mapped(named_by: int) -> None:
    """Whichever of them the command names: it is of the whole leaf."""
    mapping, _, *unmap = moved(LARGE, LARGE_SIZE)
    flush = executed(20, Iotinval.vma(pscid=7, addr=LARGE + named_by))
    flushed = [ATTACH, *named(1, 7), mapping, *unmap[:2], flush, fence(25)]
    fills = [filled(30, 7, LARGE + offset, 0x8000_0000 + offset) for offset in range(0, LARGE_SIZE, 0x1000)]
    assert found(IotlbEntries, *flushed, mapping, *fills) == []
    for fill in (fills[0], fills[1], fills[-1]):
        assert found(IotlbEntries, *flushed, fill) == ["an entry that was invalidated before"]


@pytest.mark.parametrize(
    ("iova", "flushed", "kind"),
    [
        (0x1000, False, "that is unmapped"),
        (0x1000, True, "that was invalidated before"),
        (0x2000, False, "that its owner does not map"),
        (0x2000, True, "that its owner does not map"),
    ],
)
def test_an_entry_of_what_was_unmapped_is_told_from_one_of_what_never_was_mapped(
    iova: int, flushed: bool, kind: str
) -> None:
    commands = [executed(55, Iotinval.vma(pscid=7))] if flushed else []
    events = [ATTACH, *named(1, 7), *MAP, *UNMAP, *commands, filled(60, 7, iova)]
    assert found(IotlbEntries, *events) == [f"an entry {kind}"]


@pytest.mark.parametrize(
    ("address", "kinds"), [(0x8000_0000, []), (0x8020_0000, ["an entry that its owner does not map"])]
)
def test_a_large_entry_is_right_if_any_page_of_it_is_mapped_so(address: int, kinds: list[str]) -> None:
    """The root of a table, which hardware may have in pieces or as a whole; 0x1000 leads to 0x8000_1000."""
    mapped = [replace(event, address=0x8000_1000) for event in MAP]  # type: ignore[type-var]
    entry = CacheFilled(30, "iommu0.iotlb", (-1, 7, 21, 0), False, address)
    assert found(IotlbEntries, ATTACH, *named(1, 7), *mapped, entry) == kinds


@pytest.mark.parametrize(
    ("iova", "kinds"),
    [(0x1F_F000, []), (0x20_0000, ["an entry that its owner does not map"])],
    ids=["its last page", "the page behind it"],
)
@pytest.mark.parametrize("far", [0x1000, 600 * 0x1000], ids=["few", "many"])
def test_a_large_entry_is_not_right_by_a_page_that_is_none_of_its_own(iova: int, kinds: list[str], far: int) -> None:
    """Whether its owner maps fewer pages than the entry has, or more; all of them lead as far up."""
    ranges = ((iova, 0x1000), (0x4000_0000, far))
    mapped = [replace(event, iova=at, size=size, address=at + 0x8000_0000) for at, size in ranges for event in MAP]  # type: ignore[type-var]
    entry = CacheFilled(30, "iommu0.iotlb", (-1, 7, 21, 0), False, 0x8000_0000)
    assert found(IotlbEntries, ATTACH, *named(1, 7), *mapped, entry) == kinds


@pytest.mark.parametrize(
    ("tag", "address", "kinds"),
    [
        ((-1, 9, 12, 1), 0x8000_0000, NOBODY),
        ((1, 9, 12, 1), 0x8000_0000, []),
        ((-1, -1, 12, 1), 0x8000_0000, []),
        ((-1, 9, 12, 1), -1, []),
    ],
    ids=["first stage", "of a virtual machine", "global", "without an address"],
)
def test_only_entries_of_a_first_stage_under_a_pscid_are_judged(
    tag: tuple[int, int, int, int], address: int, kinds: list[str]
) -> None:
    assert found(IotlbEntries, CacheFilled(5, "iommu0.iotlb", tag, False, address)) == kinds


# --- What may be left under it ---------------------------------------------------------------------------------------

UNMAP = [
    UnmapBegun(9, "t", "mine", 0x1000, 0x1000),
    LeafCleared(10, "t", "mine", 0x1000, 0x1000),
    Unmapped(50, "t", "mine", 0x1000, 0x1000),
]
FENCED = "unmap returned, invalidated and fenced"
NEVER = "unmap returned, never invalidated"
UNFENCED = "unmap returned, invalidated but not fenced"


@pytest.mark.parametrize(
    ("began", "commands", "kinds"),
    [
        (1, [executed(20, Iotinval.vma(pscid=7)), fence(25)], []),
        (1, [executed(20, Iotinval.vma()), fence(25)], []),
        (1, [executed(20, Iotinval.vma(pscid=7, addr=0x1000)), fence(25)], []),
        (1, [executed(10, Iotinval.vma(pscid=7)), fence(25)], []),
        (1, [executed(5, Iotinval.vma(pscid=7)), fence(25)], [NEVER]),
        (1, [executed(20, Iotinval.vma(pscid=8)), fence(25)], [NEVER]),
        (1, [fence(15), executed(20, Iotinval.vma(pscid=7))], [UNFENCED]),
        (10, [], []),
        (9, [], [NEVER]),
    ],
    ids=["PSCID", "all", "page", "at once", "too early", "another", "no fence", "in use since then", "in use before"],
)
def test_an_unmap_needs_a_flush_if_the_pscid_was_in_use_before_the_leaf_was_cleared(began, commands, kinds):
    """`began` is when the context has come to name it: from then on an IOMMU may have cached what is mapped."""
    begin, clear, end = UNMAP
    events = sorted([*named(began, 7), begin, clear, *commands], key=lambda event: event.time)
    assert found(FlushPromises, ATTACH, *MAP, *events, end) == kinds


def moved(iova: int, size: int) -> list[object]:
    """`MAP` and `UNMAP` of another range."""
    return [replace(event, iova=iova, size=size) for event in (*MAP, *UNMAP)]  # type: ignore[type-var]


@pytest.mark.parametrize(
    ("addr", "pages_lg2", "kinds"),
    [
        (LARGE, 0, []),
        (LARGE + 0x7000, 0, []),
        (LARGE + 0xF000, 0, []),
        (LARGE - 0x1000, 0, [NEVER]),
        (LARGE + 0x1_0000, 0, [NEVER]),
        (LARGE, 1, []),
        (LARGE + 0x8000, 2, []),
        (LARGE + 0xE000, 1, []),
        (LARGE & ~0x1F_FFFF, 9, []),
        (LARGE - 0x1_0000, 4, [NEVER]),
        (LARGE + 0x1_0000, 4, [NEVER]),
    ],
)
def test_a_large_leaf_is_flushed_by_way_of_any_of_its_pages(addr: int, pages_lg2: int, kinds: list[str]) -> None:
    *mapped, begin, clear, end = moved(LARGE, LARGE_SIZE)
    before = [ATTACH, *named(1, 7), *mapped, begin, clear]
    flush = executed(20, Iotinval.vma(pscid=7, addr=addr, pages_lg2=pages_lg2))
    assert found(FlushPromises, *before, flush, fence(25), end) == kinds
    assert found(FlushPromises, *before, flush, end) == (kinds or [UNFENCED])
    again = [] if kinds else ["an entry that was invalidated before"]
    for offset in (0, 0x7000, 0xF000):
        late = filled(30, 7, LARGE + offset, 0x8000_0000 + offset)
        assert found(IotlbEntries, *before, flush, late) == again


TAKEN = ["PSCID taken over from another domain before its flush"]


@pytest.mark.parametrize(
    ("commands", "kinds"),
    [
        ([*FORGOTTEN, executed(30, Iotinval.vma(pscid=7)), fence(35)], []),
        ([*FORGOTTEN, executed(30, Iotinval.vma()), fence(35)], []),
        ([executed(19, Iotinval.vma(pscid=7)), *FORGOTTEN], TAKEN),
        ([*FORGOTTEN, executed(30, Iotinval.vma(pscid=7, addr=0x1000)), fence(35)], TAKEN),
        ([*FORGOTTEN, executed(30, Iotinval.vma(pscid=7))], TAKEN),
    ],
    ids=["PSCID", "all", "before the device has left", "a page", "no fence"],
)
def test_a_pscid_is_flushed_as_a_whole_once_its_last_context_is_forgotten(commands, kinds):
    enters = [Attaching(50, "t", "nic1", "theirs", (2,), "iommu0"), *named(60, 7, device_id=2)]
    assert found(FlushPromises, ATTACH, *named(1, 7), invalid(10), *commands, *enters) == kinds


def test_what_an_unmap_left_is_minded_when_its_own_domain_has_the_pscid_again_and_not_when_another_has():
    """nic0 leaves while the page is mapped; the page goes; the PSCID is flushed, or not, before nic0 is back."""
    left = [ATTACH, *MAP, *named(1, 7), invalid(5), executed(6, Iodir.inval_ddt(1)), fence(7), *UNMAP]
    meanwhile = "PSCID in use again before the flush of what was unmapped meanwhile"
    back = [Attaching(70, "t", "nic0", "mine", (1,), "iommu0"), *named(80, 7)]
    assert found(FlushPromises, *left, *back) == [meanwhile]
    assert found(FlushPromises, *left, executed(60, Iotinval.vma(pscid=7)), fence(65), *back) == []
    other = [Attaching(70, "t", "nic0", "theirs", (1,), "iommu0"), *named(80, 7)]
    assert found(FlushPromises, *left, *other) == TAKEN


@pytest.mark.parametrize("flushed", [(), (0x1000,), (0x2000,), (0x1000, 0x2000)], ids=str)
def test_of_what_several_unmaps_left_each_is_minded(flushed: tuple[int, ...]) -> None:
    one, other = moved(0x1000, 0x1000), moved(0x2000, 0x1000)
    left = [ATTACH, *one[:2], *other[:2], *named(1, 7), invalid(5), executed(6, Iodir.inval_ddt(1)), fence(7)]
    unmaps = [*one[2:], *other[2:]]
    flushes = [executed(60, Iotinval.vma(pscid=7, addr=iova)) for iova in flushed]
    back = [Attaching(70, "t", "nic0", "mine", (1,), "iommu0"), *named(80, 7)]
    told = [each.message for each in judged(FlushPromises, *left, *unmaps, *flushes, fence(65), *back)]
    assert len(told) == (len(flushed) < 2)
    assert all(f"{['2 leaves', '1 leaf'][len(flushed)]} that mine had there" in message for message in told)


def test_a_pscid_that_came_into_use_and_went_again_while_a_page_was_being_unmapped_has_nothing_of_it():
    begin, clear, end = UNMAP
    used = [*named(12, 7), invalid(13), executed(14, Iodir.inval_ddt(1)), fence(15)]
    back = [Attaching(70, "t", "nic0", "mine", (1,), "iommu0"), *named(80, 7)]
    assert found(FlushPromises, ATTACH, *MAP, begin, clear, *used, end, *back) == []


def test_a_page_that_was_cleared_too_late_is_told_once_and_forgotten_with_its_next_unmap():
    """The clearing at 95 is that of a map that has failed half way: nothing was promised of it."""
    begin, clear, end = UNMAP
    late = ["unmap returned before its leaf was cleared in memory"]
    assert found(FlushPromises, ATTACH, *MAP, begin, end, LeafCleared(60, "t", "mine", 0x1000, 0x1000)) == late
    again = [*MAP, begin, clear, end, LeafCleared(95, "t", "mine", 0x1000, 0x1000)]
    assert found(FlushPromises, ATTACH, *MAP, begin, end, *again) == []


def test_an_unmap_of_a_domain_that_has_left_the_pscid_is_not_judged_by_who_has_it_now():
    """mine has left the PSCID unflushed, which is a violation of its own when theirs takes it; the unmap is none."""
    left = [ATTACH, *MAP, *named(1, 7), invalid(4), executed(5, Iodir.inval_ddt(1)), fence(6)]
    taken = [Attaching(7, "t", "nic1", "theirs", (2,), "iommu0"), *named(8, 7, device_id=2)]
    assert found(FlushPromises, *left, *taken, *UNMAP) == TAKEN
