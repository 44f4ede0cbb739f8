"""What the kernel makes of a driver that comes and goes, or does not do what it says."""

from __future__ import annotations

import errno
from typing import NoReturn, cast

import pytest

pytest.importorskip("elftools", reason="objects are read with pyelftools: pip install 'cosim[kernel]'")

from cosim.events import ContextChanged, LeafCleared, ObjectFreed, TableFreed
from cosim.object.dwarf import Structure
from cosim.sim.operations import Oops
from cosim.spec.registers import Ddtp
from cosim.spec.translation import Fsc
from cosim.sw.iommu_map import iommu_map, iommu_unmap
from cosim.sw.iommu_ops import Gather, MapResult, Prot
from cosim.sw.kernel.errors import KernelError
from cosim.sw.kernel.objects import Object
from cosim.sw.object_driver import hart
from cosim.sw.object_driver.driver import CAPABLE, GFP_ATOMIC, ObjectDriver
from cosim.sw.object_driver.hart import ObjectHart
from cosim.sw.object_driver.machine import LINK
from cosim.units.quantities import GIB, MIB
from tests.sw.driver.machine import OBJECTS, STANDS_FOR, Machine
from tests.sw.object_driver.conftest import MESSAGES
from tests.sw.object_driver.test_driver import DATA, DRIVER, IOVA, PAGE, called_in, objects_of

UNDOES = 0x1234
"""Where a function of the driver's would be."""


@pytest.mark.parametrize(
    ("answer", "registers", "told"),
    [
        (0, False, "ENODEV: probe failed"),
        (1 << 32, False, "ENODEV: probe failed"),
        (0xFFFF_FFFF & -errno.EBUSY, True, "EBUSY: probe failed"),
        (0xFFFF_FFFF & -4000, False, "EIO: probe failed .-4000"),
    ],
)
def test_a_probe_that_says_so_or_after_which_no_iommu_is_registered_has_failed(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, answer: int, registers: bool, told: str
) -> None:
    """It answers a number of 32 bits, which may be no errno."""
    driver, before = objects_of(machine), machine.kernel.pages.purposes()
    dev = driver.machine.layout.offset("platform_device.dev")

    async def probes(entry: int, *arguments: int) -> int:
        if registers:
            driver.machine.registered[arguments[0] + dev] = DATA
        return answer

    monkeypatch.setattr(driver.machine, "run", probes)
    with pytest.raises(KernelError, match=told):
        machine.run(driver.probe_iommu(machine.hardware[0]))
    assert not driver.machine.platform
    assert machine.kernel.pages.purposes() == before


def test_of_an_iommu_that_leaves_the_newest_goes_first_and_its_registers_and_contexts_are_nobodys(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not memory alone is undone by a function of the driver's, before it is freed."""
    machine.boot()
    driver, context, told = objects_of(machine), machine.context(1), list[ContextChanged]()
    (bus,) = driver._platform.values()
    goes, freed = [data - LINK for data, _ in driver.machine.held[bus.device]], list[object]()
    machine.sim.probe(ObjectFreed).watch(lambda event: freed.append(event.address) if event.address in goes else None)
    run = driver.machine.run

    async def runs(entry: int, *arguments: int) -> int:
        if entry != UNDOES:
            return await run(entry, *arguments)
        freed.append(arguments)
        return 0

    async def leaves() -> None:
        newest = await machine.kernel.pages.kmalloc(64, purpose="newest") + LINK
        driver.machine.held[bus.device].append((newest, UNDOES))
        goes.append(newest - LINK)
        await machine.core.release_device("dev0")
        await machine.core.remove_iommu("iommu0")

    monkeypatch.setattr(driver.machine, "run", runs)
    machine.run(leaves())
    assert freed == [(bus.device, goes[-1] + LINK), *goes[::-1]]
    assert not driver.machine.registers
    machine.sim.probe(ContextChanged).watch(told.append)
    machine.memory.poke(context, 8, 1)
    assert not told


def test_an_iommu_that_leaves_takes_no_message_of_another_one_along(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which the other one tells its device of, and lets go, once it leaves itself."""
    monkeypatch.setenv(OBJECTS, f"object:{DRIVER / 'queue.o'},{DRIVER / 'domain.o'}")
    machine = Machine(STANDS_FOR, iommus=2, **MESSAGES)
    driver, core, purposes = objects_of(machine), machine.core, machine.kernel.pages.purposes

    async def leaves() -> None:
        for hardware in machine.hardware:
            await core.probe_iommu(hardware)
        both, (first, second) = dict(driver.machine.messages), driver._platform.values()
        assert {device for device, _ in both} == {first.device, second.device}
        await core.remove_iommu("iommu0")
        assert driver.machine.messages == {key: both[key] for key in both if key[0] == second.device}
        await core.remove_iommu("iommu1")
        assert not driver.machine.messages

    before = purposes()
    machine.run(leaves())
    assert purposes() == before


def test_a_second_iommu_leaves_the_drivers_variables_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """And a device is not let into a domain of the other one, as the driver says."""
    monkeypatch.setenv(OBJECTS, f"object:{DRIVER / 'queue.o'},{DRIVER / 'domain.o'}")
    machine = Machine(STANDS_FOR, iommus=2)
    driver, core = objects_of(machine), machine.core
    put = list[int]()
    put_data = driver.machine.put_data

    async def puts() -> None:
        put.append(machine.sim.now)
        await put_data()

    monkeypatch.setattr(driver.machine, "put_data", puts)

    async def body() -> None:
        for n, hardware in enumerate(machine.hardware):
            await core.probe_iommu(hardware)
            await core.probe_device(f"dev{n}", (n + 1,), hardware.name)
        domain = await core.domain_alloc("d", "dev0")
        with pytest.raises(KernelError, match="EINVAL"):
            await driver.attach_dev(domain, core.devices["dev1"], None)

    machine.run(body())
    assert len(put) == 1


def test_a_driver_that_does_not_do_what_it_says_is_told_so_and_what_stays_mapped_is_watched_no_longer(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    domain, driver = machine.boot(), objects_of(machine)
    cleared = list[int]()
    machine.sim.probe(LeafCleared).watch(lambda event: cleared.append(event.iova))
    machine.run(iommu_map(driver, domain, IOVA, DATA, PAGE, Prot.READ))

    async def maps() -> None:
        with pytest.raises(Oops, match="d: map_pages has mapped 0 bytes of 8192, and says all is well"):
            await driver.map_pages(domain, IOVA, DATA, PAGE, 2, Prot.READ)

    async def answers_0(self: ObjectHart, entry: int, *arguments: int) -> int:
        return 0

    with monkeypatch.context() as patch:
        patch.setattr(ObjectHart, "call", answers_0)
        assert machine.run(driver.unmap_pages(domain, IOVA, PAGE, 1, Gather())) == 0
        machine.run(maps())
    machine.run(iommu_unmap(driver, domain, IOVA, PAGE))
    assert cleared == [IOVA]


def test_the_tables_of_a_driver_are_followed_in_memory(machine: Machine) -> None:
    """It frees them with the domain, the deepest first, and each as it stands."""
    told = list[TableFreed]()
    machine.sim.probe(TableFreed).watch(told.append)
    domain, driver = machine.boot(), objects_of(machine)
    root = Fsc(machine.memory.peek(machine.context(1) + 24, 8)).ppn << 12

    async def goes() -> None:
        await iommu_map(driver, domain, IOVA, DATA, PAGE, Prot.READ)
        await machine.core.release_device("dev0")
        await machine.core.domain_free("d")

    machine.run(goes())
    assert [(event.iova, event.size, event.unlinked) for event in told] == [
        (IOVA, 2 * MIB, -1),
        (IOVA, GIB, -1),
        (0, 1 << 64, -1),
    ]
    assert told[-1].address == root
    assert {event.root for event in told} == {root}


def test_a_shutdown_is_the_drivers_to_make(machine: Machine) -> None:
    machine.boot()
    machine.run(objects_of(machine).shutdown(Object(machine.core.iommus["iommu0"].address)))
    registers = machine.iommus[0].registers
    assert (registers.ddtp.iommu_mode, registers.cqcsr.cqon, registers.fqcsr.fqon) == (0, 0, 0)


def has_no(monkeypatch: pytest.MonkeyPatch, driver: ObjectDriver, *paths: str) -> None:
    """The driver has no such entries of its tables of operations."""
    initial = driver._initial
    monkeypatch.setattr(driver, "_initial", lambda at, path: 0 if path in paths else initial(at, path))


def test_who_releases_no_device_is_not_asked_to(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.boot()
    driver, purposes = objects_of(machine), machine.kernel.pages.purposes
    has_no(monkeypatch, driver, "iommu_ops.release_device")
    called = called_in(monkeypatch, driver)
    machine.run(machine.core.release_device("dev0"))
    assert not [entry for entry, *_ in called if not entry]
    assert not {"device", "dev_iommu", "iommu_fwspec"} & purposes().keys()


@pytest.mark.parametrize("lacks", ["operation", "names"])
def test_a_driver_that_cannot_be_asked_what_it_can_claims_nothing(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, lacks: str
) -> None:
    driver = objects_of(machine)
    if lacks == "operation":
        has_no(monkeypatch, driver, "iommu_ops.capable")
    else:
        for name in CAPABLE.values():
            monkeypatch.delitem(cast(dict[str, int], driver.machine.image.info.enumerators), name)
    machine.boot()
    assert [driver.capable(what) for what in CAPABLE] == [False, False]


@pytest.mark.parametrize(("answer", "able"), [(0x100, False), (0x101, True), (1, True), (0, False)])
def test_of_what_a_driver_answers_that_is_true_or_false_the_first_byte_counts(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, answer: int, able: bool
) -> None:
    """Above it a bool has whatever was in the register before."""
    machine.boot()
    driver = objects_of(machine)

    async def answers(entry: int, *arguments: int) -> int:
        return answer

    monkeypatch.setattr(driver.machine, "run", answers)
    machine.run(driver._ask_what_it_can(driver._devices["dev0"].device))
    assert [driver.capable(what) for what in CAPABLE] == [able, able]


@pytest.mark.parametrize(
    ("answer", "told"),
    [(0, "ENOMEM"), (-errno.ENOSPC, "ENOSPC"), (-4095, "EIO: no domain .-4095"), (-4096, "")],
)
def test_no_pointer_and_one_into_the_last_page_of_all_are_no_domain(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, answer: int, told: str
) -> None:
    """Which is MAX_ERRNO bytes large; for what is beside it memory is asked."""
    machine.boot()
    driver, asked = objects_of(machine), list[int]()

    async def allocates(entry: int, *arguments: int) -> int:
        return answer & (1 << 64) - 1

    def loads(address: int, path: str) -> NoReturn:
        asked.append(address)
        raise KernelError(errno.EFAULT, "asked")

    monkeypatch.setattr(driver.machine, "run", allocates)
    monkeypatch.setattr(driver.machine.layout, "load", loads)
    with pytest.raises(KernelError, match=told or "EFAULT"):
        machine.run(machine.core.domain_alloc("none", "dev0"))
    assert asked == ([] if told else [(1 << 64) - 4096])


@pytest.mark.parametrize("own", [0, 0x1234])
def test_a_domain_has_the_default_operations_unless_the_driver_has_given_it_others(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, own: int
) -> None:
    machine.boot()
    driver, memory = objects_of(machine), machine.memory
    layout = driver.machine.layout
    made = machine.kernel.static(layout.size("iommu_domain"))
    ops = made + layout.offset("iommu_domain.ops")
    memory.poke(ops, 8, own)

    async def allocates(entry: int, *arguments: int) -> int:
        return made

    monkeypatch.setattr(driver.machine, "run", allocates)
    machine.run(driver.domain_alloc_paging("another", machine.core.devices["dev0"]))
    assert memory.peek(ops, 8) == (own or driver._initial(driver._ops, "iommu_ops.default_domain_ops"))


@pytest.mark.parametrize(("at", "deferred"), [("pgsize_bitmap", True), ("geometry.aperture_start", False)])
def test_flushes_of_a_generic_page_table_are_deferred_whatever_the_driver_claims(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, at: str, deferred: bool
) -> None:
    """Of a domain that says that it is one: here by a word that is not 0 in each domain, or is."""
    driver = objects_of(machine)
    has_no(monkeypatch, driver, "iommu_ops.capable")
    structures = cast(dict[str, Structure], driver.machine.image.info.structures)
    known = structures["iommu_domain"]
    members = {**known.members, "is_iommupt": driver.machine.layout.info.field(f"iommu_domain.{at}")}
    monkeypatch.setitem(structures, "iommu_domain", Structure("iommu_domain", known.size, members))
    machine.boot()
    assert [driver.capable(what) for what in ("deferred_flush", "cache_coherency")] == [deferred, False]


def test_a_gather_without_a_list_of_pages_leaves_them_where_they_are(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor need it know whether the flush is deferred; what the driver adds to the range comes back."""
    domain, driver, structure = machine.boot(), objects_of(machine), "iommu_iotlb_gather"
    known = driver.machine.image.info.structures
    members = {name: known[structure].members[name] for name in ("start", "end", "pgsize")}
    monkeypatch.setitem(
        cast(dict[str, Structure], known), structure, Structure(structure, known[structure].size, members)
    )
    gather = Gather(page_size=PAGE, queued=True, freelist=[DATA])
    machine.run(iommu_map(driver, domain, IOVA, DATA, 2 * PAGE, Prot.READ))
    assert machine.run(driver.unmap_pages(domain, IOVA, PAGE, 2, gather)) == 2 * PAGE
    assert gather == Gather(IOVA, IOVA + 2 * PAGE - 1, PAGE, queued=True, freelist=[DATA])


def test_contexts_in_a_directory_that_comes_with_the_first_attach_are_told_of(machine: Machine) -> None:
    driver, core, told = objects_of(machine), machine.core, list[tuple[int, str]]()
    machine.sim.probe(ContextChanged).watch(lambda event: told.append((event.device_id, event.field)))
    (hardware,) = machine.hardware

    async def boots() -> None:
        await core.probe_iommu(hardware)
        ring = driver.machine.watch.ring(hardware)
        there, ring.directory = ring.directory, Ddtp(0)
        await core.probe_device("dev0", (1,), "iommu0")
        domain = await core.domain_alloc("d", "dev0")
        ring.directory = there
        await core.attach("dev0", domain)

    machine.run(boots())
    assert not told
    machine.memory.poke(machine.context(1), 8, 0)
    assert told == [(1, "tc")]


def test_a_loop_with_accesses_that_others_see_is_no_endless_one(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many instructions it takes."""
    monkeypatch.setattr(hart, "PATIENCE", 100)
    monkeypatch.setattr(hart, "LOOKS", 1)
    domain = machine.boot()
    machine.run(iommu_map(machine.driver, domain, IOVA, DATA, 64 * PAGE, Prot.READ))
    assert machine.read(1, IOVA + 63 * PAGE) == DATA + 63 * PAGE


@pytest.mark.parametrize("generic", [False, True])
def test_a_generic_page_table_is_told_the_bytes_and_another_one_the_pages_and_their_number(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, generic: bool
) -> None:
    """What was mapped is told in a word that holds 0 before, also by who has failed half way."""
    domain, driver = machine.boot(), objects_of(machine)
    known, field = driver.machine.image.info.structures, driver.machine.layout.info.field
    ops = driver._initial(driver._ops, "iommu_ops.default_domain_ops")
    maps, unmaps = (driver._initial(ops, f"iommu_domain_ops.{name}_pages") for name in ("map", "unmap"))
    if generic:
        entries = {f"{name}_range": field(f"iommu_domain_ops.{name}_pages") for name in ("map", "unmap")}
        for name, members in (("pt_iommu", {"ops": field("iommu_domain.ops")}), ("pt_iommu_ops", entries)):
            monkeypatch.setitem(cast(dict[str, Structure], known), name, Structure(name, 256, members))
        has_no(monkeypatch, driver, "iommu_domain_ops.map_pages", "iommu_domain_ops.unmap_pages")
    called, form = list[tuple[int, ...]](), (3 * PAGE,) if generic else (PAGE, 3)

    async def answers(hart: ObjectHart, entry: int, *arguments: int) -> int:
        called.append((entry, *arguments[:-1]))
        if entry == unmaps:
            return 2 * PAGE
        assert hart.local(arguments[-1], 8) == 0
        hart.put_local(arguments[-1], 8, 2 * PAGE)
        return -errno.ENOMEM

    monkeypatch.setattr(ObjectHart, "call", answers)
    mapped = machine.run(driver.map_pages(domain, IOVA, DATA, PAGE, 3, Prot.WRITE))
    assert mapped == MapResult(2 * PAGE, errno.ENOMEM)
    assert machine.run(driver.unmap_pages(domain, IOVA, PAGE, 3, Gather())) == 2 * PAGE
    address = int(domain.object.address)
    assert called == [
        (maps, address, IOVA, DATA, *form, int(Prot.WRITE), GFP_ATOMIC),
        (unmaps, address, IOVA, *form),
    ]
