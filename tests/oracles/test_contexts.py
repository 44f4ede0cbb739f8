"""What is told of contexts: those that are Bare, those that change by one store, those that stay when they must not."""

from __future__ import annotations

from pathlib import Path

import pytest

from cosim.events import Attached, Attaching, ContextChanged, RegisterWritten
from cosim.oracles import ContextUpdate, FlushPromises
from cosim.spec.queues import Iodir
from cosim.spec.register_map import DDTP
from cosim.spec.registers import Ddtp, IommuMode
from cosim.spec.translation import DcTa, Fsc, IosatpMode
from tests.oracles.contexts import FSC, executed, fence, found, invalid, named
from tests.oracles.judging import SMALL, Small, judged

POLICIES = Path(__file__).with_name("policies.py")
BARE = Fsc.of(mode=IosatpMode.BARE)
CACHED, VALID = "a context is changed while it may be cached", "a context is changed while it is valid"
BARE_CONTEXT = [Attached(0, "cpu0.boot", "nic0", (1,), "identity", "iommu0"), *named(1, 0, fsc=BARE)]
FORGOTTEN = [executed(20, Iodir.inval_ddt(1)), fence(25)]
LEAVING = [Attaching(5, "t", "nic0", "mine", (1,), "iommu0"), invalid(10)]
LEFT = Attached(40, "t", "nic0", (1,), "mine", "iommu0")


def told(small: Small) -> list[str]:
    """What was seen of contexts and flushes."""
    return [each for each in small.signatures if each.startswith(("flush-promises", "context-update"))]


# --- Bare ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("commands", "state"),
    [
        ([], "never invalidated"),
        ([executed(20, Iodir.inval_pdt(1, 0)), fence(25)], "never invalidated"),
        (FORGOTTEN[:1], "invalidated but not fenced"),
        (FORGOTTEN, None),
    ],
    ids=["nothing", "a process's", "no fence", "forgotten"],
)
def test_a_bare_context_is_one_that_is_to_be_forgotten(commands: list[object], state: str | None) -> None:
    """It lets its device reach all of memory."""
    change = [*BARE_CONTEXT, *LEAVING, *commands]
    assert found(FlushPromises, *change, LEFT) == ([] if state is None else [f"attach returned, context {state}"])
    assert found(ContextUpdate, *change, *named(30, 7)) == ([] if state is None else [CACHED])


@pytest.mark.parametrize(
    ("attach", "seen"),
    [
        ("attach=bond-first", []),
        ("attach.without=iodir-of-old", [f"context-update: {CACHED}"]),
        ("attach=keeps-invalidated", ["flush-promises: attach returned, context never invalidated"]),
    ],
)
def test_a_device_that_leaves_identity_is_judged_though_it_is_quiet(attach: str, seen: list[str]) -> None:
    small = Small(sets=[f"driver.{attach}"], text=f"{SMALL}domains: {{identity: {{devices: nic0}}}}\n")
    if "keeps" in attach:
        small.do(small.runtime.core.release_device("nic0"))
    else:
        small.make("x")
        small.move("nic0", "x")
    assert told(small) == seen


def test_of_several_old_contexts_it_is_said_what_was_done_since_the_last_one() -> None:
    """The IOMMU was told to forget the first one, under no fence, and a second one came and went."""
    moves = [executed(20, Iodir.inval_ddt(1)), *named(30, 8), invalid(35)]
    events = [Attached(0, "cpu0.boot", "nic0", (1,), "mine", "iommu0"), *named(1, 7), *LEAVING, *moves, LEFT]
    assert found(FlushPromises, *events) == ["attach returned, context never invalidated"]


# --- One store -------------------------------------------------------------------------------------------------------


def changed(time: int, field: str, value: int) -> ContextChanged:
    return ContextChanged(time, "iommu0", 1, field, value)


TO_BARE, TO_TABLE, OTHER = changed(10, "fsc", BARE), changed(10, "fsc", FSC), changed(10, "ta", DcTa.of(pscid=9))
PAGING_CONTEXT = named(1, 7)


@pytest.mark.parametrize(
    ("before", "store", "kinds"),
    [
        (PAGING_CONTEXT, TO_BARE, []),
        (BARE_CONTEXT, TO_TABLE, []),
        (BARE_CONTEXT, OTHER, []),
        (PAGING_CONTEXT, OTHER, [VALID]),
        (PAGING_CONTEXT, changed(10, "fsc", Fsc.of(mode=IosatpMode.SV39, ppn=0x90)), [VALID]),
        (PAGING_CONTEXT, changed(10, "iohgatp", 1), [VALID]),
    ],
    ids=["to Bare", "from Bare", "PSCID of Bare", "PSCID", "table", "second stage"],
)
def test_one_store_may_make_a_valid_context_bare_or_make_it_lead_somewhere(before, store, kinds) -> None:
    """What the other words say counts for nothing while it is Bare."""
    assert found(ContextUpdate, *before, store) == kinds


@pytest.mark.parametrize(
    ("before", "first", "second"),
    [
        (PAGING_CONTEXT, TO_BARE, changed(30, "ta", DcTa.of(pscid=9))),
        (BARE_CONTEXT, OTHER, changed(30, "fsc", FSC)),
        (BARE_CONTEXT, TO_TABLE, changed(30, "fsc", BARE)),
    ],
    ids=["to Bare", "from Bare", "there and back"],
)
def test_the_next_word_is_for_when_the_first_change_is_fenced(before, first, second) -> None:
    """A context that is read in pieces may have the one from before it and the other from behind it."""
    assert found(ContextUpdate, *before, first, second) == [VALID]
    assert found(ContextUpdate, *before, first, FORGOTTEN[0], second) == [VALID]
    assert found(ContextUpdate, *before, first, fence(25), second) == [VALID]
    assert found(ContextUpdate, *before, first, *FORGOTTEN, second) == []


def test_what_a_bare_context_has_for_a_pscid_need_not_be_forgotten_when_an_attach_returns() -> None:
    again = [Attaching(5, "t", "nic0", "identity", (1,), "iommu0"), OTHER]
    assert found(FlushPromises, *BARE_CONTEXT, *again, Attached(40, "t", "nic0", (1,), "identity", "iommu0")) == []


def test_a_driver_that_leaves_a_table_by_one_store_is_right() -> None:
    small = Small(sets=[f"driver.attach={POLICIES}:OneStoreToBare"])
    small.make("x")
    small.move("nic0", "x")
    small.move("nic0", "identity")
    small.move("nic0", "x")
    assert told(small) == []


# --- What stays ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("domain", ["", "theirs"])
@pytest.mark.parametrize("before", [BARE_CONTEXT, [LEFT, *PAGING_CONTEXT]], ids=["Bare", "paging"])
def test_a_context_that_stays_as_it_was_in_another_domain_is_told(before: list[object], domain: str) -> None:
    moves = Attaching(50, "t", "nic0", domain, (1,), "iommu0")
    (violation,) = judged(FlushPromises, *before, moves, Attached(60, "t", "nic0", (1,), domain, "iommu0"))
    assert violation.signature == "flush-promises: attach returned, old context still valid"
    assert "may use the old context of device 1: it is still valid in memory" in violation.message


@pytest.mark.parametrize(
    "change",
    [
        [Attached(60, "t", "nic0", (1,), "identity", "iommu0")],
        [invalid(50), executed(51, Iodir.inval_ddt(1)), fence(52), Attached(60, "t", "nic0", (1,), "", "iommu0")],
    ],
    ids=["the same domain", "not valid"],
)
def test_a_context_may_stay_in_its_domain_and_may_not_be_valid_in_none(change: list[object]) -> None:
    domain = change[-1].domain  # type: ignore[attr-defined]
    assert found(FlushPromises, *BARE_CONTEXT, Attaching(45, "t", "nic0", domain, (1,), "iommu0"), *change) == []


def test_a_device_that_is_released_leaves_no_valid_context() -> None:
    small = Small(sets=[f"driver.attach={POLICIES}:ReleasesValid"])
    small.do(small.runtime.core.release_device("nic0"))
    assert told(small) == ["flush-promises: attach returned, old context still valid"]


def test_an_invalidation_that_came_before_the_change_is_none_of_what_was_changed() -> None:
    """The attach has sent one and fenced it, and only then made the context invalid."""
    early = [LEAVING[0], executed(6, Iodir.inval_ddt(1)), fence(7), LEAVING[1]]
    assert found(FlushPromises, *PAGING_CONTEXT, *early, LEFT) == ["attach returned, context never invalidated"]


# --- What is missing -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("commands", "why"),
    [
        ([], "never invalidated since the old one left memory at 10 ps"),
        (
            [executed(20, Iodir.inval_ddt(2)), fence(25)],
            "never invalidated since the old one left memory at 10 ps; meanwhile IODIR.INVAL_DDT was executed for "
            "device 2",
        ),
        (FORGOTTEN[:1], "invalidated but not fenced since the old one left memory at 10 ps"),
    ],
    ids=["no IODIR", "IODIR of another", "no fence"],
)
def test_of_a_context_that_may_be_cached_it_is_said_what_is_missing(commands: list[object], why: str) -> None:
    before = [executed(1, Iodir.inval_ddt(3)), *named(2, 7), invalid(10)]
    (found,) = judged(ContextUpdate, *before, *commands, *named(30, 9))
    assert found.message.endswith(f"ta becomes 0x9000 at 30 ps: {why}")


def test_of_one_that_is_valid_nothing_is_missing() -> None:
    (found,) = judged(ContextUpdate, *named(2, 7), ContextChanged(30, "iommu0", 1, "ta", DcTa.of(pscid=9)))
    assert found.message == "the context of device 1 of iommu0 changed while it is valid: ta becomes 0x9000 at 30 ps"


@pytest.mark.parametrize(
    ("mode", "kinds"),
    [(IommuMode.OFF, []), (IommuMode.BARE, []), (IommuMode.LVL1, [CACHED])],
    ids=lambda mode: str(mode),
)
def test_an_iommu_that_has_no_directory_reads_no_context(mode: IommuMode, kinds: list[str]) -> None:
    """Until it has one again."""
    written = [
        RegisterWritten(t, "iommu0", DDTP.offset, 8, Ddtp.of(iommu_mode=to), "t") for t, to in ((15, mode), (35, 2))
    ]
    assert found(ContextUpdate, *PAGING_CONTEXT, invalid(10), written[0], *named(30, 9)) == kinds
    assert found(ContextUpdate, *PAGING_CONTEXT, invalid(10), *written, *named(40, 9)) == [CACHED]
