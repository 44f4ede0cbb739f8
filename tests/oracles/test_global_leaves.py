"""The oracle of leaves with G: an invalidation for one PSCID spares them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest

from cosim.events import Attached, CommandExecuted, ContextChanged, RegisterWritten, TableSeen, Unmapped
from cosim.events.domains import SeenLeaf
from cosim.oracles import GlobalLeaves
from cosim.spec.queues import Command, Iofence, Iotinval
from cosim.spec.register_map import DDTP
from cosim.spec.registers import Ddtp, IommuMode
from cosim.spec.translation import DcTa, Fsc, IosatpMode
from cosim.sw.driver.driver import Driver
from cosim.sw.driver.policies.invalidate_ranges import Ranges
from cosim.sw.driver.policies.tables_generic import Generic
from tests.oracles.judging import Small, judged

G = "global-leaves: unmap returned, a leaf with G is flushed for one PSCID alone"


@dataclass(frozen=True)
class Global(Generic):
    """Every leaf has G."""

    async def _store(self, driver, slot, pte, page_size):  # type: ignore[no-untyped-def]
        await super()._store(driver, slot, pte.replace(g=1), page_size)


@dataclass(frozen=True)
class ForAll(Ranges):
    """Each flush is for all PSCIDs."""

    def needed(self, capabilities, pscid, gather):  # type: ignore[no-untyped-def]
        yield Iotinval.vma()


@dataclass(frozen=True)
class Nothing(Ranges):
    """No flush is sent."""

    def needed(self, capabilities, pscid, gather):  # type: ignore[no-untyped-def]
        return ()


@pytest.mark.parametrize(
    ("tables", "invalidate", "found"),
    [
        (Generic, Ranges, []),
        (Global, Ranges, [G]),
        (Global, ForAll, []),
        (Global, Nothing, ["flush-promises: unmap returned, never invalidated"]),
    ],
)
def test_a_leaf_with_g_is_flushed_for_all_pscids(tables: type[Generic], invalidate: type[Ranges], found: list[str]):
    small = Small("latest")
    driver = small.runtime.driver
    assert isinstance(driver, Driver)
    driver.policies = replace(driver.policies, tables=tables(), invalidate=invalidate())
    iova, _ = small.map("nic0")
    small.unmap("nic0", iova)
    assert small.signatures == found


def command(time: int, words: Command) -> CommandExecuted:
    kind = "iofence" if isinstance(words, Iofence) else "iotinval_vma"
    return CommandExecuted(time, "iommu0", 0, (words[0], words[1]), kind)


CONTEXT = {"ta": DcTa.of(pscid=7), "fsc": Fsc.of(mode=IosatpMode.SV39, ppn=1), "tc": 1}
ATTACH = Attached(0, "cpu0.boot", "nic0", (1,), "mine", "iommu0")
SEEN = TableSeen(10, "t", "mine", 0x1000, 0x1000, (SeenLeaf(0x1000, 0x1000, 0x8000_0000, "rw", True),))
FENCE = command(25, Iofence.c(pr=1, pw=1))
UNMAPPED = Unmapped(40, "t", "mine", 0x1000, 0x1000)


def named(time: int) -> list[ContextChanged]:
    """A device's context comes to name the domain's PSCID."""
    return [ContextChanged(time, "iommu0", 1, name, value) for name, value in CONTEXT.items()]


def test_in_an_iommu_that_refuses_every_request_nothing_can_be_used() -> None:
    events = [ATTACH, *named(5), SEEN, command(20, Iotinval.vma(pscid=7)), FENCE]
    off = RegisterWritten(30, "iommu0", DDTP.offset, 8, Ddtp.of(iommu_mode=IommuMode.OFF), "t")
    assert [each.signature for each in judged(GlobalLeaves, *events, UNMAPPED)] == [G]
    assert not judged(GlobalLeaves, *events, off, UNMAPPED)
    assert not judged(GlobalLeaves, *events, replace(UNMAPPED, domain="other"))


def test_a_large_leaf_is_known_by_each_of_its_pages() -> None:
    large = replace(SEEN, leaves=(SeenLeaf(0, 0x4000, 0x8000_0000, "rw", True),))
    events = [ATTACH, *named(5), large, command(20, Iotinval.vma(pscid=7)), FENCE, UNMAPPED]
    assert [each.signature for each in judged(GlobalLeaves, *events)] == [G]


@pytest.mark.parametrize(
    ("began", "flushes", "found"),
    [
        (5, {10: Iotinval.vma()}, []),
        (5, {9: Iotinval.vma(), 20: Iotinval.vma(pscid=7)}, [G]),
        (5, {10: Iotinval.vma(pscid=7)}, [G]),
        (9, {20: Iotinval.vma(pscid=7)}, [G]),
        (10, {20: Iotinval.vma(pscid=7)}, []),
        (5, {20: Iotinval.vma(pscid=7), 22: Iotinval.vma(addr=0x1000)}, []),
        (5, {20: Iotinval.vma(pscid=7), 22: Iotinval.vma(addr=0x2000)}, [G]),
    ],
)
def test_what_counts_is_flushed_since_the_unmap_began_where_the_leaf_could_be_used_before(
    began: int, flushes: dict[int, Command], found: list[str]
) -> None:
    """`began` is when a context has come to name the PSCID; the unmap began at 10."""
    told: list[Any] = [ATTACH, *named(began), SEEN, *(command(time, words) for time, words in flushes.items())]
    events = sorted(told, key=lambda event: event.time)
    assert [each.signature for each in judged(GlobalLeaves, *events, FENCE, UNMAPPED)] == found
