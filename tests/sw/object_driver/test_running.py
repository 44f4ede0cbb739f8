"""The code of a driver runs on a CPU: what is an operation, what is none, and what the kernel does not survive."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("elftools", reason="objects are read with pyelftools: pip install 'cosim[kernel]'")

from cosim.events import KernelLog, LineReached, ReadSectionBegun, ReadSectionEnded
from cosim.object.errors import ObjectError
from cosim.sim.operations import Atomic, Body, Fence, Load, Op, Store
from cosim.sw.driver.compiled import paths_of
from cosim.sw.driver.costs import DriverCosts
from cosim.sw.iommu_ops import Hardware
from cosim.sw.object_driver import hart
from cosim.sw.object_driver.loading import load_objects
from cosim.sw.object_driver.running import Running
from cosim.sw.object_driver.structures import Structures
from cosim.sw.object_driver.unset import Unset
from cosim.units.quantities import MS, US
from tests.sw.machine import Machine

DRIVER = Path(__file__).parents[2] / "object" / "driver"
IMAGE = load_objects([DRIVER / f"{name}.o" for name in ("queue", "domain", "trouble", "checks")]).image


class Loaded:
    """The small machine with the driver loaded; `asked` are the operations of memory that its code asks for."""

    def __init__(self, machine: Machine | None = None) -> None:
        self.machine = machine or Machine()
        self.kernel = self.machine.kernel
        self.driver = Running(self.kernel, IMAGE, DriverCosts())
        self.word = self.kernel.static(8)
        self.asked: list[Op[Any]] = []
        self.more: list[str] = []
        self.machine.sim.probe(KernelLog).watch(lambda event: self.more.append(event.more))

    def call(self, name: str, *arguments: int) -> int:
        """Call a function, alone; what it returns."""
        return int(self.machine.run(self._watched(self.driver.run(IMAGE.linked.symbols[name], *arguments))))

    def dies(self, function: str | int, *arguments: int) -> str:
        """Call a function, by its name or where it is, that the kernel does not survive; of what it died."""
        entry = IMAGE.linked.symbols[function] if isinstance(function, str) else function
        self.machine.start(self.driver.run(entry, *arguments))
        self.machine.go()
        return next(line for line in self.machine.log if line.startswith("oops"))

    async def _watched(self, body: Body) -> Any:
        answer: Any = None
        while True:
            try:
                op = body.send(answer)
            except StopIteration as stop:
                return stop.value
            if isinstance(op, (Load, Store, Atomic, Fence)):
                self.asked.append(op)
            answer = await op


@pytest.fixture
def loaded() -> Loaded:
    return Loaded()


def line_of(text: str, source: str = "trouble.c") -> int:
    lines = (DRIVER / source).read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)


def test_an_access_that_others_see_is_an_operation_with_its_line(loaded: Loaded) -> None:
    loaded.machine.memory.write(loaded.word, 8, 0x1234)
    assert loaded.call("trouble_loads", loaded.word) == 0x1234
    assert [(type(op), op.place) for op in loaded.asked] == [
        (Load, f"trouble.c:{line_of('trouble_loads')}, in trouble_loads")
    ]


def test_what_is_on_the_stack_is_no_operation_and_costs_instructions(loaded: Loaded) -> None:
    assert loaded.call("trouble_spills", 77) == 77
    assert not loaded.asked
    took = loaded.machine.sim.now
    loaded.driver.costs = DriverCosts(instruction="1 ms")  # type: ignore[arg-type]
    loaded.call("trouble_spills", 77)
    assert loaded.machine.sim.now >= took + 3 * MS


def test_a_compare_and_swap_is_one_atomic_with_its_ordering(loaded: Loaded) -> None:
    loaded.machine.memory.write(loaded.word, 8, 3)
    assert loaded.call("trouble_swaps", loaded.word, 3, 5) == 3
    assert loaded.call("trouble_swaps", loaded.word, 3, 6) == 5
    assert loaded.machine.memory.read(loaded.word, 8) == 5
    first = next(op for op in loaded.asked if isinstance(op, Atomic))
    assert (first.kind.name, first.acquire, first.release) == ("CAS", False, True)


def test_a_pair_that_acquires_where_it_stores_alone_is_a_load_and_a_swap(loaded: Loaded) -> None:
    loaded.machine.memory.write(loaded.word, 8, 3)
    assert loaded.call("trouble_swaps_and_acquires", loaded.word, 4, 6) == 3
    assert loaded.call("trouble_swaps_and_acquires", loaded.word, 3, 5) == 3
    assert loaded.machine.memory.read(loaded.word, 8) == 5
    assert [type(op) for op in loaded.asked] == [Load, Load, Atomic]
    assert [getattr(op, "acquire", None) for op in loaded.asked] == [False, False, True]


def test_an_atomic_of_4_bytes_gives_its_old_value(loaded: Loaded) -> None:
    assert loaded.call("trouble_adds", loaded.word) == 0
    assert loaded.call("trouble_adds", loaded.word) & 0xFFFF_FFFF == 0xFFFF_FFFF
    assert loaded.machine.memory.read(loaded.word, 8) == 0xFFFF_FFFE
    atomic = next(op for op in loaded.asked if isinstance(op, Atomic))
    assert (atomic.kind.name, atomic.size, atomic.acquire, atomic.release) == ("ADD", 4, False, True)


def test_an_address_that_was_loaded_orders_the_load_through_it(loaded: Loaded) -> None:
    loaded.machine.memory.write(loaded.word, 8, loaded.word)
    loaded.call("trouble_follows", loaded.word)
    first, second = (op for op in loaded.asked if isinstance(op, Load))
    assert not hasattr(first.address, "at")
    assert getattr(second.address, "at", None) is not None


def test_what_the_kernel_returns_does_not_depend_on_what_it_was_given(loaded: Loaded) -> None:
    loaded.machine.memory.write(loaded.word, 8, 8)
    loaded.call("trouble_allocates_what_it_reads", loaded.word)
    _, through = (op for op in loaded.asked if isinstance(op, Load))
    assert not hasattr(through.address, "at")


OOPSES = {
    "trouble_jumps": ((0x1000,), "jumps to nowhere: 0x1000 is no instruction"),
    "trouble_loads": ((0x10,), "null pointer dereference: load of 8 bytes at 0x10"),
    "trouble_stores": ((0x8000_0004,), "unaligned store of 8 bytes"),
    "trouble_is_a_bug": ((), "BUG"),
    "trouble_has_a_marked_bug": ((), "BUG"),
    "trouble_frees_twice": ((), "not in use (freed twice"),
}


@pytest.mark.parametrize("name", OOPSES)
def test_what_the_kernel_does_not_survive_is_an_oops_with_its_line(loaded: Loaded, name: str) -> None:
    arguments, wanted = OOPSES[name]
    told = loaded.dies(name, *arguments)
    assert wanted in told
    if name != "trouble_frees_twice":
        assert f"trouble.c:{line_of(name)}, in {name}" in told


def test_an_object_that_is_freed_twice_is_told_with_three_lines(loaded: Loaded) -> None:
    """That of the second free, of the allocation and of the first one."""
    loaded.dies("trouble_frees_twice")
    begun, where = line_of("void trouble_frees_twice"), "in trouble_frees_twice)"
    (more,) = loaded.more
    assert more.startswith(f" (trouble.c:{begun + 5}, {where}; what was there (object of trouble_frees_twice) was ")
    assert "allocated by cpu0.t at " in more
    assert f" (trouble.c:{begun + 2}, {where}, and freed before by cpu0.t at " in more
    assert more.endswith(f" (trouble.c:{begun + 4}, {where}")


@pytest.mark.parametrize(("name", "stores"), [("trouble_warns_once", 1), ("trouble_warns", 2)])
def test_a_warning_is_logged_with_its_line_and_the_code_goes_on(loaded: Loaded, name: str, stores: int) -> None:
    loaded.call(name, loaded.word)
    assert loaded.machine.memory.read(loaded.word, 8) == stores
    line = line_of(f"*at = {stores};") - 1
    assert loaded.machine.log == [f"warning: WARNING at trouble.c:{line}, in {name}"]


def test_a_jump_to_nowhere_has_the_line_of_the_jump(loaded: Loaded) -> None:
    told = loaded.dies("trouble_jumps_later", loaded.word, 0x1000)
    begun = line_of("trouble_jumps_later")
    assert f"trouble.c:{begun + 3}, in trouble_jumps_later: jumps to nowhere" in told


@pytest.mark.parametrize("entry", [0, 0x1000])
def test_a_function_that_is_nowhere_is_an_oops_of_the_kernel_that_calls_it(loaded: Loaded, entry: int) -> None:
    """As where a driver has filled in a table of its operations badly."""
    assert f"jumps to nowhere: {entry:#x} is no instruction" in loaded.dies(entry)


def test_an_operation_of_a_driver_may_be_a_function_of_the_kernel(loaded: Loaded) -> None:
    clock = next(entry for entry, name in IMAGE.linked.outside.items() if name == hart.CLOCK)
    loaded.machine.go(until=3 * US)
    assert loaded.machine.run(loaded.driver.run(clock)) // 1000 == 3


def test_a_loop_without_an_end_is_an_oops(loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hart, "PATIENCE", 1000)
    monkeypatch.setattr(hart, "LOOKS", 0xF)
    assert "loops for ever: 1000 instructions" in loaded.dies("trouble_loops")


def test_the_stack_of_another_call_is_out_of_bounds(loaded: Loaded) -> None:
    assert "on the stack of another call" in loaded.dies("trouble_loads", 0xFFFF_FFC8_0005_0000)


def test_a_constant_is_not_stored_to(loaded: Loaded) -> None:
    assert "store to the constant" in loaded.dies("trouble_stores", IMAGE.code.base)


def test_what_was_allocated_and_not_set_faults_when_it_is_read(loaded: Loaded) -> None:
    told = loaded.dies("trouble_reads_what_it_allocated")
    assert f"reads what was allocated at trouble.c:{line_of('*pair = __kmalloc_noprof')} at offset 0x8" in told


def test_bytes_are_set_by_the_stores_that_cover_them() -> None:
    unset = Unset()
    unset.mark(0x1FF8, 16, "pair")
    unset.set(0x1FFC, 8)
    assert unset.at(0x1FF8, 4) == ("pair", 0)
    assert unset.at(0x1FFC, 8) is None
    assert unset.at(0x2000, 8) == ("pair", 12)
    unset.set(0x1FF8, 16)
    assert not unset.pages
    for start, size in ((0x1FF8, 0x3010), (0x2000, 0x1000), (0x2000, 0x3000)):
        unset.mark(start, size, "ring")
        assert all(unset.at(start + at, 8) == ("ring", at) for at in range(0, size, 512))
        unset.set(start, size)
        assert not unset.pages


def test_a_member_that_the_kernel_did_not_set_faults_when_it_is_read(loaded: Loaded) -> None:
    structures = Structures(loaded.driver)

    async def made() -> int:
        return await structures._new("device")

    device = loaded.machine.run(made())
    assert "reads device.offline, which nobody has set" in loaded.dies("trouble_reads_an_unset_member", device)


def test_sleeping_under_a_spinlock_is_reported(loaded: Loaded) -> None:
    loaded.call("trouble_sleeps_with_a_lock", loaded.word)
    assert "oops: sleeping with interrupts masked" in loaded.machine.log


def test_a_message_is_formatted_as_printk_does(loaded: Loaded) -> None:
    name = next(iter(IMAGE.linked.symbols.values()))
    text = IMAGE.code.data.index(b"this IOMMU interrupts by message only")
    name = IMAGE.code.base + text
    loaded.call("trouble_prints", 0, name)
    wanted = "-3 of 4, 0xff 0x10000000000 18446744073709551615,    42% x"
    assert loaded.machine.log == [f"warning: this IOMMU interrupts by message only\n: {wanted}"]


# --- What compiled code does without a call, or with a rare one ------------------------------------------------------


@pytest.mark.parametrize("reads", ["trouble_reads_with_preemption_off", "checks_reads_with_preemption_off"])
def test_a_count_of_preemption_is_a_read_section_of_rcu(loaded: Loaded, reads: str) -> None:
    """It is counted by a call where the kernel has CONFIG_DEBUG_PREEMPT."""
    told: list[str] = []
    loaded.machine.sim.probe(ReadSectionBegun).watch(lambda event: told.append("begun"))
    loaded.machine.sim.probe(ReadSectionEnded).watch(lambda event: told.append("ended"))

    async def calls() -> None:
        await loaded.driver.run(IMAGE.linked.symbols[reads], loaded.word)
        assert not (await loaded.kernel.context()).preempt
        told.append("returned")

    loaded.machine.run(calls())
    assert told == ["begun", "ended", "returned"]


def test_a_count_of_preemption_that_a_call_changes_is_that_of_the_task(loaded: Loaded) -> None:
    loaded.machine.memory.write(loaded.word, 8, 0x77)
    assert loaded.call("checks_reads_with_preemption_off", loaded.word) == 0x78
    assert "preemption is not off" in loaded.dies("checks_enables_preemption")


def test_a_read_section_that_is_a_call_is_one_and_may_nest(loaded: Loaded) -> None:
    """As where the kernel has CONFIG_PREEMPT_RCU."""
    told: list[str] = []
    loaded.machine.sim.probe(ReadSectionBegun).watch(lambda event: told.append("begun"))
    loaded.machine.sim.probe(ReadSectionEnded).watch(lambda event: told.append("ended"))
    loaded.machine.memory.write(loaded.word, 8, 0x77)
    assert loaded.call("checks_reads", loaded.word) == 0x77
    assert told == ["begun", "ended"]
    assert "no RCU read section has begun" in loaded.dies("checks_ends_what_has_not_begun")


@pytest.mark.parametrize(
    ("reads", "source", "begins", "ends"),
    [
        ("checks_reads", "checks.c", "\t__rcu_read_lock();", "\treturn value;"),
        ("trouble_reads_with_preemption_off", "trouble.c", "preempt_count + 1", "\treturn value;"),
    ],
)
def test_who_watches_is_told_of_the_line_before_what_comes_of_it(
    loaded: Loaded, reads: str, source: str, begins: str, ends: str
) -> None:
    """By a call or by a count: each end of a read section; and that the thread is back from the driver."""
    told: list[str] = []
    loaded.machine.sim.probe(LineReached).watch(lambda event: told.append(event.place))
    loaded.machine.sim.probe(ReadSectionBegun).watch(lambda event: told.append("begun"))
    loaded.machine.sim.probe(ReadSectionEnded).watch(lambda event: told.append("ended"))
    loaded.machine.memory.write(loaded.word, 8, 0x77)
    loaded.call(reads, loaded.word)
    first = line_of(begins, source)
    lines = (DRIVER / source).read_text().splitlines()
    last = next(number for number in range(first, len(lines)) if ends in lines[number])  # the line above that
    places = [f"{source}:{line}, in {reads}" for line in (first, last)]
    assert [told[told.index("begun") - 1], told[told.index("ended") - 1], told[-1]] == [*places, ""]


def test_a_grace_period_is_waited_for(loaded: Loaded) -> None:
    loaded.kernel.boot()
    loaded.call("checks_waits")
    assert loaded.kernel.counters()["grace_periods"] == 1


def test_memory_is_mapped_where_it_is(loaded: Loaded) -> None:
    assert loaded.call("checks_translates", loaded.word) == loaded.word


def test_lockdep_is_told_of_a_lock_and_the_lock_is_taken_all_the_same(loaded: Loaded) -> None:
    loaded.machine.memory.write(loaded.word, 4, 0x5A5A_5A5A)
    loaded.call("checks_locks", loaded.word)
    assert loaded.machine.memory.read(loaded.word, 4) == 0x0001_0001


def test_a_member_of_the_task_that_nobody_has_set_faults_when_it_is_read(loaded: Loaded) -> None:
    assert "reads task_struct.thread_info, which nobody has set" in loaded.dies("trouble_asks_where_it_runs")


def test_an_object_is_freed_after_a_grace_period(loaded: Loaded) -> None:
    loaded.kernel.boot()
    address = loaded.call("trouble_frees_after_a_grace_period")
    in_use = {one.address for one in loaded.kernel.pages.in_use()}
    assert address not in in_use, "the machine runs until nothing happens any more"
    assert loaded.kernel.counters()["grace_periods"] == 1


def test_what_goes_with_a_device_is_undone_once_and_by_its_own_function(loaded: Loaded) -> None:
    device, other = 0x8100_0000, loaded.kernel.static(8)
    for counter in (loaded.word, other, loaded.word):
        loaded.call("trouble_holds", device, counter)
    held = [data for data, _ in loaded.driver.held[device]]
    assert len(loaded.kernel.leaks()) == 0
    assert loaded.call("trouble_lets_go", device, other) == 0
    assert [data for data, _ in loaded.driver.held[device]] == [held[0], held[2]]
    assert loaded.machine.memory.read(other, 8) == 1
    assert len(loaded.kernel.leaks()) == 0
    assert loaded.call("trouble_lets_go", device, other) == (1 << 64) - errno.ENOENT
    assert loaded.machine.memory.read(loaded.word, 8) == 0
    assert loaded.call("trouble_lets_go", device, loaded.word) == 0
    assert [data for data, _ in loaded.driver.held[device]] == [held[0]], "the newest that matches"


def test_a_list_of_pages_is_freed_by_the_links_in_their_descriptors(loaded: Loaded) -> None:
    before = loaded.kernel.pages.free_bytes(0)
    loaded.call("trouble_frees_a_list")
    assert loaded.kernel.pages.free_bytes(0) == before


def test_ten_messages_are_printed_in_an_interval(loaded: Loaded) -> None:
    assert [loaded.call("trouble_complains", loaded.word) for _ in range(12)] == [1] * 10 + [0] * 2


def test_a_copy_is_made_in_words_where_both_ends_are_aligned(loaded: Loaded) -> None:
    source, memory = loaded.kernel.static(16), loaded.machine.memory
    memory.write(source, 8, 0x0807060504030201)
    memory.write(source + 8, 8, 0x100F0E0D0C0B0A09)
    for to, start, size, sizes, copied in (
        (0, 0, 8, [8], 0x0807060504030201),
        (0, 0, 11, [8, 1, 1, 1], 0x0807060504030201),
        (1, 0, 3, [1] * 3, 0x03020100),
        (0, 1, 8, [1] * 8, 0x0908070605040302),
    ):
        there = loaded.kernel.static(16)
        loaded.asked.clear()
        loaded.call("trouble_copies", there + to, source + start, size)
        assert [op.size for op in loaded.asked if isinstance(op, Store)] == sizes
        assert memory.read(there, 8) == copied


def test_an_id_is_the_lowest_free_one_of_its_range_and_without_one_an_errno(loaded: Loaded) -> None:
    taken = [loaded.call("trouble_takes_an_id", loaded.word, 5, 7) for _ in range(4)]
    assert taken == [5, 6, 7, (1 << 64) - errno.ENOSPC]
    loaded.call("trouble_gives_an_id_back", loaded.word, 6)
    assert loaded.call("trouble_takes_an_id", loaded.word, 5, 7) == 6
    unlimited = loaded.kernel.static(8)
    assert loaded.call("trouble_takes_an_id", unlimited, 0, (1 << 32) - 1) == 0, "another allocator has its own"


def test_an_interface_of_registers_is_read_over_the_bus(loaded: Loaded) -> None:
    base = 0x0300_0000
    loaded.driver.registers[base >> 12] = Hardware("iommu0", base, (), "cpu0")
    loaded.machine.registers[base + 0x20] = 9
    assert loaded.call("trouble_polls", base + 0x20, 5) == 9
    assert loaded.machine.operations["MmioRead"] == 1


@pytest.mark.parametrize("name", ["object:", "object:a.o,", "object: ,a.o"])
def test_a_path_that_is_missing_is_not_taken_for_a_folder(name: str) -> None:
    with pytest.raises(ObjectError, match="a path is missing; write object:PATH"):
        load_objects(paths_of(name))
