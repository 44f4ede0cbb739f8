"""The first oracle: a DMA committed through a translation whose unmap has returned."""

from dataclasses import replace

import pytest

from cosim.events import (
    Attached,
    Attaching,
    CommandExecuted,
    CommandSent,
    ContextChanged,
    DmaCommitted,
    MapBegun,
    Mapped,
    UnmapBegun,
    Unmapped,
)
from cosim.oracles import StaleDma, Violation
from cosim.spec.queues import Command, Iodir, Iofence, Iotinval
from cosim.spec.translation import DcTa
from tests.oracles.judging import Small
from tests.oracles.judging import judged as judged_by


def dma(time: int, address: int, iova: int = 0x1000, who: str = "nic0") -> DmaCommitted:
    return DmaCommitted(time, who, 1, 0, iova, address, 64, True, time, "iommu0")


def judged(*events: object) -> list[Violation]:
    return judged_by(StaleDma, *events)


ATTACH = Attached(0, "cpu0.boot", "nic0", (1,), "shared")
MAP = Mapped(10, "cpu0.t", "shared", 0x1000, 0x1000, 0x8000_0000)
UNMAP = Unmapped(100_000, "cpu0.t", "shared", 0x1000, 0x1000)


def test_dma_before_the_unmap_returns_is_legal():
    assert not judged(ATTACH, MAP, dma(50_000, 0x8000_0040, 0x1040), UNMAP)


def test_dma_after_the_unmap_returned_is_a_violation_that_says_since_when():
    (found,) = judged(ATTACH, MAP, UNMAP, dma(130_000, 0x8000_0040, 0x1040))
    assert found.since_ps == 100_000
    assert found.message == (
        "nic0 (device 1) wrote 0x80000040 by IOVA 0x1040 at 130 ns, 30 ns after its unmap from shared returned"
    )


def test_the_old_page_stays_forbidden_when_the_iova_is_mapped_again():
    again = Mapped(110_000, "cpu0.t", "shared", 0x1000, 0x1000, 0x8000_5000)
    assert not judged(ATTACH, MAP, UNMAP, again, dma(130_000, 0x8000_5000))
    assert judged(ATTACH, MAP, UNMAP, again, dma(130_000, 0x8000_0000))


def test_mapping_the_same_page_again_makes_it_legal_again():
    again = Mapped(110_000, "cpu0.t", "shared", 0x1000, 0x1000, 0x8000_0000)
    assert not judged(ATTACH, MAP, UNMAP, again, dma(130_000, 0x8000_0000))


def test_a_translation_of_a_domain_that_the_device_left_is_a_violation():
    leave = Attached(200_000, "cpu0.t", "nic0", (1,), "other")
    (found,) = judged(ATTACH, MAP, leave, dma(230_000, 0x8000_0000))
    assert "30 ns after it was detached from shared" in found.message


def test_a_map_that_is_visible_before_it_returns_is_legal():
    assert not judged(ATTACH, dma(5_000, 0x8000_0000), MAP)


BEGIN = MapBegun(110_000, "cpu0.t", "shared", 0x1000, 0x1000, 0x8000_0000)


def test_a_page_that_was_unmapped_is_legal_from_when_it_is_being_mapped_again():
    assert not judged(ATTACH, MAP, UNMAP, BEGIN, dma(115_000, 0x8000_0000), MAP)
    assert judged(ATTACH, MAP, UNMAP, dma(105_000, 0x8000_0000), BEGIN)


def test_the_old_page_stays_forbidden_while_another_is_being_mapped_there():
    other = MapBegun(110_000, "cpu0.t", "shared", 0x1000, 0x1000, 0x8000_5000)
    assert judged(ATTACH, MAP, UNMAP, other, dma(115_000, 0x8000_0000))


def test_a_map_that_fails_promises_what_an_unmap_does():
    failed = Unmapped(120_000, "cpu0.t", "shared", 0x1000, 0x1000)
    (found,) = judged(ATTACH, MAP, UNMAP, BEGIN, failed, dma(130_000, 0x8000_0000))
    assert found.since_ps == 120_000


def test_a_map_over_a_page_that_fails_promises_that_the_page_is_gone():
    other = MapBegun(110_000, "cpu0.t", "shared", 0x1000, 0x1000, 0x8000_5000)
    failed = Unmapped(120_000, "cpu0.t", "shared", 0x1000, 0x1000)
    (found,) = judged(ATTACH, MAP, other, failed, dma(130_000, 0x8000_0000))
    assert found.since_ps == 120_000


def test_each_page_of_a_range_is_judged_by_itself():
    map_two = Mapped(10, "cpu0.t", "shared", 0x1000, 0x2000, 0x8000_0000)
    assert not judged(ATTACH, map_two, UNMAP, dma(130_000, 0x8000_1000, 0x2000))
    assert judged(ATTACH, map_two, UNMAP, dma(130_000, 0x8000_0000, 0x1000))


OTHER = Mapped(10, "cpu0.t", "other", 0x1000, 0x1000, 0x9000_0000)
LEAVE = [Attaching(20_000, "cpu1.t", "nic0", "other"), Attached(30_000, "cpu1.t", "nic0", (1,), "other")]
RETURN = [Attaching(40_000, "cpu1.t", "nic0", "shared"), Attached(50_000, "cpu1.t", "nic0", (1,), "shared")]


def test_while_an_attach_is_under_way_a_device_may_be_in_either_domain():
    there, back = [ATTACH, MAP, OTHER, *LEAVE], [dma(45_000, 0x8000_0000), dma(46_000, 0x9000_0000)]
    assert not judged(ATTACH, MAP, OTHER, LEAVE[0], dma(25_000, 0x8000_0000), dma(26_000, 0x9000_0000), LEAVE[1])
    assert not judged(*there, RETURN[0], *back, RETURN[1])


def test_when_it_has_returned_the_domain_that_was_left_is_forbidden():
    (found,) = judged(ATTACH, MAP, OTHER, *LEAVE, dma(35_000, 0x8000_0000))
    assert found.message.endswith("5 ns after it was detached from shared")
    (found,) = judged(ATTACH, MAP, OTHER, *LEAVE, *RETURN, dma(55_000, 0x9000_0000))
    assert found.message.endswith("5 ns after it was detached from other")


def test_so_is_what_is_unmapped_there_afterwards() -> None:
    (found,) = judged(ATTACH, MAP, OTHER, *LEAVE, UNMAP, dma(130_000, 0x8000_0000))
    assert found.message.endswith("100 ns after it was detached from shared")


def test_an_unmap_of_the_domain_that_is_being_entered_holds_at_once():
    gone = Unmapped(22_000, "cpu0.t", "other", 0x1000, 0x1000)
    (found,) = judged(ATTACH, MAP, OTHER, LEAVE[0], gone, dma(25_000, 0x9000_0000))
    assert found.since_ps == 22_000


def test_an_attach_that_failed_forbids_the_domain_it_did_not_reach():
    failed = Attached(30_000, "cpu1.t", "nic0", (1,), "shared")
    (found,) = judged(ATTACH, MAP, OTHER, LEAVE[0], failed, dma(35_000, 0x9000_0000))
    assert found.message.endswith("5 ns after it was detached from other")


# --- What the IOMMU was told -----------------------------------------------------------------------------------------

CONTEXT = ContextChanged(0, "iommu0", 1, "ta", DcTa.of(pscid=7))
UNMAPPING = UnmapBegun(90_000, "cpu0.t", "shared", 0x1000, 0x1000)


def sent(time: int, command: Command, iommu: str = "iommu0") -> CommandSent:
    return CommandSent(time, "cpu0.t", iommu, 0, (command[0], command[1]))


def executed(time: int, command: Command, iommu: str = "iommu0") -> CommandExecuted:
    kind = "iofence" if isinstance(command, Iofence) else "other"
    return CommandExecuted(time, iommu, 0, (command[0], command[1]), kind)


PAGE, SPACE, ALL = Iotinval.vma(pscid=7, addr=0x1000), Iotinval.vma(pscid=7), Iotinval.vma()
RANGE = Iotinval.vma(pscid=7, addr=0, pages_lg2=2)
FENCE = Iofence.c(pr=1, pw=1)


@pytest.mark.parametrize(
    ("commands", "state"),
    [
        ((), "never invalidated"),
        ((sent(80_000, PAGE), executed(85_000, PAGE), executed(95_000, FENCE)), "never invalidated"),
        ((sent(91_000, PAGE, "iommu1"), executed(92_000, PAGE, "iommu1")), "never invalidated"),
        ((sent(91_000, Iotinval.vma(pscid=8, addr=0x1000)),), "never invalidated"),
        ((sent(91_000, Iotinval.vma(pscid=7, addr=0x2000)),), "never invalidated"),
        ((sent(91_000, PAGE),), "invalidation sent but not executed"),
        ((sent(91_000, PAGE), executed(92_000, FENCE), executed(93_000, PAGE)), "invalidated but not fenced"),
        ((sent(91_000, PAGE), executed(93_000, PAGE), executed(110_000, FENCE)), "invalidated but not fenced"),
        ((executed(110_000, PAGE), executed(111_000, FENCE)), "never invalidated"),
        ((executed(93_000, PAGE), executed(94_000, FENCE)), "invalidated and fenced"),
        ((executed(93_000, PAGE), executed(94_000, FENCE), executed(95_000, SPACE)), "invalidated and fenced"),
        ((executed(93_000, SPACE), executed(94_000, FENCE)), "invalidated and fenced"),
        ((executed(93_000, ALL), executed(94_000, FENCE)), "invalidated and fenced"),
        ((executed(93_000, RANGE), executed(94_000, FENCE)), "invalidated and fenced"),
    ],
)
def test_the_signature_says_what_the_iommu_was_told_since_the_unmap_began(commands, state):
    (found,) = judged(CONTEXT, ATTACH, MAP, UNMAPPING, *commands, UNMAP, dma(130_000, 0x8000_0000))
    assert found.signature == f"stale-dma: write, page unmapped, {state}"


def test_an_unmap_that_failed_is_not_the_one_that_has_returned() -> None:
    """What was invalidated for the first was cached again since."""
    failed = [replace(UNMAPPING, time=50_000), executed(60_000, PAGE), executed(61_000, FENCE)]
    (found,) = judged(CONTEXT, ATTACH, MAP, *failed, UNMAPPING, UNMAP, dma(130_000, 0x8000_0000))
    assert found.signature == "stale-dma: write, page unmapped, never invalidated"


def test_an_iommu_was_told_of_the_pscid_that_a_context_named_last() -> None:
    """It names none when it is cleared, and PSCID 0 is another one's."""
    told = [executed(93_000, PAGE), executed(94_000, FENCE)]
    cleared = [ContextChanged(110_000, "iommu0", 1, field, 0) for field in ("tc", "fsc", "ta")]
    used = dma(130_000, 0x8000_0000)
    (found,) = judged(CONTEXT, ATTACH, MAP, UNMAPPING, *told, UNMAP, *cleared, used)
    assert found.signature.endswith("invalidated and fenced")
    again = ContextChanged(120_000, "iommu0", 1, "ta", DcTa.of(pscid=8))
    (found,) = judged(CONTEXT, ATTACH, MAP, UNMAPPING, *told, UNMAP, *cleared, again, used)
    assert found.signature.endswith("never invalidated")


def test_for_a_device_that_has_left_it_says_what_became_of_its_context():
    there = [CONTEXT, ATTACH, MAP, OTHER]
    (found,) = judged(*there, *LEAVE, dma(35_000, 0x8000_0000))
    assert found.signature == "stale-dma: write, device detached, never invalidated"
    commands = [executed(25_000, Iodir.inval_ddt(1)), executed(26_000, FENCE)]
    (found,) = judged(*there, LEAVE[0], *commands, LEAVE[1], dma(35_000, 0x8000_0000))
    assert found.signature == "stale-dma: write, device detached, invalidated and fenced"


# --- In a system -------------------------------------------------------------------------------------------------


def after_unmap(*sets: str) -> list[str]:
    """A device reads a page, and again once its unmap has returned."""
    small = Small(sets=sets)
    iova, _ = small.map("nic0")
    small.dma("nic0", iova)
    small.unmap("nic0", iova)
    small.dma("nic0", iova)
    return [signature for signature in small.signatures if signature.startswith("stale-dma")]


def test_hardware_and_drivers_that_leave_a_translation_behind_are_told_apart():
    assert after_unmap() == []
    assert after_unmap("driver.bonds=one-iommu-pointer") == []
    lost = "iommu0.defects.lose_invalidation="
    seen = "stale-dma: read, page unmapped, invalidated and fenced"
    assert any(seen in after_unmap(f"{lost}{number}") for number in range(1, 6))


def test_a_context_that_outlives_its_domain_is_seen():
    """Defect C1: the release of nic0 leaves its context in the IOMMU, and the page is still mapped in its domain."""
    for attach, found in (("bond-first", []), ("keeps-invalidated", ["device detached, never invalidated"])):
        small = Small(sets=[f"driver.attach={attach}"])
        iova, _ = small.map("nic0")
        small.dma("nic0", iova)
        small.do(small.runtime.core.release_device("nic0"))
        small.dma("nic0", iova)
        prefix = "stale-dma: read, "
        assert [each.removeprefix(prefix) for each in small.signatures if each.startswith(prefix)] == found
