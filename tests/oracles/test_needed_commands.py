"""Commands that were needed: one for each page and a fence, for each IOMMU that may have cached what goes."""

from __future__ import annotations

import pytest

from cosim.events import (
    Attached,
    CommandExecuted,
    DomainMade,
    FlushBegun,
    FlushGivenUp,
    FlushQueued,
    Unmapped,
)
from cosim.oracles import NeededCommands

PAGE = 0x1000


def needed(*events: object) -> int:
    recorder = NeededCommands()
    listeners = dict(recorder.listeners())
    for event in events:
        listeners[type(event)](event)
    return recorder.counts()["driver.commands_needed"]


def attached(device: str, domain: str, iommu: str = "iommu0", ids: tuple[int, ...] = (1,)) -> Attached:
    return Attached(0, "cpu0.t", device, ids, domain, iommu)


def unmapped(pages: int, iova: int = PAGE) -> Unmapped:
    return Unmapped(0, "cpu0.t", "shared", iova, pages * PAGE)


def queued(page: int) -> FlushQueued:
    return FlushQueued(0, "cpu0.t", "cpu0", "shared", page * PAGE, PAGE)


FLUSH = FlushBegun(0, "shared")
MADE = DomainMade(0, "shared")


@pytest.mark.parametrize(("pages", "commands"), [(1, 2), (511, 512), (512, 2)])
def test_an_unmap_needs_a_command_for_each_page_or_one_for_all_and_a_fence(pages: int, commands: int) -> None:
    assert needed(attached("nic0", "shared"), unmapped(pages)) == commands
    assert needed(attached("nic0", "shared"), unmapped(1, PAGE + 8)) == 3, "of two pages"


def test_devices_of_one_iommu_need_them_once_and_each_iommu_its_own() -> None:
    two = [attached("nic0", "shared"), attached("nic1", "shared")]
    assert needed(*two, unmapped(1)) == 2
    assert needed(*two, attached("nic2", "shared", "iommu1"), unmapped(1)) == 4
    assert needed(unmapped(1)) == 0, "no device is in the domain"
    assert needed(*two, queued(1), FLUSH) == 2
    assert needed(*two, attached("nic2", "shared", "iommu1"), queued(1), FLUSH) == 4
    assert needed(queued(1), FLUSH) == 0


def test_unmaps_that_wait_share_one_flush() -> None:
    waiting = [attached("nic0", "shared"), queued(1), queued(2)]
    assert needed(*waiting, FLUSH, unmapped(1), Unmapped(0, "cpu0.t", "shared", 2 * PAGE, PAGE)) == 2
    assert needed(*waiting, FLUSH, FlushGivenUp(0, "shared", PAGE), FlushGivenUp(0, "shared", 2 * PAGE), FLUSH) == 2
    assert needed(*waiting, MADE, FLUSH) == 0, "another domain of that name"


def test_a_device_that_leaves_needs_its_contexts_forgotten_and_the_last_one_its_domain() -> None:
    assert needed(attached("nic0", "shared", ids=(1, 2))) == 0, "what is not valid is not cached"
    assert needed(attached("nic0", "identity"), attached("nic0", "shared")) == 2
    assert needed(attached("nic0", "shared", ids=(1, 2)), attached("nic0", "", ids=(1, 2))) == 3 + 2
    two = [attached("nic0", "shared"), attached("nic1", "shared")]
    assert needed(*two, attached("nic0", "other")) == 2, "nic1 uses the tag still"
    assert needed(*two, attached("nic0", "shared")) == 0, "it has not left"
    assert needed(*two, attached("nic0", "other"), attached("nic1", ""), unmapped(1)) == 2 + 4
    left = [attached("nic0", "shared"), attached("nic0", "", iommu="")]
    assert needed(*left, attached("nic0", "other")) == 4, "it left once"


def test_what_took_hold_was_sent() -> None:
    recorder = NeededCommands()
    recorder.executed(CommandExecuted(0, "iommu0", 0, (0, 0), "iofence"))
    assert recorder.counts() == {"driver.commands_sent": 1, "driver.commands_needed": 0}
