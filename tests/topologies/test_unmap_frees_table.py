"""A table that an unmap empties: no other topology that runs in a moment frees one while a device goes on there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

import cosim
from cosim.spec.queues import Iotinval
from cosim.sw.driver.policies.invalidate_ranges import Ranges

TOPOLOGY = Path(__file__).with_name("unmap_frees_table.yaml")
OFFERED = [
    {"iommu0.capabilities.nl": nl, "iommu0.capabilities.s": ranges} for nl in (False, True) for ranges in (False, True)
]
NAMES = ["", "s", "nl", "nl s"]
NEVER = "flush-promises: table freed, never invalidated"
LOST = "leaked-memory: table is lost"


@dataclass(frozen=True)
class PagesAlone(Ranges):
    """The pages are flushed, and not what leads to the table."""

    def needed(self, capabilities: Any, pscid: Any, gather: Any) -> Iterator[Iotinval]:
        yield from super().needed(capabilities, pscid, replace(gather, freelist=[]))


@dataclass(frozen=True)
class KeepsTables(Ranges):
    """The table is gone from the one above, and nobody frees it."""

    async def sync(self, driver: Any, domain: Any, gather: Any) -> bool | None:
        gather.freelist.clear()
        return await super().sync(driver, domain, gather)


@pytest.mark.parametrize("offered", OFFERED, ids=NAMES)
@pytest.mark.parametrize("driver", ["current", "latest", "ideal"])
def test_the_drivers_that_free_tables_flush_them(driver: str, offered: dict[str, bool]) -> None:
    ran = cosim.run(TOPOLOGY, driver=driver, set=offered)
    assert (ran.outcome, dict(ran.signatures)) == ("ok", {})
    assert ran.seen["touched"] == 1


@pytest.mark.parametrize("offered", OFFERED, ids=NAMES)
@pytest.mark.parametrize(("policy", "signature"), [("PagesAlone", NEVER), ("KeepsTables", LOST)])
def test_a_slip_with_what_is_freed_is_seen_without_a_schedule(
    policy: str, signature: str, offered: dict[str, bool]
) -> None:
    ran = cosim.run(TOPOLOGY, set={"driver.invalidate": f"{__file__}:{policy}", **offered})
    assert ran.outcome == "failed"
    assert signature in ran.signatures
