"""Boot takes IOMMUs and devices into service, and goes on without what fails."""

from __future__ import annotations

import errno

import pytest

from cosim.events import Attached, Mapped
from cosim.spec.pagetable import PAGE
from cosim.sw.boot import Plan
from cosim.sw.device_plan import DevicePlan
from cosim.sw.iommu_ops import IDENTITY
from cosim.sw.kernel.errors import KernelError
from cosim.units.quantities import MIB
from tests.sw.bench import TOP, Bench, workload
from tests.sw.machine import BASE


def test_boot_attaches_devices_maps_their_windows_and_starts_them() -> None:
    bench = Bench(window=3 * PAGE - 8).run()
    attached = [(event.device, event.domain) for event in bench.events if isinstance(event, Attached)]
    assert attached == [("nic0", "shared"), ("nic1", "shared")]
    assert set(bench.runtime.dma) == {"shared", "other"}
    starts = [bench.masters[name].told for name in ("nic0", "nic1")]
    assert starts == [[(TOP - 3 * PAGE, 3 * PAGE - 8)], [(TOP - 7 * PAGE, 3 * PAGE - 8)]]
    assert {bench.masters[name].not_before_ps for name in ("nic0", "nic1")} == {bench.runtime.origin.time_ps} != {0}
    assert bench.buffers() == 6
    assert not bench.machine.log


@pytest.mark.parametrize("window", [PAGE, 0])
def test_boot_goes_on_without_a_device_that_fails(window: int) -> None:
    """Which is not started, also where nothing but threads would have used it."""
    bench = Bench(window=window)
    bench.driver.refuses.add(("probe", "nic0"))
    bench.run()
    assert bench.machine.log[0] == "error: nic0: no translation: -ENODEV: refused"
    assert not bench.masters["nic0"].told
    assert bool(bench.masters["nic1"].told) == bool(window)
    assert bench.runtime.not_started == {"nic0": ""}


@pytest.mark.parametrize("plugged", [False, True])
@pytest.mark.parametrize("refused", [("probe", "nic0"), ("shared", "nic0")])
def test_whom_the_driver_keeps_out_is_not_started_also_if_it_is_plugged_in_later(
    refused: tuple[str, str], plugged: bool
) -> None:
    """By its probe or by its attach, which has to succeed while memory is there."""
    bench = Bench()
    bench.driver.refuses.add(refused)
    assert _found(bench, plugged=plugged) == {"nic0": ""}


@pytest.mark.parametrize(
    ("step", "error", "plugged", "told"),
    [
        ("probe_device", errno.ENOMEM, False, {}),
        ("attach_dev", errno.ENOMEM, False, {}),
        ("domain_alloc_paging", errno.ENOSPC, False, {}),
        ("attach_dev", errno.ENOMEM, True, {"nic0": ""}),
        ("domain_alloc_paging", errno.ENOSPC, True, {"nic0": ""}),
    ],
)
def test_a_driver_may_refuse_a_device_when_memory_is_short_and_a_domain_when_pscids_may_be(
    monkeypatch: pytest.MonkeyPatch, step: str, error: int, plugged: bool, told: dict[str, str]
) -> None:
    """Later, that is: whom boot finds it is to start, with the first numbers and what memory there is."""
    bench = Bench()

    async def short(*_: object) -> None:
        if error == errno.ENOMEM:
            await bench.kernel.pages.alloc(20, purpose="what the driver needs")
        raise KernelError(error, "no number is left")

    monkeypatch.setattr(bench.driver, step, short)
    assert _found(bench, plugged=plugged) == told
    assert [line for line in bench.machine.log if line.startswith("error: ")]


def _found(bench: Bench, *, plugged: bool) -> dict[str, str]:
    """Which devices were not started, of one that boot finds or a thread plugs in."""
    bench.plan = Plan(bench.plan.iommus, (DevicePlan("nic0", (1,), "iommu0", "shared", plugged=plugged),))
    bench.run(*([] if plugged else [workload("plug", devices="nic0")]))
    return bench.runtime.not_started


@pytest.mark.parametrize(("iommu", "plugged"), [("iommu0", False), ("iommu1", False), ("iommu1", True)])
def test_a_device_that_is_not_there_to_be_found_has_no_window_and_needs_none(iommu: str, plugged: bool) -> None:
    """It is plugged in later on, or its IOMMU is not in service, of which the log says why."""
    bench = Bench(window=PAGE)
    absent = DevicePlan("nic0", (1,), iommu, "shared", window=PAGE, plugged=plugged)
    bench.plan = Plan(bench.plan.iommus, (absent, bench.plan.devices[1]), ("other",))
    bench.run()
    assert bench.runtime.absent == ({} if plugged else {"nic0": absent})
    assert bench.runtime.not_started == {}
    assert "nic0" not in bench.runtime.core.devices
    assert not bench.masters["nic0"].told
    assert bench.masters["nic1"].told
    assert bench.buffers() == 1


def test_boot_without_memory_for_a_window_starts_the_device_nowhere() -> None:
    bench = Bench(size=MIB, window=2 * MIB).run()
    assert [line for line in bench.machine.log if "no window" in line] == [
        "error: nic0: no window: -ENOMEM: no page for buffer",
        "error: nic1: no window: -ENOMEM: no page for buffer",
    ]
    assert bench.buffers() == 0


def test_boot_gives_back_a_window_that_cannot_be_mapped_and_starts_the_device_nowhere() -> None:
    bench = Bench(window=3 * PAGE)
    bench.driver.refuses.add(("shared", TOP - 2 * PAGE))
    bench.run()
    assert [line for line in bench.machine.log if "no window" in line] == [
        f"error: {name}: no window: -ENOMEM: map of {TOP - 2 * PAGE:#x} in shared" for name in bench.masters
    ]
    assert not any(master.told for master in bench.masters.values())
    assert bench.runtime.not_started == dict.fromkeys(bench.masters, f"-ENOMEM: map of {TOP - 2 * PAGE:#x} in shared")
    assert bench.buffers() == 0


@pytest.mark.parametrize(("window", "pages"), [(1, 1), (PAGE, 1), (PAGE + 1, 2), (2 * PAGE + 1, 4), (5 * PAGE, 8)])
@pytest.mark.parametrize("iommu", ["", "iommu0"])
def test_a_window_without_translation_is_one_block_with_room_for_its_end(iommu: str, window: int, pages: int) -> None:
    """Of a device behind no IOMMU, and of one in the identity domain."""
    bench = Bench()
    device = DevicePlan("nic0", (1,), iommu, IDENTITY if iommu else "", window=window)
    bench.plan = Plan(bench.plan.iommus, (device,))
    bench.run()
    (block,) = (known for known in bench.kernel.pages.in_use() if known.purpose == "buffer")
    assert bench.masters["nic0"].told == [(block.address, window)]
    assert block.size == pages * PAGE
    assert not bench.driver.named("map")


@pytest.mark.parametrize("domain", ["", IDENTITY, "shared"])
def test_boot_does_not_zero_what_a_device_is_to_read_and_write(domain: str) -> None:
    """Nor does that take time, then: what lay there before is there still."""
    device = DevicePlan("nic0", (1,), "iommu0" if domain else "", domain, window=2 * PAGE)
    first, second = Bench(), Bench()
    for bench in (first, second):
        bench.plan = Plan(bench.plan.iommus, (device,))
    blocks = [known.address for known in first.run().kernel.pages.in_use() if known.purpose == "buffer"]
    for block in blocks:  # the second boot takes the same pages as the first
        second.machine.memory.poke(block, 8, 5)
    assert [known.address for known in second.run().kernel.pages.in_use() if known.purpose == "buffer"] == blocks
    assert {second.machine.memory.peek(block, 8) for block in blocks} == {5}


@pytest.mark.parametrize("domain", ["", IDENTITY, "shared"])
def test_a_window_is_of_its_devices_node_wherever_boot_runs(domain: str) -> None:
    bench = Bench(nodes=2)
    device = DevicePlan("nic0", (1,), "iommu0" if domain else "", domain, node=1, window=2 * PAGE)
    bench.plan = Plan(bench.plan.iommus, (device,))
    bench.run()
    blocks = [known.address for known in bench.kernel.pages.in_use() if known.purpose == "buffer"]
    assert min(blocks) >= BASE + 8 * MIB


def test_boot_goes_on_without_what_a_thread_wants_to_be_set_up() -> None:
    lazy = workload("map-unmap", domain="nowhere", mode="lazy", count=1)
    bench = Bench().run(lazy, workload("map", domain="shared", buffer="x"))
    assert bench.machine.log[0] == "error: cpu0.map-unmap: -ENODEV: there is no domain 'nowhere' for DMA"
    assert bench.count(Mapped) == 1


def test_threads_may_follow_one_another_in_a_row() -> None:
    first = workload("map", domain="shared", buffer="x")
    second = workload("map", domain="shared", buffer="y", after="cpu0.map")
    third = workload("map", domain="shared", buffer="z", after="cpu0.map2")
    assert list(Bench().run(first, second, third).runtime.buffers) == ["x", "y", "z"]
