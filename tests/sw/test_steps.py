"""Single steps leave something behind by name, and what is prepared is there before times count."""

from __future__ import annotations

import errno
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from cosim.events import AddressAsked, Attached, BootDone, Mapped, PageFreed, Unmapped
from cosim.sim.operations import Oops, Work
from cosim.spec.pagetable import PAGE
from cosim.sw.boot import Plan, boot
from cosim.sw.device_plan import DevicePlan
from cosim.sw.iommu_ops import IDENTITY, Device, Domain
from cosim.sw.kernel.errors import KernelError
from cosim.sw.runtime import Runtime
from cosim.sw.workloads.waiting import Compute
from cosim.sw.workloads.workload import WorkloadOptions
from cosim.units.quantities import MIB, MS, US
from tests.sw.bench import TOP, Bench, workload
from tests.sw.machine import BASE


class Prepared(Bench):
    """A bench whose threads begin when others have prepared something."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.booted = 0
        self.machine.sim.probe(BootDone).watch(lambda event: setattr(self, "booted", event.time))

    def go(self, prepare: list[Any], threads: list[Any], *, until: int = 100 * MS) -> Prepared:
        plan = Plan(self.plan.iommus, self.plan.devices, self.plan.domains, tuple(threads), tuple(prepare))
        self.kernel.boot()
        self.kernel.start("cpu2", "boot", boot(self.runtime, plan))
        self.machine.go(until=until)
        return self

    def times(self, kind: type) -> list[int]:
        return [event.time for event in self.events if isinstance(event, kind)]  # type: ignore[attr-defined]


MAP = workload("map", domain="shared", buffer="x")


# --- Steps -----------------------------------------------------------------------------------------------------------


def test_a_buffer_that_is_left_mapped_is_unmapped_by_its_name() -> None:
    bench = Bench().run(
        workload("map", domain="shared", buffer="x", pages=3), workload("unmap", buffer="x", start="1 ms", on="cpu1")
    )
    assert [(call.who, call.call) for call in bench.calls if call.call in ("map", "unmap")] == [
        ("cpu0.map", "map"),
        ("cpu1.unmap", "unmap"),
    ]
    assert not bench.driver.tables["shared"]
    assert bench.buffers() == 0
    assert not bench.runtime.buffers


def test_the_pages_of_a_buffer_are_freed_when_it_is_unmapped() -> None:
    bench, order = Bench(), list[type]()
    for kind in (Unmapped, PageFreed):
        bench.machine.sim.probe(kind).watch(lambda event: order.append(type(event)))
    bench.run(workload("map", domain="shared", buffer="x", pages=2), workload("unmap", buffer="x", start="1 ms"))
    assert order == [Unmapped, PageFreed, PageFreed]


def test_a_command_of_somebody_elses_is_put_into_the_queue_as_it_is() -> None:
    bench = Bench().run(workload("forward-command", iommu="iommu0", words=[0x7F, 3]))
    assert bench.driver.forwarded == [(0x7F, 3)]


def test_pages_that_are_not_freed_after_the_unmap_are_lost_to_others() -> None:
    bench = Bench().run(MAP, workload("unmap", buffer="x", start="1 ms", free=False))
    assert bench.buffers() == 1


def test_an_unmap_of_what_is_not_there_says_so() -> None:
    bench = Bench().run(MAP, *(workload("unmap", buffer="x", start=f"{n} ms") for n in (1, 2)))
    assert bench.machine.log == ["error: -ENOENT: there is no buffer x now"]
    assert bench.buffers() == 0


def test_a_map_that_fails_leaves_no_buffer() -> None:
    bench = Bench()
    bench.driver.refuses.add(("shared", TOP))
    bench.run(MAP)
    assert bench.machine.log == [f"error: -ENOMEM: map of {TOP:#x} in shared"]
    assert not bench.runtime.buffers
    assert bench.buffers() == 0


def test_a_contiguous_buffer_is_one_block() -> None:
    bench = Bench().run(workload("map", domain="shared", buffer="x", pages=512, contiguous=True))
    assert bench.driver.named("map") == ["map 1 x 0x200000"]


@pytest.mark.parametrize(("pages", "block"), [(1, 1), (2, 2), (3, 4), (4, 4), (5, 8)])
def test_a_contiguous_buffer_lies_in_the_smallest_block_that_holds_it(pages: int, block: int) -> None:
    bench = Bench().run(workload("map", domain="shared", buffer="x", pages=pages, contiguous=True))
    ((_, size),) = bench.runtime.buffers["x"].pieces
    assert (size, bench.buffers()) == (pages * PAGE, block)


def test_a_map_permits_what_the_direction_of_its_data_needs() -> None:
    bench = Bench().run(workload("map", domain="shared", buffer="x", direction="to-device"))
    assert [event.prot for event in bench.events if isinstance(event, Mapped)] == ["r"]


def test_a_lazy_map_asks_for_a_lazy_domain() -> None:
    bench = Bench().run(workload("map", domain="shared", buffer="x", mode="lazy"))
    assert bench.machine.log == ["info: shared: the driver does not defer flushes; unmaps are strict"]


def test_a_device_is_told_of_a_buffer_or_of_any_window() -> None:
    bench = Bench().run(
        workload("map", domain="shared", buffer="x", pages=2),
        workload("tell", device="nic0", buffer="x", start="1 ms"),
        workload("tell", device="nic1", iova=0x4000_0000, size="8 KiB", count=2),
    )
    assert bench.masters["nic0"].told == [(TOP - PAGE, 2 * PAGE)]
    assert bench.masters["nic1"].told == [(0x4000_0000, 2 * PAGE)] * 2


@pytest.mark.parametrize("window", [{}, {"buffer": "x", "iova": 4096}])
def test_a_device_is_told_of_one_window(window: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="either of a `buffer:` or of an `iova:`"):
        workload("tell", device="nic0", **window)


def test_an_attach_moves_devices_for_good() -> None:
    bench = Bench().run(workload("attach", devices="nic*", domain="other"))
    moves = [(event.device, event.domain) for event in bench.events if isinstance(event, Attached)][2:]
    assert moves == [("nic0", "other"), ("nic1", "other")]


@pytest.mark.parametrize(("code", "domain"), [(errno.EINVAL, IDENTITY), (errno.ENOMEM, "shared")])
def test_a_device_goes_to_the_other_domain_if_it_does_not_fit_into_the_first(
    code: int, domain: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not if anything else has failed."""
    bench = Bench()
    attach = bench.driver.attach_dev

    async def refuse(domain: Domain, device: Device, old: Domain | None) -> None:
        if domain.name == "other":
            raise KernelError(code, "refused")
        await attach(domain, device, old)

    monkeypatch.setattr(bench.driver, "attach_dev", refuse)
    bench.run(workload("attach", devices="nic0", domain="other", or_else=IDENTITY))
    assert bench.machine.run(bench.runtime.core.domain_of("nic0")).name == domain


def test_when_a_driver_was_asked_where_an_iova_leads_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    bench, asked = Bench(), list[AddressAsked]()

    async def slow(domain: Domain, iova: int) -> int:
        await Work(5 * US)
        return 0x8010_0000

    monkeypatch.setattr(bench.driver, "iova_to_phys", slow)
    bench.machine.sim.probe(AddressAsked).watch(asked.append)
    bench.run(workload("iova-to-phys", domain="shared", iova=TOP))
    (event,) = asked
    assert (event.domain, event.iova, event.address) == ("shared", TOP, 0x8010_0000)
    assert event.time - event.began == 5 * US


class Looks(WorkloadOptions):
    """A thread that asks where the buffers of each device are mapped."""

    async def round(self, runtime: Runtime) -> None:
        for device in ("nic0", "nic1", "nic2"):
            found = (await runtime.domain_of(device)).domain.name
            runtime.kernel.log("info", f"{device}: {found}")


def test_a_device_that_begins_untranslated_is_so_until_it_is_attached() -> None:
    """One behind no IOMMU is always; the others leave the identity domain, or enter it."""
    bench = Bench()
    bench.runtime = replace(bench.runtime, untranslated=frozenset({"nic0", "nic2"}))
    first, second = bench.plan.devices
    devices = (replace(first, domain=IDENTITY), second, DevicePlan("nic2", (3,), "", ""))
    bench.plan = Plan(bench.plan.iommus, devices, ("other",))
    bench.run(
        Looks(on="cpu0", count=1),
        workload("attach", devices="nic0", domain="other", start="1 ms"),
        workload("attach", devices="nic1", domain=IDENTITY, start="1 ms"),
        Looks(on="cpu0", count=1, start="2 ms"),
    )
    before, after = (IDENTITY, "shared", IDENTITY), ("other", IDENTITY, IDENTITY)
    assert bench.machine.log == [f"info: nic{n}: {name}" for names in (before, after) for n, name in enumerate(names)]


def test_a_device_that_is_in_no_domain_has_no_dma_api() -> None:
    bench = Bench()

    async def asks() -> int:
        await bench.runtime.core.probe_iommu(bench.plan.iommus[0])
        await bench.runtime.core.probe_device("nic0", (1,), "iommu0")
        with pytest.raises(KernelError) as error:
            await bench.runtime.domain_of("nic0")
        return error.value.code

    assert bench.machine.run(asks()) == errno.ENODEV


def test_a_domain_is_freed_and_then_the_pages_of_its_buffers() -> None:
    bench = Bench().run(
        workload("map", domain="other", buffer="x", pages=2),
        MAP.model_copy(update={"buffer": "y"}),
        workload("free-domain", domain="other", start="1 ms"),
    )
    assert "other" not in bench.runtime.dma
    assert list(bench.runtime.buffers) == ["y"]
    assert bench.buffers() == 1


def test_who_frees_a_domain_that_is_not_there_is_told_so_and_frees_nothing() -> None:
    bench = Bench().run(
        workload("free-domain", domain="other"),
        MAP.model_copy(update={"start": 1 * MS}),
        workload("free-domain", domain="other", start="2 ms"),
    )
    assert bench.machine.log == ["error: -ENODEV: there is no domain 'other' for DMA"]
    assert list(bench.runtime.buffers) == ["x"]


def test_scribbled_pages_are_given_out_as_they_were_left() -> None:
    bench = Bench().run(workload("scribble", pages=2), workload("map", domain="shared", buffer="x", start="1 ms"))
    (piece,) = bench.runtime.buffers["x"].pieces
    entry = bench.kernel.pages.memory.peek(piece.address, 8)
    assert entry & 0xFF == 0b1101_0111, "a leaf that lets a device read and write"
    leads_to = entry >> 10 << 12
    assert leads_to not in (piece.address, 0)
    assert bench.buffers() == 1, "and everything else is free"


def test_a_scribble_fills_its_pages_to_their_ends_and_no_others() -> None:
    bench = Bench().run(workload("scribble", pages=2), workload("map", domain="shared", buffer="x", start="1 ms"))
    peek, (piece,) = bench.kernel.pages.memory.peek, bench.runtime.buffers["x"].pieces
    entry = peek(piece.address, 8)
    ends = [(peek(at, 8), peek(at + PAGE - 8, 8)) for at in range(BASE, BASE + 16 * MIB, PAGE)]
    assert [end for end in ends if entry in end] == [(entry, entry)] * 2


# --- What is prepared ------------------------------------------------------------------------------------------------


def test_what_is_prepared_is_done_in_order_before_boot_is_over() -> None:
    bench = Prepared().go(
        [
            workload("map", domain="shared", buffer="x", on="cpu1"),
            workload("attach", devices="nic0", domain="other"),
            workload("tell", device="nic0", buffer="x", on="cpu1"),
        ],
        [workload("unmap", buffer="x")],
    )
    (mapped,) = bench.times(Mapped)
    *_, attached = bench.times(Attached)
    assert mapped < attached < bench.booted
    assert bench.masters["nic0"].told == [(TOP, PAGE)]
    assert bench.buffers() == 0
    assert not bench.machine.log


def test_times_count_from_the_end_of_what_is_prepared_and_there_from_the_end_of_boot() -> None:
    prepare = [workload("map", domain="shared", buffer="x", start="3 ms")]
    bench = Prepared().go(prepare, [workload("map", domain="shared", buffer="y", start="1 ms")])
    plain = Prepared().go([], [])
    first, second = bench.times(Mapped)
    assert plain.booted + 3 * MS < first < plain.booted + 3 * MS + 20 * US
    assert bench.runtime.origin.time_ps == bench.booted
    assert bench.booted + 1 * MS < second < bench.booted + 1 * MS + 20 * US


def test_from_reset_times_count_from_there_while_something_is_prepared_too() -> None:
    bench = Prepared()
    bench.runtime.origin.at_boot = False
    bench.go([workload("map", domain="shared", buffer="x", start="3 ms")], [])
    (mapped,) = bench.times(Mapped)
    assert 3 * MS < mapped < 3 * MS + 20 * US
    assert bench.runtime.origin.time_ps == 0


def test_a_part_begins_beside_the_one_before_it_if_it_says_so() -> None:
    parts = [workload("compute", **{"for": "5 ms"}, count=1, on=cpu) for cpu in ("cpu0", "cpu1")]
    one_by_one = Prepared().go(parts, []).booted
    together = Prepared().go([parts[0], parts[1].model_copy(update={"beside": True})], []).booted
    assert 5 * MS < one_by_one - together < 5 * MS + 20 * US


def test_a_thread_rests_between_its_rounds_and_ends_behind_the_last_one() -> None:
    """What comes after it begins at once."""
    works = workload("compute", **{"for": "1 ms"}, count=2, gap="3 ms")
    follows = workload("map", domain="shared", buffer="y", on="cpu1", after="cpu0.compute")
    bench = Prepared().go([], [works, follows])
    (mapped,) = bench.times(Mapped)
    assert 5 * MS < mapped - bench.booted < 5 * MS + 20 * US


def test_threads_that_prepare_have_names_of_their_own() -> None:
    bench = Prepared().go([MAP], [MAP.model_copy(update={"buffer": "y"})])
    assert [call.who for call in bench.calls if call.call == "map"] == ["cpu0.prepare-map", "cpu0.map"]
    assert not bench.runtime.preparing


def test_a_part_that_fails_or_dies_does_not_hold_up_the_rest() -> None:
    bench = Prepared()
    bench.driver.refuses.add(("other", "nic0"))
    bench.go(
        [
            workload("attach", devices="nic0", domain="other"),
            workload("misuse", domain="nowhere", what="map-twice"),
            MAP,
        ],
        [workload("unmap", buffer="x")],
    )
    assert bench.booted
    assert bench.machine.log == [
        "error: nic0: attach to other failed: -EINVAL: refused",
        "error: -EINVAL: refused",
        "error: -ENODEV: there is no domain 'nowhere' for DMA",
    ]
    assert bench.buffers() == 0


class Dies(WorkloadOptions):
    """A thread that the kernel would not survive."""

    async def round(self, runtime: Runtime) -> None:
        raise Oops("as asked")


def test_one_that_dies_does_not_hold_up_the_rest_either() -> None:
    bench = Prepared().go([Dies(on="cpu0", count=1), MAP], [])
    assert bench.booted
    assert bench.buffers() == 1
    assert bench.machine.log == ["oops: as asked"]
    assert list(bench.kernel.died) == ["cpu0.prepare-thread"]


def test_one_that_does_not_end_is_named_and_nothing_begins() -> None:
    endless = Compute.model_validate({"on": "cpu0", "does": "compute", "for": "1 us", "gap": "1 ms"})
    bench = Prepared().go([MAP, endless], [workload("unmap", buffer="x")], until=20 * MS)
    assert not bench.booted
    assert list(bench.runtime.preparing) == ["cpu0.prepare-compute"]
    assert bench.buffers() == 1
