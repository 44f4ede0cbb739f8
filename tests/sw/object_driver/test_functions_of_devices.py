"""What the kernel's functions for devices answer: registers, interrupts by wire and by message, and where data is."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import replace

import pytest

pytest.importorskip("elftools", reason="objects are read with pyelftools: pip install 'cosim[kernel]'")

from cosim.object.dwarf import Structure
from cosim.sim.operations import Body
from cosim.sw.iommu_ops import Device, DeviceObject, Hardware
from cosim.sw.kernel.irq import HardHandler, IrqAction, IrqReturn
from cosim.sw.object_driver.hart import ObjectHart
from cosim.sw.object_driver.machine import STACK
from cosim.sw.object_driver.structures import Structures
from tests.sw.object_driver.test_functions import DEVICE, asked, has_member
from tests.sw.object_driver.test_running import IMAGE, Loaded

WRITE, THREAD = 0x1000, 0x2000
MESSAGES = Hardware("iommu0", 0, (16, 17), "cpu0", ((0x12_2800_0000, 1), (0x2800_0000, 2)))
INIT = "platform_device_msi_init_and_alloc_irqs"


def test_memory_that_is_mapped_as_registers_are_is_where_it_was() -> None:
    loaded = Loaded()
    assert loaded.machine.run(asked(loaded, "devm_ioremap", DEVICE, loaded.word, 0x1000)) == loaded.word


def test_what_a_driver_keeps_of_a_device_is_where_it_looks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = Loaded()
    structures, memory, priv = Structures(loaded.driver), loaded.machine.memory, 24
    has_member(monkeypatch, "dev_iommu", "priv", priv)

    async def keeps() -> tuple[int, int]:
        bus = await structures.platform_device(Hardware("iommu0", 0x0300_0000, (), "cpu0"))
        held = await structures.device(Device("nic0", DeviceObject(loaded.word), (1,)), bus)
        before = memory.peek(held.dev_iommu + priv, 8)
        await asked(loaded, "dev_iommu_priv_set", held.device, 0x1234_5678_9ABC)
        return before, memory.peek(held.dev_iommu + priv, 8)

    assert loaded.machine.run(keeps()) == (0, 0x1234_5678_9ABC)


@pytest.mark.parametrize(("messages", "write"), [((), 0x1000), (((0x2800_0000, 1),), 0)])
def test_vectors_of_messages_are_refused_to_who_cannot_send_or_write_them(
    messages: tuple[tuple[int, int], ...], write: int
) -> None:
    loaded = Loaded()
    loaded.driver.platform[DEVICE] = Hardware("iommu0", 0x0300_0000, (16,), "cpu0", messages)
    name = "platform_device_msi_init_and_alloc_irqs"
    assert loaded.machine.run(asked(loaded, name, DEVICE, 1, write)) == -errno.EINVAL
    assert not loaded.driver.messages
    assert not loaded.driver.objects


def test_each_vector_of_messages_has_a_descriptor_that_says_which_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """And an interrupt, as far as there are any; it is known who tells the device where to send the message."""
    loaded = Loaded()
    has_member(monkeypatch, "msi_desc", "nvec_used", 16, 4)
    loaded.driver.platform[DEVICE] = Hardware("iommu0", 0, (16, 17), "cpu0", ((0x2800_0000, 1), (0x2800_0000, 2)))
    assert not loaded.machine.run(asked(loaded, "platform_device_msi_init_and_alloc_irqs", DEVICE, 3, 0x1000))
    told = loaded.driver.messages
    wanted = [(16, 0x2800_0000, 1), (17, 0x2800_0000, 2), (0, 0, 0)]
    assert [(one.irq, one.address, one.data) for one in told.values()] == wanted
    assert list(told) == [(DEVICE, index) for index in range(3)]
    for (_, index), one in told.items():
        found = {}
        for name in ("dev", "msi_index", "irq", "nvec_used"):
            member = IMAGE.info.field(f"msi_desc.{name}")
            found[name] = loaded.machine.memory.peek(one.descriptor + member.offset, member.size)
        assert found == {"dev": DEVICE, "msi_index": index, "irq": one.irq, "nvec_used": 1}
        assert one.write == 0x1000


@pytest.mark.parametrize("keeps", [True, False])
def test_an_iommu_is_registered_and_keeps_its_operations_where_its_kernel_has_a_place(
    monkeypatch: pytest.MonkeyPatch, keeps: bool
) -> None:
    loaded, ops = Loaded(), 0x1234_5678_9ABC
    known = IMAGE.info.structures["iommu_device"]
    if not keeps:
        members = {name: member for name, member in known.members.items() if name != "ops"}
        changed = Structure("iommu_device", known.size, members)
        monkeypatch.setitem(IMAGE.info.structures, "iommu_device", changed)
    iommu = loaded.kernel.static(known.size)
    assert loaded.machine.run(asked(loaded, "iommu_device_register", iommu, ops, DEVICE)) == 0
    assert loaded.driver.registered[DEVICE] == iommu
    assert loaded.machine.memory.peek(iommu + known.members["ops"].offset, 8) == ops * keeps


def test_an_iommu_that_is_no_longer_registered_leaves_the_others_so() -> None:
    loaded = Loaded()
    loaded.driver.registered.update({DEVICE: 0x1000, DEVICE + 0x1000: 0x2000})
    loaded.machine.run(asked(loaded, "iommu_device_unregister", 0x1000, 0x2000))
    assert loaded.driver.registered == {DEVICE + 0x1000: 0x2000}


@pytest.mark.parametrize(
    ("handler", "answer", "wanted"),
    [
        (0x1000, 0, IrqReturn.NONE),
        (0x1000, 1, IrqReturn.HANDLED),
        (0x1000, 0xDEAD_0000_0002, IrqReturn.WAKE_THREAD),
        (0, 0, IrqReturn.WAKE_THREAD),
    ],
)
def test_an_interrupt_is_what_its_handler_says_which_is_given_its_data(
    monkeypatch: pytest.MonkeyPatch, handler: int, answer: int, wanted: IrqReturn
) -> None:
    """It answers a number of 32 bits; one that has none leaves all to the thread, which is given the same."""
    loaded, ran = Loaded(), list[tuple[int, ...]]()
    loaded.driver.platform[DEVICE] = Hardware("iommu0", 0, (16, 17), "cpu0")

    async def run(entry: int, *arguments: int) -> int:
        ran.append((entry, *arguments))
        return answer

    monkeypatch.setattr(loaded.driver, "run", run)
    name = loaded.kernel.static(8)

    async def asks() -> tuple[int | None, int | None, IrqReturn]:
        request = "request_threaded_irq"
        others = await asked(loaded, request, 18, handler, 0x2000, 0, name, DEVICE)
        given = await asked(loaded, request, 1 << 32 | 17, handler, 0x2000, 0, name, DEVICE)
        (action,) = loaded.driver.actions.values()
        said = await action.hard()
        await action.thread()
        return others, given, said

    assert loaded.machine.run(asks()) == (-errno.EINVAL, 0, wanted)
    assert list(loaded.driver.actions) == [(17, DEVICE)]
    assert ran == [(handler, 17, DEVICE)] * bool(handler) + [(0x2000, 17, DEVICE)]


def test_a_handler_that_was_not_requested_cannot_be_freed_and_without_memory_there_is_none() -> None:
    loaded = Loaded()
    loaded.driver.platform[DEVICE] = Hardware("iommu0", 0, (16, 17), "cpu0")
    assert not loaded.machine.run(asked(loaded, "free_irq", 1 << 32 | 17, DEVICE))
    (line,) = loaded.machine.log
    assert line.startswith("warning: ")
    assert line.endswith(": free_irq of 17, which is not requested")
    loaded.kernel.pages.fail([1])
    request = asked(loaded, "request_threaded_irq", 17, 0, 0x2000, 0, loaded.kernel.static(8), DEVICE)
    assert loaded.machine.run(request) == -errno.ENOMEM
    assert not loaded.driver.actions


def test_registers_and_interrupts_of_a_device_are_found_by_number() -> None:
    """Of 32 bits; there is one resource of registers."""
    loaded = Loaded()
    base, high = 0x0300_0000, 1 << 32
    loaded.driver.platform[DEVICE] = Hardware("iommu0", base, (16, 17), "cpu0")
    loaded.machine.memory.write(loaded.word, 8, 0x77)

    async def found(name: str, *arguments: int) -> int | None:
        return await asked(loaded, name, DEVICE, *arguments)

    async def body() -> list[int | None]:
        return [
            *[await found("platform_get_irq", n) for n in range(3)],
            await found("platform_irq_count"),
            await found("devm_platform_ioremap_resource", 1),
            await found("devm_platform_ioremap_resource", high),
            await found("devm_platform_get_and_ioremap_resource", 0, 0),
            await found("devm_platform_get_and_ioremap_resource", 0, loaded.word),
        ]

    assert loaded.machine.run(body()) == [16, 17, -errno.ENXIO, 2, -errno.EINVAL, base, base, base]
    assert loaded.machine.memory.read(loaded.word, 8) == 0, "nothing is told of the resource"
    assert loaded.driver.registers == {base >> 12: loaded.driver.platform[DEVICE]}


def test_firmware_is_found_at_its_device(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded, fwnode = Loaded(), 0x1234_5678_9ABC
    has_member(monkeypatch, "device", "fwnode", 24)
    device = loaded.kernel.static(32)
    loaded.machine.memory.write(device + 24, 8, fwnode)
    assert loaded.machine.run(asked(loaded, "__dev_fwnode", device)) == fwnode


@pytest.mark.parametrize(
    ("name", "called"), [("own-faults", "iommu0-own-faults"), ("iommu0-cq", "iommu0-cq"), ("", "iommu0-")]
)
def test_the_thread_of_an_interrupt_has_the_name_of_its_device(
    monkeypatch: pytest.MonkeyPatch, name: str, called: str
) -> None:
    """It runs on the CPU that the device interrupts."""
    loaded, told = Loaded(), list[tuple[str, int, str]]()
    loaded.driver.platform[DEVICE] = Hardware("iommu0", 0, (16,), "cpu1")
    at, request = loaded.kernel.static(16), loaded.kernel.irq.request
    for n, byte in enumerate(name.encode()):
        loaded.machine.memory.write(at + n, 1, byte)

    async def requests(cpu: str, irq: int, name: str, hard: HardHandler, thread: Callable[[], Body]) -> IrqAction:
        told.append((cpu, irq, name))
        return await request(cpu, irq, name, hard, thread)

    monkeypatch.setattr(loaded.kernel.irq, "request", requests)
    assert loaded.machine.run(asked(loaded, "request_threaded_irq", 16, 0, THREAD, 0, at, DEVICE)) == 0
    assert told == [("cpu1", 16, called)]


def test_a_message_is_told_to_the_device_with_its_first_handler_and_taken_back_with_its_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An interrupt that is no message is told to nobody. What is told stands on the stack, which is as before then."""
    loaded, told, harts = Loaded(), list[tuple[int, ...]](), list[ObjectHart]()
    driver, layout = loaded.driver, loaded.driver.layout
    driver.platform[DEVICE] = MESSAGES
    driver.platform[DEVICE + 0x1000] = Hardware("iommu1", 0x1000, (18,), "cpu0")
    first, second = 0x100, 0x200

    async def writes(hart: ObjectHart, entry: int, *arguments: int) -> int:
        names = ("address_hi", "address_lo", "data")
        values = [hart.local(arguments[1] + layout.offset(f"msi_msg.{name}"), 4) for name in names]
        assert hart.x[2] <= arguments[1] < hart.low + STACK
        told.append((entry, arguments[0], *values))
        harts.append(hart)
        return 0

    monkeypatch.setattr(ObjectHart, "again", writes)

    async def body() -> list[int]:
        found = list[int]()
        await asked(loaded, INIT, DEVICE, 2, WRITE)
        for irq, data in ((16, first), (16, second), (18, first)):
            failed = await asked(loaded, "request_threaded_irq", irq, 0, THREAD, 0, loaded.kernel.static(8), data)
            found += [failed or 0, len(told)]
        for irq, data in ((18, first), (16, first), (16, second)):
            device_id = await asked(loaded, "free_irq", irq, data)
            found += [device_id or 0, len(told)]
        return found

    assert loaded.machine.run(body()) == [0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 2]
    descriptor = driver.messages[DEVICE, 0].descriptor
    assert told == [(WRITE, descriptor, 0x12, 0x2800_0000, 1), (WRITE, descriptor, 0, 0, 0)]
    assert {hart.x[2] for hart in harts} == {harts[0].low + STACK - 16}


def test_a_message_is_told_to_the_device_once_more_by_the_next_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which has not freed the handler of the kernel before."""
    loaded, told = Loaded(), list[int]()
    loaded.driver.platform[DEVICE] = MESSAGES

    async def writes(hart: ObjectHart, entry: int, *arguments: int) -> int:
        told.append(entry)
        return 0

    monkeypatch.setattr(ObjectHart, "again", writes)

    async def body() -> None:
        await asked(loaded, INIT, DEVICE, 2, WRITE)
        for data in (0x100, 0x200):
            await asked(loaded, "request_threaded_irq", 16, 0, THREAD, 0, loaded.kernel.static(8), data)
            loaded.kernel.end()

    loaded.machine.run(body())
    assert told == [WRITE, WRITE]


@pytest.mark.parametrize("hardware", [MESSAGES, replace(MESSAGES, messages=())])
def test_a_device_that_sends_messages_has_a_domain_of_which_nothing_is_known(hardware: Hardware) -> None:
    loaded = Loaded()
    member = IMAGE.info.field("device.msi.domain")

    async def configures() -> list[int]:
        found = list[int]()
        for _ in range(2):
            bus = await Structures(loaded.driver).platform_device(hardware)
            await asked(loaded, "of_msi_configure", bus.device, 0)
            found.append(loaded.machine.memory.peek(bus.device + member.offset, member.size))
        return found

    first, second = loaded.machine.run(configures())
    assert first == second
    assert bool(first) is bool(hardware.messages)
    if first:
        assert "reads irq_domain" in loaded.dies("trouble_loads", first)


def test_a_vector_has_the_interrupt_of_its_number_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers have 32 bits; there may be more interrupts than messages."""
    loaded, high = Loaded(), 1 << 32
    loaded.driver.platform[DEVICE] = replace(MESSAGES, messages=MESSAGES.messages[:1])

    async def body() -> list[int | None]:
        assert await asked(loaded, INIT, DEVICE, high | 2, WRITE) == 0
        places = [(DEVICE, 0), (DEVICE, high), (DEVICE, 1), (DEVICE, 2), (DEVICE + 8, 0)]
        return [await asked(loaded, "msi_domain_get_virq", device, 0, index) for device, index in places]

    assert loaded.machine.run(body()) == [16, 16, 0, 0, 0]
    assert [one.irq for one in loaded.driver.messages.values()] == [16, 0]


def test_messages_of_a_device_are_freed_without_those_of_another_one() -> None:
    """And none is made of what there is no memory for."""
    loaded, other = Loaded(), DEVICE + 0x1000
    driver, pages = loaded.driver, loaded.kernel.pages
    driver.platform |= {DEVICE: MESSAGES, other: MESSAGES}

    async def body() -> int | None:
        await asked(loaded, INIT, other, 1, WRITE)
        before = pages.purposes()
        pages.fail([2])
        failed = await asked(loaded, INIT, DEVICE, 2, WRITE)
        assert pages.purposes() == before
        pages.fail([])
        await asked(loaded, INIT, DEVICE, 2, WRITE)
        assert [key[0] for key in driver.messages] == [other, DEVICE, DEVICE]
        await asked(loaded, "platform_device_msi_free_irqs_all", DEVICE)
        assert pages.purposes() == before
        return failed

    assert loaded.machine.run(body()) == -errno.ENOMEM
    assert list(driver.messages) == [(other, 0)]
    assert len(driver.held[other]) == len(driver.objects) == 1
    assert not driver.held[DEVICE]
