"""What the kernel keeps for a compiled driver of each device and domain, and lets go of with it."""

from __future__ import annotations

import errno
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, cast

import pytest

pytest.importorskip("elftools", reason="objects are read with pyelftools: pip install 'cosim[kernel]'")

from cosim.events import (
    CallDone,
    ContextSeen,
    LeafCleared,
    LineReached,
    LockGiven,
    LockTaken,
    ObjectFreed,
    RegisterRead,
    RegisterWritten,
)
from cosim.spec.register_map import FQH, IPSR, MSI_ADDR, MSI_DATA
from cosim.sw.iommu_map import iommu_map, iommu_unmap
from cosim.sw.iommu_ops import Domain, Gather, MapResult, Prot
from cosim.sw.kernel.errors import KernelError
from cosim.sw.kernel.objects import Object
from cosim.sw.object_driver.driver import QUEUE, REGISTERED, SENDER, ObjectDriver
from cosim.sw.object_driver.hart import ObjectHart
from cosim.units.quantities import MIB, US
from tests.sw.driver.expected import page, vma
from tests.sw.driver.machine import DRAM, OBJECTS, SIZE, STANDS_FOR, Machine

DRIVER = Path(__file__).parents[2] / "object" / "driver"
PAGE = 4096
IOVA, DATA = 0x4000_0000, DRAM + SIZE // 2
FENCE = "IOFENCE.C(pr=0x1,pw=0x1)"
TOO_FAR = 512
"""A device that the driver's directory of one level has no room for."""


def objects_of(machine: Machine) -> ObjectDriver:
    assert isinstance(machine.driver, ObjectDriver)
    return machine.driver


def seen_in(machine: Machine) -> list[str]:
    """The lines of the driver that are reached from here on; "" where a call of it has returned."""
    places: list[str] = []
    machine.sim.probe(LineReached).watch(lambda event: places.append(event.place))
    return places


@pytest.mark.parametrize(("machine", "fails"), [*[(True, n) for n in range(1, 11)], (False, 7)], indirect=["machine"])
def test_nothing_is_left_of_an_iommu_that_has_gone_or_of_a_probe_without_memory(machine: Machine, fails: int) -> None:
    """Nor does the next probe, whose structures stand where those were, come upon anything of them.

    A probe asks for memory seven times, and for a descriptor of each of two messages.
    """
    before = machine.kernel.pages.purposes()
    core, (hardware,) = machine.core, machine.hardware

    async def comes_and_goes() -> int:
        machine.kernel.pages.fail([fails])
        try:
            await core.probe_iommu(hardware)
        except KernelError as error:
            return error.code
        finally:
            machine.kernel.pages.fail([])
        await core.remove_iommu(hardware.name)
        return 0

    failed = machine.run(comes_and_goes())
    assert failed == (errno.ENOMEM if fails < 10 else 0)
    assert machine.kernel.pages.purposes() == before
    assert not objects_of(machine).machine.messages
    for _ in range(2):
        machine.boot()
        assert machine.read(1, IOVA) is None

        async def goes() -> None:
            await core.release_device("dev0")
            await core.domain_free("d")
            await core.remove_iommu(hardware.name)

        machine.run(goes())
        assert machine.kernel.pages.purposes() == before


def test_what_contexts_say_is_told_with_the_table_that_a_device_s_own_context_names(machine: Machine) -> None:
    """Of a domain that no device has entered before it is what is there."""
    seen: list[ContextSeen] = []
    machine.sim.probe(LeafCleared).watch(lambda _: None)
    machine.sim.probe(ContextSeen).watch(seen.append)
    machine.boot()
    machine.run(machine.core.release_device("dev0"))
    *attached, released = (event for event in seen if event.device == "dev0")
    assert [(event.domain, event.words[0], event.words[3]) for event in attached] == [("d", 1, attached[0].fsc)]
    assert attached[0].fsc
    assert (released.domain, released.words[0], released.fsc, released.leads) == ("", 0, None, False)


@pytest.mark.parametrize("machine", [False, True], indirect=True)
def test_an_interrupt_asks_its_handler_whose_thread_then_serves_it(machine: Machine) -> None:
    machine.boot()
    reads: list[tuple[str, str]] = []
    names = {IPSR.offset: "ipsr", FQH.offset: "fqh"}
    machine.sim.probe(RegisterRead).watch(
        lambda event: reads.append((names[event.offset], event.by)) if event.offset in names else None
    )
    assert machine.read(1, IOVA) is None
    irq = machine.hardware[0].vectors[1]
    assert reads == [("ipsr", f"cpu0.irq{irq}"), ("fqh", f"cpu0.irq{irq}-iommu0-own-faults")]
    assert machine.log == ["warning: iommu0: fault 13 device 0x1 iotval 0x40000000 iotval2 0x0"]


@pytest.mark.parametrize("machine", [True], indirect=True)
def test_the_registers_of_a_message_are_written_under_the_lock_of_its_interrupt(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With interrupts masked."""
    driver, told, again = objects_of(machine), list[str](), ObjectHart.again
    locks = {int(driver.machine.irq_lock(irq).address): f"irq{irq}" for irq in machine.hardware[0].vectors}

    def tells(verb: str) -> Callable[[LockTaken | LockGiven], None]:
        return lambda event: told.append(f"{verb} {locks[event.address]}") if event.address in locks else None

    def writes(hart: ObjectHart, entry: int, *arguments: int) -> Coroutine[Any, Any, int]:
        told.append("writes" if hart.context.irq else "writes, with interrupts")
        return again(hart, entry, *arguments)

    machine.sim.probe(LockTaken).watch(tells("takes"))
    machine.sim.probe(LockGiven).watch(tells("gives"))
    monkeypatch.setattr(ObjectHart, "again", writes)
    machine.boot()
    irqs = machine.hardware[0].vectors[:2]
    assert told == [what for irq in irqs for what in (f"takes irq{irq}", "writes", f"gives irq{irq}")]


@pytest.mark.parametrize("machine", [True], indirect=True)
def test_who_lets_its_messages_go_has_told_the_device_and_keeps_none_of_them(machine: Machine) -> None:
    machine.boot()
    places, freed, written = seen_in(machine), list[str](), list[int]()
    machine.sim.probe(ObjectFreed).watch(
        lambda event: freed.append(places[-1]) if event.purpose == "msi_desc" else None
    )
    vectors = {MSI_ADDR[n].offset for n in range(2)} | {MSI_DATA[n].offset for n in range(2)}
    machine.sim.probe(RegisterWritten).watch(
        lambda event: written.append(event.value) if event.offset in vectors else None
    )

    async def goes() -> None:
        await machine.core.release_device("dev0")
        await machine.core.remove_iommu("iommu0")

    machine.run(goes())
    assert written == [0] * 4
    lines = (DRIVER / "queue.c").read_text().splitlines()
    call = next(number for number, line in enumerate(lines, 1) if "device_msi_free_irqs_all(" in line)
    assert freed == [f"queue.c:{call}, in own_remove"] * 2


@pytest.mark.parametrize("machine", [True], indirect=True)
def test_a_device_is_told_to_send_a_message_no_more_when_nobody_handles_it(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """First that of one queue, then that of the other."""
    machine.boot()
    lines = [action.line for action in objects_of(machine).machine.actions.values()]
    handled, again = list[int](), ObjectHart.again

    def writes(hart: ObjectHart, entry: int, *arguments: int) -> Coroutine[Any, Any, int]:
        handled.append(sum(len(line.actions) for line in lines))
        return again(hart, entry, *arguments)

    monkeypatch.setattr(ObjectHart, "again", writes)
    machine.run(machine.core.release_device("dev0"))
    machine.run(machine.core.remove_iommu("iommu0"))
    assert handled == [1, 0]


def test_what_a_driver_can_do_is_asked_for_its_first_device_alone(machine: Machine) -> None:
    able = machine.driver.capable
    assert not able("deferred_flush"), "nobody has asked yet"
    machine.boot()
    assert [able(what) for what in ("deferred_flush", "cache_coherency", "flight")] == [True, True, False]
    places = seen_in(machine)
    machine.run(machine.core.probe_device("second", (7,), "iommu0"))
    assert places.count("") == 1, "its probe"


def test_nothing_is_left_of_a_device_that_the_driver_refuses(machine: Machine) -> None:
    machine.boot()
    before = machine.kernel.pages.purposes()
    with pytest.raises(KernelError) as error:
        machine.run(machine.core.probe_device("far", (TOO_FAR,), "iommu0"))
    assert error.value.code == errno.ENODEV
    assert machine.log == ["error: kernel: far: no translation: -ENODEV: no translation"]
    assert machine.kernel.pages.purposes() == before
    machine.run(machine.core.probe_device("near", (7,), "iommu0"))
    machine.run(machine.core.release_device("near"))
    assert machine.kernel.pages.purposes() == before


def test_a_domain_for_no_device_is_the_drivers_to_refuse(machine: Machine) -> None:
    machine.boot()
    with pytest.raises(KernelError) as error:
        machine.run(machine.core.domain_alloc("any"))
    assert error.value.code == errno.ENODEV


def called_in(monkeypatch: pytest.MonkeyPatch, driver: ObjectDriver) -> list[tuple[int, ...]]:
    """The functions of the driver that are called from here on, each with its arguments."""
    called, run = list[tuple[int, ...]](), driver.machine.run

    def calls(entry: int, *arguments: int) -> Coroutine[Any, Any, int]:
        called.append((entry, *arguments))
        return run(entry, *arguments)

    monkeypatch.setattr(driver.machine, "run", calls)
    return called


def test_an_attach_is_told_of_the_domain_before_if_there_was_one(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, driver, core = machine.boot(), objects_of(machine), machine.core
    called = called_in(monkeypatch, driver)

    async def body() -> Domain:
        second = await core.domain_alloc("second", "dev0")
        device = core.devices["dev0"]
        called.clear()
        await driver.attach_dev(second, device, first)
        await driver.attach_dev(first, device, None)
        return second

    second = machine.run(body())
    held = driver._devices["dev0"].device
    addresses = [int(domain.object.address) for domain in (second, first)]
    assert [call[1:] for call in called] == [(addresses[0], held, addresses[1]), (addresses[1], held, 0)]


def test_a_driver_that_is_told_how_a_domain_shall_be_is_told_nothing_special(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is given no flags and nothing of a user's; one that has an operation without them is asked by that one."""
    machine.boot()
    driver = objects_of(machine)
    called, initial = called_in(monkeypatch, driver), driver._initial
    machine.run(machine.core.domain_alloc("plain", "dev0"))
    plain = "iommu_ops.domain_alloc_paging"
    others = {plain: "", f"{plain}_flags": plain}

    def other(address: int, path: str) -> int:
        return initial(address, others.get(path, path))

    monkeypatch.setattr(driver, "_initial", other)
    machine.run(machine.core.domain_alloc("flags", "dev0"))
    held, entry = driver._devices["dev0"].device, initial(driver._ops, plain)
    assert called == [(entry, held), (entry, held, 0, 0)]


def test_a_domain_that_is_made_where_another_one_was_has_a_page_table_of_its_own(machine: Machine) -> None:
    """Who watches is told of its leaves, wherever that table is."""
    told: list[tuple[str, int]] = []
    machine.sim.probe(LeafCleared).watch(lambda event: told.append((event.domain, event.iova)))
    machine.boot()
    core, pages = machine.core, machine.kernel.pages

    async def used(name: str) -> int:
        domain = await core.domain_alloc(name, "dev0")
        await core.attach("dev0", domain)
        await iommu_map(machine.driver, domain, IOVA, DATA, 2 * PAGE, Prot.READ)
        await machine.kernel.sleep(1 * US)
        await iommu_unmap(machine.driver, domain, IOVA, 2 * PAGE)
        await core.detach("dev0")
        await core.domain_free(name)
        return int(domain.object.address)

    async def body() -> tuple[int, int]:
        await core.detach("dev0")
        first = await used("first")
        for _ in range(4):
            await pages.alloc(purpose="buffer")
        return first, await used("second")

    first, second = machine.run(body())
    assert first == second
    assert told == [(name, IOVA + at) for name in ("first", "second") for at in (0, PAGE)]


@pytest.mark.parametrize(("fails", "mapped"), [(1, 0), (2, 0), (3, PAGE), (4, 2 * PAGE)])
def test_a_map_without_memory_for_a_table_tells_its_errno_and_how_far_it_came(
    machine: Machine, fails: int, mapped: int
) -> None:
    """Of two pages, the first of which needs two tables and the second one more."""
    machine.boot()
    first = IOVA + 2 * MIB - PAGE
    places = seen_in(machine)

    async def maps() -> tuple[MapResult, list[int]]:
        domain = await machine.core.domain_alloc("small", "dev0")
        machine.kernel.pages.fail([fails])
        result = await machine.driver.map_pages(domain, first, DATA, PAGE, 2, Prot.READ)
        machine.kernel.pages.fail([])
        assert not places[-1], "the thread has left the driver, of whose calls the last was for a table"
        return result, [await machine.driver.iova_to_phys(domain, iova) for iova in (first, first + PAGE)]

    result, there = machine.run(maps())
    assert result == MapResult(mapped, 0 if mapped == 2 * PAGE else errno.ENOMEM)
    assert there == [DATA + at if at < mapped else 0 for at in (0, PAGE)]


def test_a_domain_whose_driver_flushes_nothing_needs_no_flush(machine: Machine) -> None:
    """As the identity domain; what waits for the flush is done with all the same."""
    driver = objects_of(machine)
    paging = machine.boot()
    places, gather = seen_in(machine), Gather(IOVA, IOVA + PAGE - 1, PAGE, freelist=[DATA])
    assert machine.run(driver.iotlb_sync(driver.identity, gather)) is None
    assert machine.run(driver.flush_iotlb_all(driver.identity)) is None
    assert (gather.empty, gather.freelist) == (True, [])
    assert machine.run(driver.iotlb_sync(paging, gather)) is None, "nothing was gathered"
    assert not places


def test_a_driver_flushes_all_of_a_domain_or_what_was_gathered_in_a_call_that_is_told(machine: Machine) -> None:
    domain, driver, told = machine.boot(), objects_of(machine), list[tuple[str, bool]]()
    machine.sim.probe(CallDone).watch(lambda event: told.append((event.call, event.time > event.began)))
    machine.run(driver.flush_iotlb_all(domain))
    assert machine.commands() == [vma(1), FENCE]
    machine.run(driver.iotlb_sync(domain, Gather(IOVA, IOVA + PAGE - 1, PAGE)))
    assert machine.commands() == [page(IOVA), FENCE]
    assert told == [("cmd_sync", True), ("iotlb_inval", True)] * 2


@pytest.mark.parametrize("link", [8, 40])
@pytest.mark.parametrize("pages", [0, 1, 3])
def test_a_gather_is_a_structure_of_the_drivers_and_comes_back_as_it_was(
    machine: Machine, pages: int, link: int
) -> None:
    """Wherever the descriptors of pages have their link."""
    driver = objects_of(machine)
    driver.machine.link = link
    freed = [DATA + n * PAGE for n in range(pages)]
    given, found = Gather(IOVA, IOVA + 2 * PAGE - 1, PAGE, bool(pages), freed), Gather(queued=bool(pages))

    async def goes() -> None:
        hart = await driver.machine.hart()
        at, pages = driver._gather_on(hart, given), driver.machine.descriptors
        head = at + driver.machine.layout.offset("iommu_iotlb_gather.freelist")
        assert hart.local(at + driver.machine.layout.offset("iommu_iotlb_gather.queued"), 1) == given.queued
        links = [pages.at(page) + driver.machine.link for page in given.freelist]
        assert [hart.local(head, 8), *(pages.load(link, 8) for link in links)] == [*links, head]
        assert [*(pages.load(link + 8, 8) for link in links), hart.local(head + 8, 8)] == [head, *links]
        driver._gather_from(hart, at, found)

    machine.run(goes())
    assert found == given


@pytest.mark.parametrize(("answer", "suffix", "size"), [(0, "", 16), (errno.ETIMEDOUT, "", 16), (0, ".constprop.0", 0)])
def test_a_command_is_forwarded_by_the_function_that_sends_the_drivers_own(
    monkeypatch: pytest.MonkeyPatch, answer: int, suffix: str, size: int
) -> None:
    """Which is not told the size where the compiler has made one that knows it."""
    monkeypatch.setenv(OBJECTS, f"object:{','.join(str(DRIVER / f'{n}.o') for n in ('queue', 'domain', 'sends'))}")
    machine = Machine(STANDS_FOR)
    driver, memory, places = objects_of(machine), machine.memory, seen_in(machine)
    symbols = cast(dict[str, int], driver.machine.image.linked.symbols)
    entry = symbols[SENDER]
    monkeypatch.delitem(symbols, SENDER)
    monkeypatch.setitem(symbols, SENDER + suffix, entry)
    layout = driver.machine.layout
    iommu = machine.kernel.static(layout.size("riscv_iommu_device"))
    member = layout.info.field("riscv_iommu_device.answer")
    memory.write(iommu + member.offset, member.size, -answer & 0xFFFF_FFFF)
    try:
        machine.run(driver.forward_command(Object(iommu + layout.offset(REGISTERED)), (0x3002, 0x1234_5678_9ABC)))
        failed = 0
    except KernelError as error:
        failed = error.code
    assert failed == answer
    queue = iommu + layout.offset(QUEUE)
    assert [memory.peek(queue + 8 * n, 8) for n in range(3)] == [0x3002, 0x1234_5678_9ABC, size]
    assert places[-1] == "", "the thread has left the driver"


def test_a_driver_without_such_a_function_forwards_nothing(machine: Machine) -> None:
    with pytest.raises(KernelError, match="the driver has no riscv_iommu_queue_send") as error:
        machine.run(machine.driver.forward_command(Object(DATA), (0x3002, 0)))
    assert error.value.code == errno.EOPNOTSUPP
