"""Devices and IOMMUs that leave while others use their group, or take them out as well."""

from __future__ import annotations

import pytest

from cosim.events import ObjectFreed
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


def test_nothing_leads_to_what_a_device_had_when_that_is_freed() -> None:
    bench = Bench()
    word = int(bench.core.devices["nic0"].object.iommu.address)
    seen: list[tuple[str, int]] = []
    memory = bench.machine.memory
    bench.machine.sim.probe(ObjectFreed).watch(lambda event: seen.append((event.purpose, memory.read(word, 8))))
    assert memory.read(word, 8)
    bench.machine.run(bench.core.release_device("nic0"))
    assert ("DevIommu", 0) in seen


def test_a_device_joins_no_group_while_its_members_are_being_attached() -> None:
    bench = Bench(group="slot")

    async def joins() -> None:
        await Sleep(1_500_000)
        await bench.core.probe_device("nic9", (9,), "iommu0", group="slot")

    bench.machine.start(bench.core.attach("nic0", bench.core.domains["a"]), cpu="cpu0")
    bench.machine.start(joins(), cpu="cpu1")
    bench.machine.go()
    assert "probe nic9" in bench.driver.calls
    assert not [call for call in bench.driver.calls if call.startswith("attach nic9")]


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


def test_a_domain_that_is_freed_while_a_device_is_on_its_way_there_is_none_that_a_group_is_in() -> None:
    bench = Bench()

    async def frees() -> None:
        await Sleep(500_000)
        await bench.core.domain_free("a")

    bench.machine.start(bench.core.attach("nic0", bench.core.domains["a"]), cpu="cpu0")
    bench.machine.start(frees(), cpu="cpu1")
    bench.machine.go()
    assert bench.domain("nic0") == "none"
    assert not bench.machine.log
