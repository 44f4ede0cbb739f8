"""The oracle of leaves with G: an invalidation for one PSCID spares them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from cosim.spec.queues import Iotinval
from cosim.sw.driver.driver import Driver
from cosim.sw.driver.policies.invalidate_ranges import Ranges
from cosim.sw.driver.policies.tables_generic import Generic
from tests.oracles.judging import Small

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


def test_where_no_device_can_use_a_leaf_nothing_is_left() -> None:
    small = Small("latest")
    driver = small.runtime.driver
    assert isinstance(driver, Driver)
    driver.policies = replace(driver.policies, tables=Global())
    small.make("empty")
    iova, _ = small.map("empty")
    small.unmap("empty", iova)
    assert small.signatures == []
