"""What the kernel's functions answer a driver that seldom calls them."""

from __future__ import annotations

import errno

import pytest

pytest.importorskip("elftools", reason="objects are read with pyelftools: pip install 'cosim[kernel]'")

from cosim.events import KernelLog
from cosim.sw.object_driver.machine import LINK
from tests.sw.object_driver.test_running import Loaded

DEVICE = 0x8100_0000


def test_what_is_allocated_for_a_device_is_all_of_its_size_and_goes_with_it() -> None:
    loaded = Loaded()
    address = loaded.call("trouble_allocates_for", DEVICE, 24)
    assert loaded.driver.held[DEVICE] == [(address, 0)]
    (block,) = [known for known in loaded.kernel.pages.in_use() if known.address == address - LINK]
    assert block.size >= LINK + 24
    assert [loaded.call("trouble_loads", address + at) for at in (0, 8, 16)] == [0] * 3, "zeroed, as it was asked"
    loaded.kernel.pages.fail([1])
    assert loaded.call("trouble_allocates_for", DEVICE, 24) == 0
    assert loaded.driver.held[DEVICE] == [(address, 0)]


@pytest.mark.parametrize(("error", "name"), [(errno.ENODEV, "ENODEV"), (9999, "9999")])
def test_a_probe_that_gives_up_says_why_and_returns_its_error(error: int, name: str) -> None:
    loaded = Loaded()
    loaded.driver.names[DEVICE] = "iommu0"
    told: list[tuple[str, str, str]] = []
    loaded.machine.sim.probe(KernelLog).watch(lambda event: told.append((event.level, event.who, event.text)))
    assert loaded.call("trouble_gives_up", DEVICE, -error, 7) & 0xFFFF_FFFF == (1 << 32) - error
    assert told == [("error", "iommu0", f"error -{name}: no clock 7")]


def test_rcu_watches_and_a_lock_that_is_asked_about_is_held() -> None:
    """The first is a truth value of C, which the compiler takes for 0 or 1; the second is one of three answers."""
    loaded = Loaded()
    assert loaded.call("checks_rcu_sleeps") == 0
    assert loaded.call("checks_holds", loaded.word) == 1
