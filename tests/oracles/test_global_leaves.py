"""The oracle of leaves with G: an invalidation for one PSCID spares them."""

from __future__ import annotations

from dataclasses import dataclass, replace

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


def test_in_an_iommu_that_refuses_every_request_nothing_can_be_used() -> None:
    context = {"ta": DcTa.of(pscid=7), "fsc": Fsc.of(mode=IosatpMode.SV39, ppn=1), "tc": 1}
    events = [
        Attached(0, "cpu0.boot", "nic0", (1,), "mine", "iommu0"),
        *(ContextChanged(5, "iommu0", 1, name, value) for name, value in context.items()),
        TableSeen(10, "t", "mine", 0x1000, 0x1000, (SeenLeaf(0x1000, 0x1000, 0x8000_0000, "rw", True),)),
        command(20, Iotinval.vma(pscid=7)),
        command(25, Iofence.c(pr=1, pw=1)),
    ]
    unmapped = Unmapped(40, "t", "mine", 0x1000, 0x1000)
    off = RegisterWritten(30, "iommu0", DDTP.offset, 8, Ddtp.of(iommu_mode=IommuMode.OFF), "t")
    assert [each.signature for each in judged(GlobalLeaves, *events, unmapped)] == [G]
    assert not judged(GlobalLeaves, *events, off, unmapped)
    assert not judged(GlobalLeaves, *events, replace(unmapped, domain="other"))
