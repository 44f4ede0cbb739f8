"""Groups are attached as a whole, each under its own mutex; what leaves is detached first and freed at once."""

from __future__ import annotations

import errno

import pytest

from cosim.events import Attached, Attaching, CallDone, DomainFreed, DomainMade, ObjectAllocated
from cosim.sim.chooser import Scheduled
from cosim.sim.operations import Sleep
from cosim.sim.simulation import Sim
from cosim.sw.iommu_core import IommuCore
from cosim.sw.iommu_ops import DeviceObject, DevIommu, Hardware
from cosim.sw.kernel.errors import KernelError
from cosim.units.quantities import MS, US
from tests.sw.fake_driver import FakeDriver
from tests.sw.machine import Machine


class Bench:
    """A machine whose core knows an IOMMU, three devices and the domains a and b."""

    def __init__(self, *, model: str = "", has_blocked: bool = True, group: str = "") -> None:
        self.machine = Machine(cpus=3, model=model)
        self.driver = FakeDriver(self.machine.kernel, has_blocked=has_blocked)
        self.core = IommuCore(self.machine.kernel, self.driver)
        self.events: list[tuple[str, str]] = []
        self.calls: list[CallDone] = []
        self.machine.sim.probe(Attached).watch(lambda event: self.events.append((event.device, event.domain)))
        self.machine.sim.probe(CallDone).watch(self.calls.append)
        self.machine.run(self._set_up(group))
        self.driver.calls.clear()
        self.events.clear()
        self.calls.clear()

    async def _set_up(self, group: str) -> None:
        core = self.core
        await core.probe_iommu(Hardware("iommu0", 0x300_0000, (16, 17, 18, 19), "cpu0"))
        for number, name in enumerate(("nic0", "nic1", "nic2"), start=1):
            await core.probe_device(name, (number,), "iommu0", group=group)
        for name in ("home", "a", "b"):
            await core.domain_alloc(name)
        for name in ("nic0", "nic1", "nic2"):
            await core.set_default_domain(name, core.domains["home"])

    def domain(self, device: str) -> str:
        found = self.machine.run(self.core.domain_of(device))
        return "none" if found is None else found.name


def test_each_domain_is_told_of_once_it_is_there() -> None:
    bench = Bench()
    made: list[str] = []
    bench.machine.sim.probe(DomainMade).watch(lambda event: made.append(event.domain))
    bench.machine.run(bench.core.domain_alloc("c"))
    assert made == ["c"]


def test_a_domain_that_goes_is_told_of_while_its_table_is_there() -> None:
    bench, left = Bench(), list[tuple[str, bool]]()
    bench.machine.sim.probe(DomainFreed).watch(lambda event: left.append((event.domain, "a" in bench.driver.tables)))
    bench.machine.run(bench.core.domain_free("a"))
    assert left == [("a", True)]
    assert "a" not in bench.driver.tables


def test_a_device_returns_to_its_default_domain_when_it_is_detached() -> None:
    bench = Bench()

    async def body() -> None:
        await bench.core.attach("nic0", bench.core.domains["a"])
        await bench.core.detach("nic0")

    bench.machine.run(body())
    assert bench.events == [("nic0", "a"), ("nic0", "home")]
    assert bench.driver.calls == ["attach nic0 home -> a", "attach nic0 a -> home"]
    assert bench.domain("nic0") == "home"


def test_a_group_is_in_its_first_domain_even_if_the_driver_could_not_put_it_there() -> None:
    """And returns to it; a later one that fails changes nothing."""
    bench = Bench()

    async def body() -> None:
        await bench.core.probe_device("nic3", (4,), "iommu0")
        bench.driver.refuses = {("home", "nic3")}
        with pytest.raises(KernelError):
            await bench.core.set_default_domain("nic3", bench.core.domains["home"])
        bench.driver.refuses = {("a", "nic0")}
        with pytest.raises(KernelError):
            await bench.core.set_default_domain("nic0", bench.core.domains["a"])
        assert [await bench.core.domain_of(name) for name in ("nic3", "nic0")] == [bench.core.domains["home"]] * 2
        bench.driver.refuses.clear()
        for name in ("nic3", "nic0"):
            await bench.core.attach(name, bench.core.domains["b"])
            await bench.core.detach(name)

    bench.machine.run(body())
    assert bench.events == [(name, domain) for name in ("nic3", "nic0") for domain in ("b", "home")]


def test_a_group_in_another_domain_is_busy_but_can_be_moved() -> None:
    bench = Bench()

    async def body() -> None:
        await bench.core.attach("nic0", bench.core.domains["a"])
        with pytest.raises(KernelError, match="-EBUSY: nic0 is in the domain a"):
            await bench.core.attach("nic0", bench.core.domains["b"])
        await bench.core.replace("nic0", bench.core.domains["b"])

    bench.machine.run(body())
    assert bench.domain("nic0") == "b"


def test_attaching_the_same_domain_again_asks_nothing_of_the_driver() -> None:
    bench = Bench()
    bench.machine.run(bench.core.replace("nic0", bench.core.domains["home"]))
    assert not bench.driver.calls


def test_members_of_a_group_are_attached_together() -> None:
    bench = Bench(group="slot")
    bench.machine.run(bench.core.attach("nic1", bench.core.domains["a"]))
    assert bench.events == [("nic0", "a"), ("nic1", "a"), ("nic2", "a")]


def test_if_one_member_fails_the_earlier_ones_return_to_where_they_were() -> None:
    """Where each begins to go, and to go back, is told, since it may reach both domains until then."""
    bench = Bench(group="slot")
    bench.driver.refuses.add(("a", "nic2"))
    begun: list[tuple[str, str]] = []
    bench.machine.sim.probe(Attaching).watch(lambda event: begun.append((event.device, event.domain)))

    async def body() -> None:
        with pytest.raises(KernelError, match="-EINVAL: refused"):
            await bench.core.attach("nic0", bench.core.domains["a"])

    bench.machine.run(body())
    assert bench.driver.calls == [
        "attach nic0 home -> a",
        "attach nic1 home -> a",
        "attach nic2 home -> a",
        "attach nic0 a -> home",
        "attach nic1 a -> home",
    ]
    assert begun == [(f"nic{n}", domain) for n, domain in ((0, "a"), (1, "a"), (2, "a"), (0, "home"), (1, "home"))]
    assert bench.events == [(f"nic{n}", domain) for domain in ("a", "home") for n in (0, 1)], "and where each came to"
    assert bench.domain("nic0") == "home"
    assert bench.machine.log == ["error: nic2: attach to a failed: -EINVAL: refused"]
    assert [call.failed for call in bench.calls if call.call == "attach"] == ["EINVAL"]


def test_a_return_that_fails_as_well_is_logged() -> None:
    bench = Bench(group="slot")
    bench.driver.refuses |= {("a", "nic1"), ("home", "nic0")}

    async def body() -> None:
        with pytest.raises(KernelError):
            await bench.core.attach("nic0", bench.core.domains["a"])

    bench.machine.run(body())
    assert bench.machine.log[1] == "error: nic0: could not be returned to home: -EINVAL: refused"
    assert bench.events == [("nic0", "a")], "nobody is told that it is back"


@pytest.mark.parametrize("model", ["", "rvwmo"])
@pytest.mark.parametrize(("group", "together"), [("", 2), ("slot", 1)])
def test_one_domain_is_attached_side_by_side_by_two_groups_but_not_by_one(
    model: str, group: str, together: int
) -> None:
    bench = Bench(model=model, group=group)

    async def attach(device: str, domain: str) -> None:
        await bench.core.replace(device, bench.core.domains[domain])

    bench.driver.most_attaching = 0
    bench.machine.start(attach("nic0", "a"), cpu="cpu0")
    bench.machine.start(attach("nic1", "a" if not group else "b"), cpu="cpu1")
    bench.machine.go()
    assert bench.driver.most_attaching == together
    assert not bench.machine.log


def test_without_a_default_domain_a_device_is_blocked_when_detached() -> None:
    bench = Bench()

    async def body() -> None:
        await bench.core.probe_device("nic3", (4,), "iommu0")
        await bench.core.attach("nic3", bench.core.domains["a"])
        await bench.core.detach("nic3")

    bench.machine.run(body())
    assert bench.events == [("nic3", "a"), ("nic3", "")]


def test_a_device_that_is_blocked_can_be_attached() -> None:
    bench = Bench()

    async def body() -> None:
        await bench.core.probe_device("nic3", (4,), "iommu0")
        await bench.core.attach("nic3", bench.core.domains["a"])
        await bench.core.detach("nic3")
        await bench.core.attach("nic3", bench.core.domains["b"])

    bench.machine.run(body())
    assert bench.domain("nic3") == "b"


def test_without_a_blocking_domain_there_is_nowhere_to_return_to() -> None:
    bench = Bench(has_blocked=False)

    async def body() -> None:
        await bench.core.probe_device("nic3", (4,), "iommu0")
        await bench.core.attach("nic3", bench.core.domains["a"])
        with pytest.raises(KernelError, match="-EINVAL: nic3 has no default domain"):
            await bench.core.detach("nic3")

    bench.machine.run(body())


@pytest.mark.parametrize(("has_blocked", "blocked"), [(True, ["attach nic0 home -> "]), (False, [])])
def test_a_device_that_leaves_is_blocked_released_and_freed_without_a_grace_period(
    has_blocked: bool, blocked: list[str]
) -> None:
    bench = Bench(has_blocked=has_blocked)
    device = bench.core.devices["nic0"]

    async def body() -> None:
        held = DevIommu(await device.object.iommu.load())
        await bench.core.release_device("nic0")
        await held.iommu_dev.load()

    bench.machine.run(body())
    assert bench.driver.calls == [*blocked, "release nic0"]
    assert bench.events == [("nic0", "")]
    assert [touch.what for touch in bench.machine.touched] == ["DevIommu"], (
        "whoever still holds it touches freed memory"
    )
    assert "nic0" not in bench.core.devices


def test_what_is_done_with_a_device_that_has_left_is_an_error() -> None:
    bench = Bench()

    async def body() -> None:
        await bench.core.release_device("nic0")
        core, home = bench.core, bench.core.domains["home"]
        for again in (
            core.attach("nic0", home),
            core.set_default_domain("nic0", home),
            core.release_device("nic0"),
            core.domain_alloc("c", "nic0"),
        ):
            with pytest.raises(KernelError, match="-ENODEV: there is no device nic0"):
                await again
        await bench.core.probe_device("nic0", (1,), "iommu0")
        await bench.core.attach("nic0", bench.core.domains["a"])

    bench.machine.run(body())


def test_a_device_behind_an_iommu_that_is_not_in_service_is_not_found() -> None:
    bench = Bench()
    used = bench.machine.kernel.pages.purposes()

    async def body() -> None:
        with pytest.raises(KernelError, match="-ENODEV: there is no IOMMU iommu9"):
            await bench.core.probe_device("nic9", (9,), "iommu9")

    bench.machine.run(body())
    assert bench.machine.kernel.pages.purposes() == used
    assert "nic9" not in bench.core.devices


def test_a_device_may_leave_while_another_thread_attaches_it() -> None:
    bench = Bench(model="rvwmo")

    async def attach() -> None:
        for _ in range(50):
            for name in ("a", "home"):
                await bench.core.replace("nic0", bench.core.domains[name])

    async def leave() -> None:
        await Sleep(33 * US)
        await bench.core.release_device("nic0")

    async def guarded() -> None:
        with pytest.raises(KernelError, match="there is no device nic0"):
            await attach()

    bench.machine.start(guarded(), cpu="cpu0")
    bench.machine.start(leave(), cpu="cpu1")
    bench.machine.go(until=100 * MS)
    assert not bench.machine.log
    assert not bench.machine.touched


def test_an_iommu_that_leaves_takes_its_devices_along_first() -> None:
    bench = Bench()

    async def remove() -> None:
        await bench.core.probe_iommu(Hardware("iommu1", 0x301_0000, (20, 21, 22, 23), "cpu0"))
        await bench.core.probe_device("far", (9,), "iommu1")
        await bench.core.remove_iommu("iommu0")

    bench.machine.run(remove())
    assert [call for call in bench.driver.calls if "release" in call or "remove" in call] == [
        "release nic0",
        "release nic1",
        "release nic2",
        "remove_iommu",
    ]
    assert set(bench.core.devices) == {"far"}


@pytest.mark.parametrize("devices", [0, 3])
def test_an_iommu_that_is_not_there_does_not_leave(devices: int) -> None:
    bench = Bench()

    async def remove() -> None:
        for name in list(bench.core.devices)[devices:]:
            await bench.core.release_device(name)
        bench.driver.calls.clear()
        with pytest.raises(KernelError, match="there is no IOMMU iommu1") as error:
            await bench.core.remove_iommu("iommu1")
        assert error.value.code == errno.ENODEV

    bench.machine.run(remove())
    assert not bench.driver.calls
    assert set(bench.core.iommus) == {"iommu0"}


def test_a_devices_structures_point_to_its_iommu_before_they_can_be_found() -> None:
    """Also if the pointer to the IOMMU is the last to leave the store buffer."""
    sim = Sim(Scheduled(0, {"cpu0.main.st#2": 2}), hold_ps=5 * US)
    machine = Machine(model="rvwmo", sim=sim)
    core = IommuCore(machine.kernel, FakeDriver(machine.kernel))
    machine.run(core.probe_iommu(Hardware("iommu0", 0x300_0000, (16, 17, 18, 19), "cpu0")))
    found: list[int] = []

    def watch(event: ObjectAllocated) -> None:
        if event.purpose == "DeviceObject":
            iommu = event.address + DeviceObject.iommu.offset
            machine.memory.watch(iommu, lambda: found.append(machine.memory.peek(machine.memory.peek(iommu, 8), 8)))

    sim.probe(ObjectAllocated).watch(watch)
    sim.explore()
    machine.run(core.probe_device("nic0", (1,), "iommu0"))
    assert found == [core.iommus["iommu0"].address]


def test_a_device_that_its_driver_refuses_leaves_nothing_behind() -> None:
    bench = Bench()
    bench.driver.refuses.add(("probe", "nic9"))
    before = bench.machine.kernel.pages.purposes()

    async def body() -> None:
        with pytest.raises(KernelError, match="-ENODEV: refused"):
            await bench.core.probe_device("nic9", (9,), "iommu0")

    bench.machine.run(body())
    assert "nic9" not in bench.core.devices
    assert bench.machine.kernel.pages.purposes() == before
    assert bench.machine.log == ["error: nic9: no translation: -ENODEV: refused"]


@pytest.mark.parametrize("allocation", [1, 2])
def test_a_device_for_which_there_is_no_memory_leaves_nothing_behind(allocation: int) -> None:
    bench = Bench()
    pages = bench.machine.kernel.pages
    before = pages.purposes()
    pages.fail({allocation})

    async def body() -> None:
        with pytest.raises(KernelError, match="-ENOMEM"):
            await bench.core.probe_device("nic9", (9,), "iommu0")

    bench.machine.run(body())
    assert pages.purposes() == before


def test_a_call_tells_how_long_it_took_and_in_what() -> None:
    bench = Bench(model="rvwmo")
    bench.machine.run(bench.core.replace("nic0", bench.core.domains["a"]))
    (call,) = (call for call in bench.calls if call.call == "attach")
    assert sum(call.parts.values()) == call.time - call.began >= bench.driver.attach_ps


def test_domains_have_one_name_each_and_can_be_made_again_once_freed() -> None:
    bench = Bench()

    async def body() -> None:
        with pytest.raises(KernelError) as failure:
            await bench.core.domain_alloc("a")
        assert failure.value.code == errno.EEXIST
        await bench.core.domain_free("a")
        await bench.core.domain_alloc("a")

    bench.machine.run(body())
