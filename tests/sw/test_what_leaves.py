"""Devices and IOMMUs that leave while others use their group, or take them out as well."""

from __future__ import annotations

import pytest

from cosim.sim.operations import Sleep
from cosim.sw.iommu_ops import Device, Domain
from cosim.sw.kernel.errors import KernelError
from tests.sw.test_iommu_core import Bench


def test_a_group_of_which_a_member_leaves_stays_in_its_domain_while_it_has_another_one() -> None:
    bench = Bench(group="slot")

    async def body() -> None:
        await bench.core.attach("nic0", bench.core.domains["a"])
        await bench.core.release_device("nic1")
        with pytest.raises(KernelError, match="-EBUSY: nic0 is in the domain a"):
            await bench.core.attach("nic0", bench.core.domains["b"])
        await bench.core.detach("nic2")

    bench.machine.run(body())
    assert bench.domain("nic0") == "home"


@pytest.mark.parametrize(("has_blocked", "domain"), [(True, ""), (False, "home")])
def test_a_driver_is_told_of_the_domain_that_a_device_leaves_from(
    has_blocked: bool, domain: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, told = Bench(has_blocked=has_blocked), list[Domain | None]()

    async def release(device: Device, old: Domain | None) -> None:
        told.append(old)

    monkeypatch.setattr(bench.driver, "release_device", release)
    bench.machine.run(bench.core.release_device("nic0"))
    assert [old.name for old in told if old] == [domain]


def test_behind_an_iommu_that_has_left_no_device_is_found_and_it_is_not_probed_again() -> None:
    bench = Bench()

    async def body() -> None:
        await bench.core.remove_iommu("iommu0")
        for late in (bench.core.probe_device("nic9", (9,), "iommu0"), bench.core.probe_again("iommu0")):
            with pytest.raises(KernelError, match="-ENODEV: there is no IOMMU iommu0"):
                await late

    bench.machine.run(body())
    assert set(bench.machine.kernel.pages.purposes()) == {"FakeDomain"}, "nothing is kept of what was not found"


@pytest.mark.parametrize("late", [0, 1_500_000])
def test_of_two_threads_that_take_an_iommu_out_one_does(late: int) -> None:
    """Each device behind it is released once, by whichever of them comes first."""
    bench = Bench()
    failed: list[str] = []

    async def remove(at: int) -> None:
        await Sleep(at)
        try:
            await bench.core.remove_iommu("iommu0")
        except KernelError as error:
            failed.append(error.name)

    bench.machine.start(remove(0), cpu="cpu0")
    bench.machine.start(remove(late), cpu="cpu1")
    bench.machine.go()
    assert sorted(bench.driver.named("release")) == ["release nic0", "release nic1", "release nic2"]
    assert bench.driver.named("remove") == ["remove_iommu"]
    assert failed == ["ENODEV"]
    assert not bench.machine.log
    assert not bench.machine.touched
