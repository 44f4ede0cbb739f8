"""What the kernel's functions answer a driver that seldom calls them."""

from __future__ import annotations

import errno

import pytest

pytest.importorskip("elftools", reason="objects are read with pyelftools: pip install 'cosim[kernel]'")

from cosim.events import KernelLog, LineReached
from cosim.isa.instruction import Instruction
from cosim.object.dwarf import Member, Structure
from cosim.sim.operations import Amo, Atomic, Load, Oops, Store, Work
from cosim.sw.object_driver.call import ARGUMENTS, SIE, Call
from cosim.sw.object_driver.functions.table import FUNCTIONS
from cosim.sw.object_driver.patience import ROUNDS
from cosim.units.quantities import NS, US, S
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


@pytest.mark.parametrize("served", [0, 0x7FFE, 0xFFFE])
def test_those_who_wait_for_a_lock_get_it_in_turn_also_where_its_numbers_begin_again(served: int) -> None:
    """Each half of its word counts by itself, to 16 bits."""
    loaded, told = Loaded(Machine(cpus=3)), list[str]()
    loaded.machine.memory.write(loaded.word, 4, served << 16 | served)

    async def holds(number: int) -> None:
        hart = await loaded.driver.hart()
        for _ in range(2):
            hart.x[ARGUMENTS] = loaded.word
            await FUNCTIONS["_raw_spin_lock"](Call(hart, "_raw_spin_lock", IMAGE.code.base))
            told.append(f"takes {number}")
            await Work(1 * US)
            told.append(f"gives {number}")
            await FUNCTIONS["_raw_spin_unlock"](Call(hart, "_raw_spin_unlock", IMAGE.code.base))
        await hart.leave()

    for number in range(3):
        loaded.machine.start(holds(number), cpu=f"cpu{number}", name=f"t{number}")
    loaded.machine.go()
    assert told == [f"{verb} {number}" for number in (0, 1, 2) * 2 for verb in ("takes", "gives")]
    assert loaded.machine.memory.read(loaded.word, 8) == (served + 6 & 0xFFFF) * 0x1_0001


def test_behind_a_function_of_the_driver_that_the_kernel_has_called_all_is_as_before() -> None:
    """Registers, and the line that who watches is told of."""
    loaded, told = Loaded(), list[str]()
    loaded.machine.sim.probe(LineReached).watch(lambda event: told.append(event.place))

    async def body() -> None:
        hart = await loaded.driver.hart()
        hart.x[1], hart.x[5:18] = 0x1234, range(5, 18)
        before = list(hart.x)
        await Call(hart, "devres_release", IMAGE.code.base).again(IMAGE.linked.symbols["checks_reads"], loaded.word)
        assert hart.x == before
        await hart.leave()

    loaded.machine.run(body())
    assert told[-2:] == [IMAGE.spot(IMAGE.code.base), ""]


def test_a_stack_that_was_overwritten_is_an_oops() -> None:
    async def finds_out() -> None:
        with pytest.raises(Oops, match="__stack_chk_fail: the stack is corrupted"):
            await asked(loaded, "__stack_chk_fail")

    loaded = Loaded()
    loaded.machine.run(finds_out())


@pytest.mark.parametrize(("error", "name"), [(errno.ENODEV, "ENODEV"), (9999, "9999")])
def test_a_probe_that_gives_up_says_why_and_returns_its_error(error: int, name: str) -> None:
    loaded = Loaded()
    loaded.driver.names[DEVICE] = "iommu0"
    told: list[tuple[str, str, str]] = []
    loaded.machine.sim.probe(KernelLog).watch(lambda event: told.append((event.level, event.who, event.text)))
    assert loaded.call("trouble_gives_up", DEVICE, -error, 7) & 0xFFFF_FFFF == (1 << 32) - error
    assert told == [("error", "iommu0", f"error -{name}: no clock 7")]


def test_rcu_watches_and_a_lock_that_is_asked_about_is_held() -> None:
    """The first is a truth value of C, which the compiler takes for 0 or 1; the second is one of three answers."""
    loaded = Loaded()
    assert loaded.call("checks_rcu_sleeps") == 0
    assert loaded.call("checks_holds", loaded.word) == 1


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


@pytest.mark.parametrize("taken", ["", "another", "otherwise"])
@pytest.mark.parametrize("way", ["", "_irqsave"])
def test_a_lock_that_is_not_held_cannot_be_given_back(taken: str, way: str) -> None:
    """The thread dies of it, and not the simulation."""
    loaded = Loaded()
    lock, another = loaded.kernel.static(8), loaded.kernel.static(8)

    async def gives() -> None:
        if taken == "another":
            await asked(loaded, f"_raw_spin_lock{way}", another)
        elif taken:
            await asked(loaded, "_raw_spin_lock" if way else "_raw_spin_lock_irqsave", lock)
        await asked(loaded, "_raw_spin_unlock_irqrestore" if way else "_raw_spin_unlock", lock, 0)

    loaded.machine.start(gives())
    loaded.machine.go()
    (line,) = [line for line in loaded.machine.log if line.startswith("oops")]
    assert line.endswith(": the lock is not held, or was taken otherwise")


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
        ("%hhd", 0x17F, "127"),
        ("%hd", 0x1_8000, "-32768"),
        ("%hx", 0x1_ABCD, "abcd"),
        ("%d.", 0x1_8000_0000, "-2147483648."),
        ("%ue", 5, "5e"),
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


def test_a_lock_is_taken_in_turn_and_what_is_inside_stays_inside() -> None:
    """The turn that comes is awaited with a load that acquires, and the next one is served by a store that releases."""
    loaded = Loaded()
    lock = loaded.word

    async def both() -> None:
        for name in ("_raw_spin_lock", "_raw_spin_unlock"):
            await asked(loaded, name, lock)

    loaded.machine.run(loaded._watched(both()))
    takes, waits, serves, gives = loaded.asked
    assert isinstance(takes, Atomic)
    assert (takes.kind, takes.value, takes.size) == (Amo.ADD, 1 << 16, 4)
    assert isinstance(waits, Load)
    assert (waits.acquire, waits.size) == (True, 4)
    assert isinstance(serves, Load)
    assert isinstance(gives, Store)
    assert (gives.release, gives.size, gives.value) == (True, 2, 1)
    assert {int(op.address) for op in (takes, waits, serves, gives)} == {lock}


def test_the_order_of_a_lock_is_kept_under_what_it_stands_in_and_where() -> None:
    """An object that the driver has allocated, and else one of its variables."""
    driver = Loaded().driver
    driver.objects |= {0x1000: (64, "object of own_probe"), 0x1080: (64, "object of another")}
    found = [driver.lock_class(at) for at in (0x1000, 0x103F, 0x1080, driver.data + 8)]
    assert found == ["object of own_probe+0x0", "object of own_probe+0x3f", "object of another+0x0", "variable+0x8"]
    assert driver.lock_class(0x1040).startswith("variable")


def test_who_waits_for_a_lock_keeps_the_cpu_and_who_comes_first_is_served_first() -> None:
    """Also where the numbers begin again."""
    loaded, got = Loaded(Machine(cpus=3, model="rvwmo")), list[int]()
    lock = loaded.kernel.static(8)
    loaded.machine.memory.write(lock, 4, 0xFFFF_FFFF)

    async def takes(number: int) -> None:
        await loaded.kernel.sleep(number * US)
        await asked(loaded, "_raw_spin_lock", lock)
        got.append(number)
        await Work(5 * US)
        await asked(loaded, "_raw_spin_unlock", lock)

    async def runs() -> None:
        await loaded.kernel.sleep(3 * US)
        got.append(-1)

    for number in range(3):
        loaded.machine.start(takes(number), cpu=f"cpu{number}")
    loaded.machine.start(runs(), cpu="cpu1")
    loaded.machine.go()
    assert got == [0, 1, 2, -1]
    assert loaded.machine.memory.peek(lock, 4) == 0x0002_0002


def test_clocks_count_nanoseconds_and_sleeps_take_microseconds() -> None:
    loaded = Loaded()

    async def body() -> tuple[int | None, int | None]:
        before = await asked(loaded, "ktime_get")
        await asked(loaded, "usleep_range_state", 50, 100, 2)
        return before, await asked(loaded, "ktime_get")

    before, after = loaded.machine.run(body())
    assert before is not None
    assert after is not None
    assert before <= loaded.machine.sim.now // NS
    assert 50_000 <= after - before < 51_000


def test_messages_are_printed_again_in_the_interval_that_follows() -> None:
    """Which begins with the first message of it; each message has its own."""
    loaded = Loaded()
    other = loaded.kernel.static(8)

    async def printed(state: int, most: int) -> int:
        return sum([await asked(loaded, "___ratelimit", state, 0) or 0 for _ in range(most)])

    async def body() -> list[int]:
        await loaded.kernel.sleep(6 * S)
        found = [await printed(loaded.word, 12), await printed(other, 3)]
        for seconds in (4, 2, 4):
            await loaded.kernel.sleep(seconds * S)
            found.append(await printed(loaded.word, 6))
        return found

    assert loaded.machine.run(body()) == [10, 3, 0, 6, 4]


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
