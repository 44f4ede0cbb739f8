"""Each workload does what its options say, logs what fails, and goes on."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from cosim.events import Attached, CallDone, Mapped, Unmapped
from cosim.spec.pagetable import PAGE
from cosim.sw.boot import Plan, boot
from cosim.sw.device_plan import DevicePlan
from cosim.sw.iommu_core import IommuCore
from cosim.sw.iommu_ops import IDENTITY, Hardware
from cosim.sw.kernel.options import KernelOptions
from cosim.sw.runtime import Runtime
from cosim.sw.workloads import PREPARE, AnyWorkload, thread_names, thread_paths
from cosim.units.quantities import MIB, MS, US
from tests.sw.fake_driver import FakeDriver
from tests.sw.machine import BASE, Machine

WORKLOAD: TypeAdapter[Any] = TypeAdapter(AnyWorkload)
TOP = 0xFFFF_F000


def workload(does: str, **options: object) -> Any:
    return WORKLOAD.validate_python({"on": "cpu0", "does": does, **options})


class FakeMaster:
    """A device that notes what it is told; that it is stopped, among the calls of the driver of IOMMUs as well."""

    def __init__(self, name: str, calls: list[str]) -> None:
        self.name, self.calls = name, calls
        self.told: list[tuple[int, int] | str] = []
        self.not_before_ps = 0

    async def start(self, iova: int, size: int, *, not_before_ps: int = 0) -> None:
        self.told.append((iova, size))
        self.not_before_ps = not_before_ps

    async def stop(self) -> None:
        self.told.append("stop")
        self.calls.append(f"stop {self.name}")


class Bench:
    """Real CPUs, a fake driver, two devices in the domain `shared`, and the domain `other`."""

    def __init__(self, *, size: int = 16 * MIB, window: int = 0, nodes: int = 1) -> None:
        options = KernelOptions(kfree_rcu_delay="0 ns")
        self.machine = Machine(cpus=3, model="rvwmo", size=size, nodes=nodes, options=options)
        kernel = self.kernel = self.machine.kernel
        self.driver = FakeDriver(kernel)
        core = IommuCore(kernel, self.driver)
        self.masters = {name: FakeMaster(name, self.driver.calls) for name in ("nic0", "nic1")}
        self.runtime = Runtime(kernel, self.driver, core, self.masters)
        self.plan = Plan(
            (Hardware("iommu0", 0x300_0000, (16, 17, 18, 19), "cpu0"),),
            tuple(DevicePlan(name, (n,), "iommu0", "shared", window=window) for n, name in enumerate(self.masters, 1)),
            ("other",),
        )
        self.events: list[object] = []
        for event in (Mapped, Unmapped, Attached):
            self.machine.sim.probe(event).watch(self.events.append)
        self.calls: list[CallDone] = []
        self.machine.sim.probe(CallDone).watch(self.calls.append)

    def run(self, *threads: Any, until: int = 100 * MS) -> Bench:
        plan = Plan(self.plan.iommus, self.plan.devices, self.plan.domains, threads)
        self.kernel.boot()
        self.kernel.start("cpu2", "boot", boot(self.runtime, plan))
        self.machine.go(until=until)
        return self

    def count(self, kind: type) -> int:
        return sum(isinstance(event, kind) for event in self.events)

    def buffers(self) -> int:
        return self.kernel.pages.purposes()["buffer"] // PAGE


# --- Boot ------------------------------------------------------------------------------------------------------------


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


def test_boot_goes_on_without_a_device_that_fails() -> None:
    bench = Bench(window=PAGE)
    bench.driver.refuses.add(("probe", "nic0"))
    bench.run()
    assert bench.machine.log[0] == "error: nic0: no translation: -ENODEV: refused"
    assert not bench.masters["nic0"].told
    assert bench.masters["nic1"].told


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
def test_a_window_is_of_its_devices_node_wherever_boot_runs(domain: str) -> None:
    bench = Bench(nodes=2)
    device = DevicePlan("nic0", (1,), "iommu0" if domain else "", domain, node=1, window=2 * PAGE)
    bench.plan = Plan(bench.plan.iommus, (device,))
    bench.run()
    blocks = [known.address for known in bench.kernel.pages.in_use() if known.purpose == "buffer"]
    assert min(blocks) >= BASE + 8 * MIB


def test_threads_are_named_by_what_they_do() -> None:
    threads = [
        workload("map-unmap", domain="shared"),
        workload("map-unmap", domain="shared"),
        workload("map-unmap", domain="shared", on="cpu1"),
        workload("synchronize-rcu"),
    ]
    assert thread_names(threads) == ["map-unmap", "map-unmap2", "map-unmap", "synchronize-rcu"]
    paths = ["cpu0.map-unmap", "cpu0.map-unmap2", "cpu1.map-unmap", "cpu0.synchronize-rcu"]
    assert thread_paths(threads) == paths
    assert thread_paths(threads, PREPARE) == [path.replace(".", ".prepare-") for path in paths]


# --- Map and unmap ---------------------------------------------------------------------------------------------------


def test_map_unmap_makes_its_rounds_with_pages_that_come_back() -> None:
    bench = Bench().run(workload("map-unmap", domain="shared", pages=4, count=3, device="nic0"))
    assert [call.call for call in bench.calls if call.who == "cpu0.map-unmap"] == ["map", "unmap"] * 3
    assert bench.masters["nic0"].told == [(TOP - 3 * PAGE, 4 * PAGE)] * 3, "the same IOVA each time"
    addresses = {event.address for event in bench.events if isinstance(event, Mapped)}
    assert len(addresses) == 4, "and the same pages"
    assert bench.buffers() == 0


def test_pages_are_freed_after_the_unmap_has_returned() -> None:
    bench = Bench().run(workload("map-unmap", domain="shared", pages=2, count=5, hold="1 us"))
    assert not bench.machine.touched
    assert bench.count(Mapped) == 10
    assert bench.count(Unmapped) == 5


def test_map_unmap_holds_for_as_long_and_rests_for_as_long_as_it_is_told() -> None:
    bench = Bench().run(workload("map-unmap", domain="shared", count=3, hold="50 us", gap="200 us", start="1 ms"))
    unmaps = [call for call in bench.calls if call.call == "unmap"]
    maps = [call for call in bench.calls if call.call == "map"]
    assert maps[0].began > 1 * MS
    assert all(50 * US <= unmap.began - map_.time < 60 * US for map_, unmap in zip(maps, unmaps, strict=True))
    assert all(200 * US <= later.began - unmap.time < 210 * US for later, unmap in zip(maps[1:], unmaps, strict=False))


def test_a_contiguous_buffer_is_mapped_in_large_pages() -> None:
    bench = Bench().run(workload("map-unmap", domain="shared", pages=512, contiguous=True, count=1))
    assert bench.driver.named("map") == ["map 1 x 0x200000"]


@pytest.mark.parametrize(("direction", "prot"), [("bidirectional", "rw"), ("to-device", "r"), ("from-device", "w")])
def test_what_is_mapped_permits_what_the_direction_of_its_data_needs(direction: str, prot: str) -> None:
    bench = Bench().run(workload("map-unmap", domain="shared", direction=direction, count=1))
    assert [event.prot for event in bench.events if isinstance(event, Mapped)] == [prot]


def test_pages_that_are_not_freed_are_used_again() -> None:
    bench = Bench().run(workload("map-unmap", domain="shared", pages=2, count=3, free=False))
    assert bench.buffers() == 2


def test_a_round_that_fails_is_logged_and_leaves_nothing() -> None:
    bench = Bench()
    bench.driver.refuses.add(("shared", TOP - PAGE))
    bench.run(workload("map-unmap", domain="shared", pages=2, count=2))
    assert bench.machine.log == [f"error: -ENOMEM: map of {TOP - PAGE:#x} in shared"] * 2
    assert bench.buffers() == 0


def test_one_lazy_thread_asks_for_a_lazy_domain_which_the_driver_may_refuse() -> None:
    bench = Bench().run(workload("map-unmap", domain="shared", mode="lazy", count=1))
    assert bench.machine.log == ["info: shared: the driver does not defer flushes; unmaps are strict"]
    assert bench.count(Unmapped) == 1
    with pytest.raises(ValidationError, match="Input should be 'strict' or 'lazy'"):
        workload("map-unmap", domain="shared", mode="eager")


# --- Attaching -------------------------------------------------------------------------------------------------------


def test_attach_detach_visits_each_domain_with_each_device_and_returns() -> None:
    domains = ["other", "identity"]
    bench = Bench().run(workload("attach-detach", devices="nic*", domains=domains, count=2, stay="50 us"))
    moves = [event for event in bench.events if isinstance(event, Attached)][2:]
    one_round = [(device, domain) for domain in (*domains, "shared") for device in ("nic0", "nic1")]
    assert [(event.device, event.domain) for event in moves] == one_round * 2
    stays = [later.time - event.time for event, later in pairwise(moves[:6])][1::2]
    assert all(50 * US < stay < 60 * US for stay in stays), "the devices stay in each of them"


def test_attach_without_detach_stays() -> None:
    bench = Bench().run(workload("attach-detach", devices="nic1", domains="other", detach=False, count=1))
    moves = [(event.device, event.domain) for event in bench.events if isinstance(event, Attached)][2:]
    assert moves == [("nic1", "other")]


def test_a_domain_cycle_leaves_nothing_behind() -> None:
    bench = Bench()
    before: list[object] = []
    bench.machine.sim.at(5 * MS, 1 << 62, lambda: before.append(bench.kernel.pages.purposes()))
    cycle = workload("domain-cycle", devices="nic0", pages=3, stay="20 us", count=3, start="10 ms")
    bench.run(cycle)
    assert bench.kernel.pages.purposes() == before[0]
    assert len(bench.masters["nic0"].told) == 3
    moves = [event.domain for event in bench.events if isinstance(event, Attached) and event.time > 5 * MS]
    assert moves == ["cpu0.domain-cycle.domain", "shared"] * 3
    assert not bench.machine.touched


@pytest.mark.parametrize(("order", "begins"), [("map-first", [Mapped, Attached]), ("attach-first", [Attached, Mapped])])
def test_in_a_domain_cycle_the_buffer_is_unmapped_while_the_device_is_still_there(
    order: str, begins: list[type]
) -> None:
    """The device may reach the buffer late, and is not moved away from that."""
    bench = Bench().run(workload("domain-cycle", devices="nic0", order=order, count=1))
    assert [type(event) for event in bench.events][2:] == [*begins, Unmapped, Attached], "behind those of boot"


def test_a_domain_cycle_that_fails_is_undone() -> None:
    bench = Bench()
    bench.driver.refuses.add(("cpu0.domain-cycle.domain", "nic1"))
    bench.run(workload("domain-cycle", devices="nic*", count=1))
    assert bench.machine.log[-1] == "error: -EINVAL: refused"
    assert bench.buffers() == 0
    assert "cpu0.domain-cycle.domain" not in bench.runtime.dma


# --- Waiting ---------------------------------------------------------------------------------------------------------


def test_a_held_read_section_holds_up_a_grace_period() -> None:
    hold = workload("hold-rcu", **{"for": "30 ms"}, count=1)
    wait = workload("synchronize-rcu", on="cpu1", start="5 ms", count=1)
    (call,) = (call for call in Bench().run(hold, wait).calls if call.call == "synchronize_rcu")
    assert 30 * MS < call.time < 32 * MS
    assert call.parts["rcu"] > 20 * MS


@pytest.mark.parametrize("masked", [False, True])
def test_computing_with_interrupts_masked_holds_up_grace_periods_and_interrupts(masked: bool) -> None:
    bench, fired = Bench(), list[int]()

    async def fire() -> None:
        fired.append(bench.machine.sim.now)

    timers = bench.kernel.timers
    bench.kernel.start("cpu0", "arms", timers.arm(timers.new("test", fire), 10 * MS))
    compute = workload("compute", **{"for": "30 ms"}, interrupts=not masked, count=1)
    wait = workload("synchronize-rcu", on="cpu1", start="5 ms", count=1)
    (call,) = (call for call in bench.run(compute, wait).calls if call.call == "synchronize_rcu")
    assert (call.time > 30 * MS, fired[0] > 30 * MS) == (masked, masked)


# --- Trouble ---------------------------------------------------------------------------------------------------------


def test_an_unplugged_device_is_stopped_first_and_then_released() -> None:
    bench = Bench(window=PAGE).run(workload("unplug", devices="nic1"))
    assert list(bench.runtime.core.devices) == ["nic0"]
    assert bench.driver.calls[-3:] == ["stop nic1", "attach nic1 shared -> ", "release nic1"]


def test_a_device_that_boot_does_not_find_is_found_by_a_thread() -> None:
    bench = Bench()
    first, second = bench.plan.devices
    bench.plan = Plan(bench.plan.iommus, (first, replace(second, ids=(2, 9), plugged=False)), ("other",))
    bench.run(workload("plug", devices="nic*", start="1 ms"))
    attached = [event for event in bench.events if isinstance(event, Attached)]
    assert [(event.device, event.device_ids) for event in attached] == [("nic0", (1,)), ("nic1", (2, 9))]
    assert attached[1].time >= bench.runtime.origin.time_ps + 1 * MS > attached[0].time
    assert not bench.runtime.absent


def test_a_device_that_is_not_stopped_goes_on_while_it_is_released() -> None:
    bench = Bench(window=PAGE).run(workload("unplug", devices="nic1", stop=False))
    assert "stop" not in bench.masters["nic1"].told
    assert bench.driver.named("release") == ["release nic1"]


def test_an_unplugged_iommu_takes_its_devices_along() -> None:
    bench = Bench().run(workload("unplug-iommu", iommu="iommu0"))
    assert not bench.runtime.core.devices
    told = [call for call in bench.driver.calls if call.startswith(("stop", "release", "remove"))]
    assert told == ["stop nic0", "stop nic1", "release nic0", "release nic1", "remove_iommu"]


def test_a_shutdown_stops_the_devices_and_leaves_the_iommus_to_the_next_kernel() -> None:
    bench = Bench(window=PAGE).run(workload("shutdown"))
    assert bench.driver.calls[-3:] == ["stop nic0", "stop nic1", "shutdown"]
    assert list(bench.runtime.core.devices) == ["nic0", "nic1"]


def test_the_next_kernel_probes_what_was_left_and_keeps_away_from_the_memory_of_the_last_one() -> None:
    bench = Bench()
    bench.run(workload("probe-again", start="1 ms"))
    core = bench.runtime.core
    (left,) = core.left
    assert int(core.iommus["iommu0"].address) != int(left.address)
    assert not bench.runtime.leaks()


@pytest.mark.parametrize(("iova", "leads"), [(TOP, True), (0x1000, False)])
def test_where_an_iova_leads_is_told(iova: int, leads: bool) -> None:
    bench = Bench()
    bench.run(
        workload("map", domain="shared", buffer="x"),
        workload("iova-to-phys", domain="shared", iova=iova, start="1 ms"),
    )
    (line,) = [line for line in bench.machine.log if "leads to" in line]
    told = int(line.rpartition(" ")[2], 16)
    assert told == (bench.runtime.buffers["x"].pieces[0].address if leads else 0)


def test_when_memory_is_exhausted_others_fail_and_then_recover() -> None:
    bench = Bench(size=2 * MIB)
    others = workload("map-unmap", domain="shared", on="cpu1", gap="1 ms")
    bench.run(workload("exhaust-memory", hold="10 ms", start="5 ms", count=1), others)
    assert any("pages were allocated: -ENOMEM" in line for line in bench.machine.log)
    assert any(line == "error: -ENOMEM: no page for buffer" for line in bench.machine.log)
    unmaps = [call.time for call in bench.calls if call.call == "unmap"]
    assert min(unmaps) < 5 * MS
    assert max(unmaps) > 50 * MS


def test_what_is_left_to_others_suffices_them() -> None:
    bench = Bench(size=2 * MIB)
    others = workload("map-unmap", domain="shared", on="cpu1", gap="1 ms")
    bench.run(workload("exhaust-memory", leave="64 KiB", hold="10 ms", start="5 ms", count=1), others)
    assert not any(line.startswith("error") for line in bench.machine.log)


def test_domains_are_made_until_there_are_no_more_and_are_all_freed() -> None:
    bench = Bench().run(workload("exhaust-domains", most=20, count=1))
    assert set(bench.runtime.core.domains) == {"shared", "other"}
    assert set(bench.driver.tables) == {"shared", "other"}


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("unmap-twice", "cleared only 0x0"),
        ("unmap-unmapped", "cleared only 0x0"),
        ("map-twice", "succeeded: it leads to"),
        ("unaligned", "unaligned: iova 0xfffff800"),
    ],
)
def test_misuse_is_answered_as_linux_answers_it(what: str, says: str) -> None:
    bench = Bench().run(workload("misuse", domain="shared", what=what))
    assert any(says in line for line in bench.machine.log)
    assert bench.buffers() == 0


@pytest.mark.parametrize(("gap", "times"), [("0 ns", range(50, 110)), ("2 ms", range(3, 6))])
def test_a_domain_that_does_not_exist_is_logged_at_a_bearable_pace(gap: str, times: range) -> None:
    bench = Bench().run(workload("map-unmap", domain="nowhere", gap=gap), until=10 * MS)
    assert len(bench.machine.log) in times
    assert set(bench.machine.log) == {"error: -ENODEV: there is no domain 'nowhere' for DMA"}


def test_gaps_that_are_drawn_have_the_mean_that_is_asked_for_and_differ() -> None:
    bench = Bench().run(workload("map-unmap", domain="shared", count=100, gap="50 us", gaps="exponential"))
    times = [call.time for call in bench.calls if call.call == "unmap"]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert 35 * US < sum(gaps) / len(gaps) < 70 * US
    assert min(gaps) < 5 * US < 100 * US < max(gaps)
