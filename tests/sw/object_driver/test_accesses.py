"""Where an access of a driver's code goes: its variables stand in memory, and an atomic is on memory alone."""

from __future__ import annotations

from typing import Any, cast

import pytest

pytest.importorskip("elftools", reason="objects are read with pyelftools: pip install 'cosim[kernel]'")

from cosim.isa.instruction import Instruction
from cosim.object.link import Region
from cosim.sim.loaded import Loaded as LoadedValue
from cosim.sim.loaded import at_of
from cosim.sim.operations import Op, PollEither, Store
from cosim.spec.pagetable import PAGE
from cosim.spec.register_map import CQH, FCTL
from cosim.sw.iommu_ops import Hardware
from cosim.sw.object_driver.machine import STACK, STACKS, TASKS
from cosim.sw.object_driver.pages import END, FIRST, Descriptors
from cosim.sw.object_driver.patience import ROUNDS
from tests.sw.object_driver.test_running import IMAGE, Loaded

REGISTERS = 0x0300_0000
NOWHERE = 0xFFFF_FFFF_0000_0000


@pytest.mark.parametrize("last", [False, True])
def test_a_variable_of_the_driver_stands_in_memory(last: bool) -> None:
    loaded = Loaded()
    driver, memory = loaded.driver, loaded.machine.memory
    offset = driver.data_end - driver.data_start - 8 if last else 0
    loaded.call("trouble_stores", driver.data_start + offset)
    assert memory.read(driver.data + offset, 8) == 1
    assert loaded.call("trouble_swaps", driver.data_start + offset, 1, 6) == 1
    assert loaded.call("trouble_adds", driver.data_start + offset) == 6
    assert loaded.call("trouble_loads", driver.data_start + offset) == memory.read(driver.data + offset, 8) == 5


@pytest.mark.parametrize(
    ("name", "address", "wanted"),
    [
        ("trouble_loads", 0x8000_0004, "unaligned load of 8 bytes at 0x80000004"),
        ("trouble_stores", 0x10, "null pointer dereference: store of 8 bytes at 0x10"),
    ],
)
def test_a_load_or_store_that_no_memory_can_carry_out_is_an_oops(name: str, address: int, wanted: str) -> None:
    assert wanted in Loaded().dies(name, address)


def test_of_what_is_loaded_all_bytes_have_to_be_set() -> None:
    loaded = Loaded()
    loaded.driver.unset.mark(loaded.word + 4, 4, "two words")
    assert "reads two words at offset 0x0, which nobody has set" in loaded.dies("trouble_loads", loaded.word)


def test_calls_that_are_under_way_at_once_have_a_stack_each_and_the_lowest_is_used_again() -> None:
    driver = Loaded().driver
    assert [driver.take_slot() for _ in range(3)] == [0, 1, 2]
    driver.give_slot(0)
    driver.give_slot(1)
    assert [driver.take_slot() for _ in range(3)] == [0, 1, 3]


def test_what_stands_behind_the_last_variable_is_none() -> None:
    end = Loaded().driver.data_end
    for name in ("trouble_loads", "trouble_stores", "trouble_adds"):
        assert f"access to {end:#x}, where nothing is" in Loaded().dies(name, end)


@pytest.mark.parametrize("at", [STACKS, STACKS + STACK - 8])
def test_a_stack_is_the_calls_own_from_its_first_byte_to_its_last(at: int) -> None:
    loaded = Loaded()
    loaded.call("trouble_stores", at)
    assert loaded.call("trouble_loads", at) == 0, "the stack of another call"
    assert not loaded.asked


@pytest.mark.parametrize("beyond", [4, 8])
@pytest.mark.parametrize("name", ["trouble_loads", "trouble_stores"])
def test_what_reaches_beyond_the_stack_is_not_on_it(name: str, beyond: int) -> None:
    at = STACKS + STACK - 8 + beyond
    assert f"access to {at:#x}, on the stack of another call" in Loaded().dies(name, at)


@pytest.mark.parametrize(
    ("at", "told"),
    [
        (STACKS, "on the stack of another call"),
        (TASKS - 8, "on the stack of another call"),
        (TASKS, "where nothing is"),
    ],
)
def test_what_another_call_has_is_not_for_this_one(at: int, told: str) -> None:
    for name in ("trouble_loads", "trouble_stores"):
        loaded = Loaded()
        assert loaded.driver.take_slot() == 0
        assert f"access to {at:#x}, {told}" in loaded.dies(name, at)


def test_a_variable_of_the_kernels_is_a_constant_to_the_driver() -> None:
    loaded = Loaded()
    loaded.driver.given = Region(NOWHERE, bytes(range(16)))
    assert loaded.call("trouble_loads", NOWHERE + 8) == 0x0F0E_0D0C_0B0A_0908
    assert not loaded.asked
    assert f"store to the constant at {NOWHERE + 8:#x}" in loaded.dies("trouble_stores", NOWHERE + 8)


def test_what_was_compiled_with_the_code_is_a_constant_too() -> None:
    loaded = Loaded()
    at, wanted = IMAGE.code.base + 8, int.from_bytes(IMAGE.code.data[8:16], "little")
    assert loaded.call("trouble_loads", at) == wanted != 0
    assert not loaded.asked


def test_an_address_that_was_loaded_orders_the_store_through_it_and_one_that_was_given_does_not() -> None:
    loaded = Loaded()
    loaded.machine.memory.write(loaded.word, 8, loaded.word)
    loaded.call("trouble_stores_through", loaded.word)
    loaded.call("trouble_stores", loaded.word)
    through, given = (op for op in loaded.asked if isinstance(op, Store))
    assert getattr(through.address, "at", -1) >= 0
    assert getattr(given.address, "at", -1) < 0


@pytest.mark.parametrize(("address_at", "value_at"), [(-1, -1), (-1, 77), (66, -1), (66, 77)])
def test_a_store_depends_on_what_its_address_and_what_its_data_were_made_of(address_at: int, value_at: int) -> None:
    loaded = Loaded()
    hart = loaded.machine.run(loaded.driver.hart())
    op = hart.store(loaded.word, address_at, 5, value_at, 8, IMAGE.code.base)
    assert isinstance(op, Store)
    assert (op.address, op.value) == (loaded.word, 5)
    assert (at_of(op.address), at_of(op.value)) == (address_at, value_at)


def test_what_a_load_reserved_finds_orders_what_is_done_with_it_as_any_load_does() -> None:
    loaded = Loaded()
    loaded.machine.memory.write(loaded.word, 8, 0x77)

    async def loads() -> LoadedValue:
        hart = await loaded.driver.hart()
        return await hart.load_reserved(Instruction("lr.d"), loaded.word, -1, 8, IMAGE.code.base)

    found = loaded.machine.run(loads())
    assert found == 0x77
    assert found.at >= 0


@pytest.mark.parametrize(
    ("address", "wanted"),
    [
        (REGISTERS + 0x20, "atomic on the register at 0x3000020"),
        (STACKS, "atomic on the stack, which is not modelled"),
        (STACKS + STACK - 4, "atomic on the stack, which is not modelled"),
        (STACKS + STACK, f"access to {STACKS + STACK:#x}, on the stack of another call"),
        (NOWHERE, f"access to {NOWHERE:#x}, where nothing is"),
        (0x10, "null pointer dereference: atomic of 4 bytes at 0x10"),
        (0x8000_0002, "unaligned atomic of 4 bytes at 0x80000002"),
    ],
)
def test_an_atomic_that_is_on_no_memory_is_an_oops(address: int, wanted: str) -> None:
    loaded = Loaded()
    loaded.driver.registers[REGISTERS >> 12] = Hardware("iommu0", REGISTERS, (), "cpu0")
    assert wanted in loaded.dies("trouble_adds", address)


def test_an_atomic_that_is_not_known_is_an_oops_with_its_name() -> None:
    loaded = Loaded()

    async def asks() -> None:
        hart = await loaded.driver.hart()
        await hart.atomic(Instruction("amominu.w"), loaded.word, -1, 1, -1, 0, 4, IMAGE.code.base)

    loaded.machine.start(asks())
    loaded.machine.go()
    assert loaded.machine.log[0].startswith("oops")
    assert "amominu.w is not modelled" in loaded.machine.log[0]


def test_a_descriptor_of_a_page_holds_what_was_stored_and_zeroes_elsewhere() -> None:
    descriptors = Descriptors()
    at = descriptors.at(7 * PAGE)
    descriptors.store(at + 8, 8, 0x1122_3344_5566_7788)
    descriptors.store(at + 10, 2, 0xABCD_EF01)
    assert descriptors.load(at + 8, 8) == 0x1122_3344_EF01_7788
    assert [descriptors.load(at + 8 + n, 1) for n in range(8)] == [0x88, 0x77, 0x01, 0xEF, 0x44, 0x33, 0x22, 0x11]
    assert [descriptors.load(at + 8 + n, 2) for n in (0, 2, 6)] == [0x7788, 0xEF01, 0x1122]
    assert [descriptors.load(at + 8 + n, 4) for n in (0, 4)] == [0xEF01_7788, 0x1122_3344]
    assert descriptors.load(at, 8) == descriptors.load(at + 16, 8) == 0
    assert [descriptors.page(at + n) for n in (0, 8, 63)] == [7 * PAGE] * 3
    assert descriptors.page(at + 64) == 8 * PAGE


@pytest.mark.parametrize(
    ("part", "wanted"), [("", ["cpu", "cpu", "cq_full", "mmio", "mmio", "mmio"]), ("fence", ["fence"] * 6)]
)
def test_all_time_counts_for_the_fence_that_is_waited_for_and_else_for_what_it_is(part: str, wanted: list[str]) -> None:
    """Memory, the head of the queue, and another register: each is loaded and stored."""
    loaded, found = Loaded(), list[str]()
    loaded.driver.registers[REGISTERS >> 12] = Hardware("iommu0", REGISTERS, (), "cpu0")

    async def accesses() -> None:
        hart = await loaded.driver.hart()
        hart.part = part
        asked = hart.asked

        def notes(op: Op[Any], pc: int) -> Any:
            found.append(op.part)
            return asked(op, pc)

        hart.asked = notes  # type: ignore[method-assign]
        for at, size in ((loaded.word, 8), (REGISTERS + CQH.offset, 4), (REGISTERS + FCTL.offset, 4)):
            await hart.load(at, -1, size, IMAGE.code.base)
            await hart.store(at, -1, 1, -1, size, IMAGE.code.base)

    loaded.machine.run(accesses())
    assert found == wanted


def test_descriptors_are_there_for_all_pages_and_nothing_is_beside_them() -> None:
    loaded = Loaded()
    for at in (FIRST, END - 8):
        loaded.call("trouble_stores", at)
        assert loaded.call("trouble_loads", at) == 1
    for at in (FIRST - 8, END):
        for name in ("trouble_loads", "trouble_stores"):
            assert f"access to {at:#x}, where nothing is" in Loaded().dies(name, at)


def test_what_is_reserved_on_the_stack_is_as_much_as_was_asked_for_in_steps_of_16_bytes() -> None:
    """The stack grows down, and is aligned."""
    loaded = Loaded()

    async def reserves() -> list[int]:
        hart = await loaded.driver.hart()
        top, found = hart.x[2], list[int]()
        for size in (1, 8, 16, 17, 64):
            assert hart.reserve(size) == hart.x[2]
            found.append(top - hart.x[2])
            top = hart.x[2]
        return found

    assert loaded.machine.run(reserves()) == [16, 16, 16, 32, 64]


def test_the_drivers_own_variables_end_where_the_first_of_the_kernels_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    """In whatever order it names them."""
    end = IMAGE.linked.data.end
    given = {"acpi_disabled": end - 8, "pgtable_l4_enabled": end - 16, "pgtable_l5_enabled": end - 4}
    for name, address in given.items():
        monkeypatch.setitem(cast(dict[str, int], IMAGE.linked.given), name, address)
    loaded = Loaded()
    assert [loaded.call("trouble_loads", end - 8 * n) for n in (2, 1)] == [0, 1]
    assert not loaded.asked
    loaded.call("trouble_loads", end - 24)
    assert loaded.asked


def test_the_drivers_variables_begin_as_they_were_compiled_and_no_others_are_written() -> None:
    """What stands behind them is another's, up to the end of the last word."""
    loaded, data = Loaded(), IMAGE.linked.data.data
    own = next(at + 4 for at in range(0, len(data) - 16, 8) if any(data[at : at + 4]) and any(data[at + 4 : at + 8]))
    loaded.driver.data_end = loaded.driver.data_start + own
    memory, at = loaded.machine.memory, loaded.driver.data
    for offset in range(0, len(data), 8):
        memory.write(at + offset, 8, 0x77)
    loaded.machine.run(loaded.driver.put_data())
    end = own + 4
    assert bytes(memory.peek(at + n, 1) for n in range(end)) == data[:own] + bytes(4)
    assert {memory.peek(at + offset, 8) for offset in range(end, len(data), 8)} == {0x77}


def test_a_loop_that_reads_a_register_of_two_iommus_waits_for_both() -> None:
    loaded, places = Loaded(), [base + CQH.offset for base in (REGISTERS, REGISTERS + PAGE)]
    for number, at in enumerate(places):
        loaded.driver.registers[at >> 12] = Hardware(f"iommu{number}", at - CQH.offset, (), "cpu0")

    async def polls() -> Any:
        hart = await loaded.driver.hart()
        for _ in range(ROUNDS + 1):
            for at in places:
                await hart.load(at, -1, 4, IMAGE.code.base)
        return hart.wait.skipped(loaded.machine.sim.now, "mmio")

    waits = loaded.machine.run(polls())
    assert isinstance(waits, PollEither)
    assert [waits.first.address, waits.second.address] == places
