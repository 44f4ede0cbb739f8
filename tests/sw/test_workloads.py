"""Each workload does what its options say, logs what fails, and goes on."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from pydantic import ValidationError

from cosim.events import Attached, Mapped, Unmapped
from cosim.spec.pagetable import PAGE
from cosim.sw.boot import Plan
from cosim.sw.iommu_core import IommuCore
from cosim.sw.iommu_ops import Domain
from cosim.sw.kernel.errors import KernelError
from cosim.sw.workloads import PREPARE, thread_names, thread_paths
from cosim.units.quantities import MIB, MS, US
from tests.sw.bench import TOP, Bench, workload


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


@pytest.mark.parametrize(("devices", "told"), [("nic0", ["nic0"]), (("nic1", "n*0"), ["nic1", "n*0"])])
def test_a_domain_cycle_tells_its_devices_of_the_buffer_unless_they_do_not_use_it(
    devices: str | tuple[str, ...], told: list[str]
) -> None:
    assert list(workload("domain-cycle", devices=devices).tells()) == told
    assert not workload("domain-cycle", devices=devices, use=False).tells()


# --- Map and unmap ---------------------------------------------------------------------------------------------------


def test_map_unmap_makes_its_rounds_with_pages_that_come_back() -> None:
    bench = Bench().run(workload("map-unmap", domain="shared", pages=4, count=3, device="nic0"))
    assert [call.call for call in bench.calls if call.who == "cpu0.map-unmap"] == ["map", "unmap"] * 3
    assert bench.masters["nic0"].told == [(TOP - 3 * PAGE, 4 * PAGE)] * 3, "the same IOVA each time"
    addresses = [event.address for event in bench.events if isinstance(event, Mapped)]
    assert addresses == addresses[:4] * 3, "and the same pages, in their order"
    assert len(set(addresses)) == 4
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


@pytest.mark.parametrize(("contiguous", "lacks"), [(False, "page"), (True, "block of 1024 pages")])
def test_a_buffer_for_which_memory_does_not_suffice_is_not_kept_in_part(contiguous: bool, lacks: str) -> None:
    bench = Bench(size=2 * MIB).run(workload("map-unmap", domain="shared", pages=600, contiguous=contiguous, count=2))
    failed = [line for line in bench.machine.log if line.startswith("error")]
    assert failed == [f"error: -ENOMEM: no {lacks} for buffer"] * 2
    assert bench.buffers() == 0
    assert not bench.count(Mapped)


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
    moves = [event for event in bench.events if isinstance(event, Attached) and event.time > 5 * MS]
    assert [move.domain for move in moves] == ["cpu0.domain-cycle.domain", "shared"] * 3
    assert all(
        20 * US < back.time - there.time < 30 * US for there, back in zip(moves[::2], moves[1::2], strict=True)
    ), "it stays there"
    assert not bench.machine.touched


def test_a_domain_cycle_tells_its_devices_of_the_buffer_unless_it_does_not_use_them() -> None:
    bench = Bench().run(*(workload("domain-cycle", devices=f"nic{use:d}", use=use, count=1) for use in (False, True)))
    assert [len(master.told) for master in bench.masters.values()] == [0, 1]
    assert bench.count(Mapped) == 2


def test_a_domain_cycle_returns_each_of_its_devices_before_its_domain_goes() -> None:
    bench = Bench().run(workload("domain-cycle", devices="nic*", count=1))
    moves = [(event.device, event.domain) for event in bench.events if isinstance(event, Attached)][2:]
    there = "cpu0.domain-cycle.domain"
    assert moves == [("nic0", there), ("nic1", there), ("nic0", "shared"), ("nic1", "shared")]


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


@pytest.mark.parametrize("other", [{"does": "unplug", "devices": "nic*"}, {"does": "unplug-iommu", "iommu": "iommu0"}])
def test_what_two_threads_take_away_goes_once(other: dict[str, str]) -> None:
    bench = Bench(window=PAGE).run(workload("unplug", devices="nic*"), workload(on="cpu1", **other))
    assert not bench.runtime.core.devices
    assert sorted(bench.driver.named("release")) == ["release nic0", "release nic1"]
    assert not bench.machine.log


def test_what_is_meant_for_an_iommu_that_is_away_fails() -> None:
    forward = workload("forward-command", iommu="iommu0", words=(0, 0), start="1 ms")
    bench = Bench().run(workload("unplug-iommu", iommu="iommu0"), forward)
    assert bench.machine.log == ["error: -ENODEV: there is no IOMMU iommu0"]
    assert not bench.driver.forwarded


def test_an_unplugged_iommu_takes_its_devices_along() -> None:
    bench = Bench().run(workload("unplug-iommu", iommu="iommu0"))
    assert not bench.runtime.core.devices
    told = [call for call in bench.driver.calls if call.startswith(("stop", "release", "remove"))]
    assert told == ["stop nic0", "stop nic1", "release nic0", "release nic1", "remove_iommu"]


def test_a_shutdown_stops_the_devices_and_leaves_the_iommus_to_the_next_kernel() -> None:
    bench = Bench(window=PAGE).run(workload("shutdown"))
    assert bench.driver.calls[-3:] == ["stop nic0", "stop nic1", "shutdown"]


@pytest.mark.parametrize("mode", ["strict", "lazy"])
def test_the_next_kernel_knows_no_device_and_no_domain_and_their_memory_is_not_lost(mode: str) -> None:
    """Nor is what an unmap has left to a flush queue that the next kernel has not."""
    bench = Bench()
    bench.driver.deferring = mode == "lazy"
    maps = workload("map-unmap", domain="shared", mode=mode, count=1)
    bench.run(maps, workload("shutdown", start="1 ms"), workload("probe-again", start="2 ms"))
    core = bench.runtime.core
    assert not core.devices
    assert not core.domains
    assert not bench.runtime.dma
    assert not bench.runtime.leaks()
    with pytest.raises(KernelError, match="there is no domain 'shared'"):
        bench.runtime.domain("shared")


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


def test_domains_are_made_until_there_are_so_many_and_are_all_freed(monkeypatch: pytest.MonkeyPatch) -> None:
    made, alloc = list[str](), IommuCore.domain_alloc

    async def told(core: IommuCore, name: str, device: str | None = None) -> Domain:
        made.append(name)
        return await alloc(core, name, device)

    monkeypatch.setattr(IommuCore, "domain_alloc", told)
    bench = Bench().run(workload("exhaust-domains", most=20, count=1))
    assert made[-20:] == [f"cpu0.exhaust-domains.{n}" for n in range(20)]
    assert set(bench.runtime.core.domains) == {"shared", "other"}
    assert set(bench.driver.tables) == {"shared", "other"}


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("unmap-twice", "cleared only 0x0"),
        ("unmap-unmapped", "cleared only 0x0"),
        ("map-twice", "succeeded: it leads to"),
        ("unaligned", "unaligned: iova 0xfffff800"),
        ("free-mapped", ""),
    ],
)
def test_misuse_is_answered_as_linux_answers_it(what: str, says: str) -> None:
    bench = Bench().run(workload("misuse", domain="shared", what=what))
    assert any(says in line for line in bench.machine.log) if says else not bench.machine.log
    assert bench.buffers() == 0


def test_misuse_that_gets_no_buffer_keeps_no_page() -> None:
    bench = Bench()
    bench.driver.refuses.add(("shared", TOP))
    bench.run(workload("misuse", domain="shared", what="unmap-twice"))
    assert bench.machine.log == [f"error: -ENOMEM: map of {TOP:#x} in shared"]
    assert bench.buffers() == 0


def test_who_maps_twice_is_told_where_the_page_led_before_and_leads_now() -> None:
    bench = Bench().run(workload("misuse", domain="shared", what="map-twice"))
    (mapped,) = (event for event in bench.events if isinstance(event, Mapped))
    (line,) = bench.machine.log
    before, _, now = line.removeprefix(f"warning: map of {mapped.iova:#x}, which was mapped to ").partition(", ")
    assert int(before, 16) == mapped.address
    assert now.startswith("succeeded: it leads to ")
    assert int(now.rpartition(" ")[2], 16) not in (0, mapped.address)


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
