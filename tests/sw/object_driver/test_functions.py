"""What the kernel's functions answer a driver that seldom calls them."""

from __future__ import annotations

import errno

import pytest

pytest.importorskip("elftools", reason="objects are read with pyelftools: pip install 'cosim[kernel]'")

from cosim.events import KernelLog
from cosim.isa.instruction import Instruction
from cosim.object.dwarf import Member, Structure
from cosim.sw.iommu_ops import Device, DeviceObject, Hardware
from cosim.sw.kernel.irq import IrqReturn
from cosim.sw.object_driver.call import ARGUMENTS, SIE, Call
from cosim.sw.object_driver.functions.table import FUNCTIONS
from cosim.sw.object_driver.machine import LINK
from cosim.sw.object_driver.patience import ROUNDS
from cosim.sw.object_driver.structures import Structures
from cosim.units.quantities import US
from tests.sw.machine import Machine
from tests.sw.object_driver.test_running import IMAGE, Loaded, line_of

DEVICE = 0x8100_0000


def has_member(monkeypatch: pytest.MonkeyPatch, structure: str, name: str, offset: int, size: int = 8) -> None:
    """A driver for a kernel whose structure has a member there, behind those of the small driver's."""
    known = IMAGE.info.structures[structure]
    members = {**known.members, name: Member(name, offset, size, "")}
    monkeypatch.setitem(IMAGE.info.structures, structure, Structure(structure, offset + size, members))


async def asked(loaded: Loaded, name: str, *arguments: int) -> int | None:
    """What a function answers that the small driver does not call, or the answer of which it does not look at."""
    hart = await loaded.driver.hart()
    hart.x[ARGUMENTS : ARGUMENTS + len(arguments)] = arguments
    answer = await FUNCTIONS[name](Call(hart, name, IMAGE.code.base))
    await hart.leave()
    return answer


def test_what_is_allocated_for_a_device_is_all_of_its_size_and_goes_with_it() -> None:
    loaded = Loaded()
    address = loaded.call("trouble_allocates_for", DEVICE, 24)
    assert loaded.driver.held[DEVICE] == [(address, 0)]
    (block,) = [known for known in loaded.kernel.pages.in_use() if known.address == address - LINK]
    assert block.size >= LINK + 24
    assert [loaded.call("trouble_loads", address + at) for at in (0, 8, 16)] == [0] * 3, "zeroed, as it was asked"
    loaded.kernel.pages.fail([1])
    assert loaded.call("trouble_allocates_for", DEVICE, 24) == 0
    assert loaded.driver.held[DEVICE] == [(address, 0)]


class Listed(Loaded):
    """A list of `head` and `entry`, and what is on none, each called by its name."""

    def __init__(self) -> None:
        super().__init__()
        self.places = {name: self.kernel.static(16) for name in ("head", "entry", "new")}
        self.places |= {"null": 0, "poison1": 0xDEAD_0000_0000_0100, "poison2": 0xDEAD_0000_0000_0122}
        self.link("head", "entry", "entry")
        self.link("entry", "head", "head")

    def link(self, name: str, following: str, before: str) -> None:
        for offset, other in enumerate((following, before)):
            self.machine.memory.write(self.places[name] + 8 * offset, 8, self.places[other])

    def found(self, what: str, check: str, *names: str) -> str:
        """What is told of when a check fails, with names in the place of addresses; empty if it does not."""
        failed = self.call(check, *(self.places[name] for name in names))
        assert failed == len(self.machine.log)
        if not failed:
            return ""
        told = self.machine.log[0].replace(f"{self.places[names[0]]:#x}", names[0])
        begun = f"error: list_{what} corruption in {check} (checks.c:{line_of(f'return !__list_{what}', 'checks.c')}): "
        assert told.startswith(begun)
        return told.removeprefix(begun)


@pytest.mark.parametrize(
    ("names", "link", "wanted"),
    [
        ("new entry head", "", ""),
        ("new head entry", "", ""),
        ("new null entry", "", "a link is null"),
        ("new head null", "", "a link is null"),
        ("new head entry", "head new entry", "its neighbours are not linked with each other"),
        ("new head entry", "entry head new", "its neighbours are not linked with each other"),
        ("head head entry", "", "head is added twice"),
        ("entry head entry", "", "entry is added twice"),
    ],
)
def test_a_list_is_looked_at_before_an_entry_is_added(names: str, link: str, wanted: str) -> None:
    """As where the kernel has CONFIG_DEBUG_LIST. An entry is added behind the one and before the other."""
    listed = Listed()
    if link:
        listed.link(*link.split())
    assert listed.found("add", "checks_adding_fails", *names.split()) == wanted


@pytest.mark.parametrize(
    ("link", "wanted"),
    [
        ("", ""),
        ("entry null head", "a link is null"),
        ("entry head null", "a link is null"),
        ("entry poison1 poison2", "entry was taken out before"),
        ("entry poison1 head", "entry was taken out before"),
        # Under RCU, with its way on left to those that are under way.
        ("entry head poison2", "entry was taken out before"),
        ("head new entry", "the neighbours of entry do not lead to it"),
        ("head entry new", "the neighbours of entry do not lead to it"),
    ],
)
def test_a_list_is_looked_at_before_an_entry_is_taken_out(link: str, wanted: str) -> None:
    listed = Listed()
    if link:
        listed.link(*link.split())
    assert listed.found("del", "checks_taking_out_fails", "entry") == wanted


@pytest.mark.parametrize(("error", "name"), [(errno.ENODEV, "ENODEV"), (9999, "9999")])
def test_a_probe_that_gives_up_says_why_and_returns_its_error(error: int, name: str) -> None:
    loaded = Loaded()
    loaded.driver.names[DEVICE] = "iommu0"
    told: list[tuple[str, str, str]] = []
    loaded.machine.sim.probe(KernelLog).watch(lambda event: told.append((event.level, event.who, event.text)))
    assert loaded.call("trouble_gives_up", DEVICE, -error, 7) & 0xFFFF_FFFF == (1 << 32) - error
    assert told == [("error", "iommu0", f"error -{name}: no clock 7")]


@pytest.mark.parametrize(("asked_for", "wanted"), [(0, 0), (1, 1), (2, 2), (-1, 1)])
def test_pages_are_of_the_node_that_is_asked_for_or_of_the_callers(asked_for: int, wanted: int) -> None:
    loaded = Loaded(Machine(nodes=3, cpu_nodes={"cpu0": 1}))
    page = loaded.machine.run(asked(loaded, "iommu_alloc_pages_node_sz", asked_for, 0, 4096))
    assert [known.node for known in loaded.kernel.pages.in_use() if known.address == page] == [wanted]


def test_rcu_watches_and_a_lock_that_is_asked_about_is_held() -> None:
    """The first is a truth value of C, which the compiler takes for 0 or 1; the second is one of three answers."""
    loaded = Loaded()
    assert loaded.call("checks_rcu_sleeps") == 0
    assert loaded.call("checks_holds", loaded.word) == 1


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


def test_who_takes_a_lock_is_told_whether_interrupts_were_enabled() -> None:
    """And inside of it they are not, so that a lock in there leaves them masked."""
    loaded = Loaded()
    outer, inner = loaded.kernel.static(8), loaded.kernel.static(8)

    async def nests() -> list[tuple[int | None, int]]:
        context, found = await loaded.kernel.context(), []
        for lock in (outer, inner):
            found.append((await asked(loaded, "_raw_spin_lock_irqsave", lock), context.irq))
        for lock, (flags, _) in zip((inner, outer), reversed(list(found)), strict=True):
            await asked(loaded, "_raw_spin_unlock_irqrestore", lock, flags or 0)
            found.append((None, context.irq))
        return found

    assert loaded.machine.run(nests()) == [(SIE, 1), (0, 2), (None, 1), (None, 0)]


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


@pytest.mark.parametrize(
    ("text", "shown"), [(b"a name of nineteen.", "a name of nineteen."), (b"", ""), (None, "(null)")]
)
def test_a_string_is_printed_wherever_it_is(text: bytes | None, shown: str) -> None:
    loaded = Loaded()
    at = loaded.kernel.static(32) if text is not None else 0
    for number, byte in enumerate(text or b""):
        loaded.machine.memory.write(at + number, 1, byte)
    loaded.machine.start(loaded.driver.run(IMAGE.linked.symbols["trouble_prints"], 0, at))
    loaded.machine.go(until=10 * US)
    (line,) = loaded.machine.log
    assert line.startswith(f"warning: {shown}: -3 of 4")


@pytest.mark.parametrize(
    ("text", "value", "shown"),
    [
        ("%c", 0x141, "A"),
        ("%hhd", 0x1FF, "-1"),
        ("%hx", 0x1_ABCD, "abcd"),
        ("%u", 0x1_0000_0005, "5"),
        ("%lu", 0x1_0000_0005, "4294967301"),
        ("%ld", (1 << 64) - 7, "-7"),
        ("%#06x", 0xAB, "0x00ab"),
        ("%4X.", 0xAB, "  AB."),
        ("%o", 8, "10"),
        ("%p", 0x1000, "0x1000"),
        ("%pe", (1 << 64) - errno.ENOMEM, "-ENOMEM"),
    ],
)
def test_a_number_is_printed_in_its_size_and_form(text: str, value: int, shown: str) -> None:
    loaded = Loaded()
    at = loaded.kernel.static(16)
    for number, byte in enumerate(text.encode()):
        loaded.machine.memory.write(at + number, 1, byte)
    loaded.machine.run(asked(loaded, "_dev_err", DEVICE, at, value))
    assert loaded.machine.log == [f"error: {shown}"]


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
    loaded.machine.run(asked(loaded, "free_irq", 1 << 32 | 17, DEVICE))
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


@pytest.mark.parametrize(
    ("does", "waits"), [("ktime_get", True), ("__rcu_read_lock", False), ("a store", False), ("a load", True)]
)
def test_a_loop_that_does_more_than_read_the_clock_is_no_wait(does: str, waits: bool) -> None:
    """But a load of memory is part of one."""
    loaded = Loaded()

    async def polls() -> bool:
        hart = await loaded.driver.hart()
        for now in range(ROUNDS + 1):
            hart.wait.read(0x1000, 4, 5, now)
        if does == "a store":
            await hart.store(loaded.word, -1, 1, -1, 8, IMAGE.code.base)
        elif does == "a load":
            await hart.load(loaded.word, -1, 8, IMAGE.code.base)
        else:
            await hart._outside(does, IMAGE.code.base)
        return hart.wait.skipped(ROUNDS, "mmio") is not None

    assert loaded.machine.run(polls()) is waits


def test_interrupts_are_masked_and_unmasked_once_whoever_asks() -> None:
    """What was there is told, and what changes nothing is no section."""
    loaded = Loaded()

    async def masks() -> list[tuple[int, int]]:
        hart, found = await loaded.driver.hart(), []
        for name, value in (
            ("csrrc", 0),
            ("csrrc", SIE),
            ("csrrci", SIE),
            ("csrrs", 0),
            ("csrrsi", SIE),
            ("csrrs", SIE),
        ):
            told = await hart.csr(Instruction(name, imm=0x100), value, IMAGE.code.base)
            found.append((told, hart.context.irq))
        return found

    assert loaded.machine.run(masks()) == [(SIE, 0), (SIE, 1), (0, 1), (0, 1), (0, 0), (SIE, 0)]
