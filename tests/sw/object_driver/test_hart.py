"""One call of a driver's code: what its instructions order, and what a call inside of a call leaves as it was."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

pytest.importorskip("elftools", reason="objects are read with pyelftools: pip install 'cosim[kernel]'")

from cosim.events import CallDone, ReadSectionBegun, ReadSectionEnded
from cosim.isa.instruction import Instruction
from cosim.sim.loaded import Loaded as LoadedValue
from cosim.sim.operations import Atomic, Fence, Load, Oops
from cosim.sw.driver.costs import DriverCosts
from cosim.sw.kernel.thread_context import ThreadContext
from cosim.sw.object_driver.call import SIE, Call
from cosim.sw.object_driver.hart import ObjectHart
from cosim.sw.object_driver.task import COUNT
from cosim.units.quantities import MS, US
from tests.sw.object_driver.test_running import IMAGE, Loaded

PC = IMAGE.code.base
ADDRESS_AT, VALUE_AT = 5, 6
"""The loads that an address and a value come from."""


def does(loaded: Loaded, what: Callable[[ObjectHart], Awaitable[Any]]) -> Any:
    """What comes of something that a hart does alone."""

    async def body() -> Any:
        hart = await loaded.driver.hart()
        answer = await what(hart)
        await hart.leave()
        return answer

    loaded.asked.clear()
    return loaded.machine.run(loaded._watched(body()))


def at_of(number: int) -> int:
    return getattr(number, "at", -1)


def test_what_a_function_is_given_and_what_the_kernel_answers_order_what_is_done_with_them() -> None:
    """If they were loaded; a function of the user's own may answer what it has loaded."""
    loaded = Loaded()
    memory, given = loaded.machine.memory, loaded.kernel.static(8)
    memory.write(loaded.word, 8, 8)

    async def answers(call: Call) -> int:
        return LoadedValue(given, VALUE_AT)

    loaded.driver._functions = {**loaded.driver._functions, "__kmalloc_noprof": answers}
    loaded.call("trouble_allocates_what_it_reads", LoadedValue(loaded.word, ADDRESS_AT))
    through = [(int(op.address), at_of(op.address)) for op in loaded.asked if isinstance(op, Load)]
    assert through == [(loaded.word, ADDRESS_AT), (given, VALUE_AT)]


def test_a_call_that_the_kernel_makes_in_between_leaves_the_registers_and_who_was_called_as_they_were() -> None:
    loaded = Loaded()
    outer, inner = (IMAGE.linked.symbols[name] for name in ("trouble_stores", "trouble_spills"))

    async def calls(hart: ObjectHart) -> None:
        hart.entry = outer
        hart.x[3:32], hart.at[3:32] = range(3, 32), range(103, 132)
        before = list(hart.x), list(hart.at)
        assert await hart.again(inner, LoadedValue(77, VALUE_AT)) == 77
        assert (hart.x, hart.at, hart.entry) == (*before, outer)

    does(loaded, calls)


def test_a_stack_is_used_again_once_its_call_is_over_and_not_before() -> None:
    loaded = Loaded()

    async def calls() -> list[int]:
        first, second = await loaded.driver.hart(), await loaded.driver.hart()
        await first.leave()
        third = await loaded.driver.hart()
        return [hart.low for hart in (first, second, third)]

    first, second, third = loaded.machine.run(calls())
    assert first == third != second


@pytest.mark.parametrize("within", [False, True])
def test_a_fence_takes_the_time_until_it_is_done_and_what_comes_behind_it_counts_for_itself(within: bool) -> None:
    """Whether that is seen by a call that goes on, or by the end of the call."""
    loaded, told = Loaded(), dict[str, CallDone]()
    driver = loaded.driver
    driver.costs = DriverCosts(instruction="1 ms")
    loaded.machine.sim.probe(CallDone).watch(lambda event: told.update({event.call: event}))

    async def waits() -> None:
        hart = await driver.hart()
        async with driver.calls.measured("flush"):
            fence = driver.calls.measured("cmd_sync")
            await fence.__aenter__()
            hart._fence, hart.part = ("iommu0", 1, fence), "fence"
            await loaded.kernel.sleep(5 * US)
            hart.retired += 3
            if within:
                await hart.fenced()
            await hart.leave()

    loaded.machine.run(waits())
    fence, flush = told["cmd_sync"], told["flush"]
    assert fence.time - fence.began < 1 * MS
    assert flush.time == fence.time + 3 * MS
    assert flush.parts["cpu"] >= 3 * MS


# --- Atomics ----------------------------------------------------------------------------------------------------------


def test_an_atomic_comes_behind_the_loads_that_its_address_and_its_value_come_from() -> None:
    loaded = Loaded()
    add, load, store = (Instruction(name, acquire=True) for name in ("amoadd.d", "lr.d", "sc.d"))

    async def asks(hart: ObjectHart) -> None:
        hart.part = "fence"
        await hart.atomic(add, loaded.word, ADDRESS_AT, 1, VALUE_AT, 0, 8, PC)
        await hart.load_reserved(load, loaded.word, ADDRESS_AT, 8, PC)
        assert not await hart.store_conditional(store, loaded.word, -1, 7, VALUE_AT, 8, PC)

    does(loaded, asks)
    assert loaded.machine.memory.read(loaded.word, 8) == 7
    added, found, stored = loaded.asked
    assert isinstance(added, Atomic)
    assert isinstance(found, Load)
    assert isinstance(stored, Atomic)
    assert [at_of(op.address) for op in (added, found)] == [ADDRESS_AT] * 2
    assert [at_of(op.value) for op in (added, stored)] == [VALUE_AT] * 2
    assert [op.acquire for op in (added, found, stored)] == [True] * 3
    assert [op.part for op in (added, found, stored)] == ["fence"] * 3


@pytest.mark.parametrize(("reserved", "offset", "stores"), [(0, 0, True), (8, 0, False), (None, 0, False)])
def test_a_store_conditional_stores_once_to_the_word_that_was_reserved(
    reserved: int | None, offset: int, stores: bool
) -> None:
    loaded = Loaded()
    words = loaded.kernel.static(16)

    async def asks(hart: ObjectHart) -> list[int]:
        if reserved is not None:
            await hart.load_reserved(Instruction("lr.d"), words + reserved, -1, 8, PC)
        return [await hart.store_conditional(Instruction("sc.d"), words, -1, value, -1, 8, PC) for value in (0, 5)]

    # What it would store first is what is there, so that the second finds the word as it was reserved.
    assert does(loaded, asks) == [int(not stores), 1]
    assert sum(isinstance(op, Atomic) for op in loaded.asked) == stores
    assert loaded.machine.memory.read(words, 8) == 0


def test_a_store_conditional_fails_where_another_thread_has_changed_the_word_meanwhile() -> None:
    loaded = Loaded()

    async def asks(hart: ObjectHart) -> int:
        await hart.load_reserved(Instruction("lr.d"), loaded.word, -1, 8, PC)
        loaded.machine.memory.write(loaded.word, 8, 3)
        return await hart.store_conditional(Instruction("sc.d"), loaded.word, -1, 5, -1, 8, PC)

    assert does(loaded, asks) == 1
    assert loaded.machine.memory.read(loaded.word, 8) == 3


def test_an_atomic_on_what_nobody_has_set_is_an_oops() -> None:
    loaded = Loaded()
    loaded.driver.unset.mark(loaded.word, 8, "pair")
    assert "reads pair.first, which nobody has set" in loaded.dies("trouble_adds", loaded.word + 4)


def test_preemption_is_off_as_long_as_a_read_section_that_is_a_count() -> None:
    """It ends before preemption is on again; a count that is stored as it was changes nothing."""
    loaded, contexts, found = Loaded(), list[ThreadContext](), list[int]()
    for event in (ReadSectionBegun, ReadSectionEnded):
        loaded.machine.sim.probe(event).watch(lambda _: found.append(contexts[0].preempt))
    count = loaded.driver.layout.info.field(COUNT)

    async def counts(hart: ObjectHart) -> None:
        contexts.append(hart.context)
        for value, sections in ((1, 1), (1, 1), (0, 0), (0, 0)):
            if (changed := hart.block.store(count.offset, count.size, value)) is not None:
                await changed
            assert (hart.context.rcu, hart.context.preempt) == (sections, sections)

    does(loaded, counts)
    assert found == [1, 1]


# --- Fences and CSRs --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("imm", "wanted"),
    [
        (0x0FF, ("iorw", "iorw", False)),
        (0x833, ("rw", "rw", True)),
        (0x012, ("w", "r", False)),
        (0x048, ("o", "i", False)),
        (0x010, None),
        (0x001, None),
    ],
)
def test_a_fence_orders_what_its_two_sets_say_and_one_with_an_empty_set_is_a_hint(
    imm: int, wanted: tuple[str, str, bool] | None
) -> None:
    loaded = Loaded()

    async def asks(hart: ObjectHart) -> None:
        await hart.fence(Instruction("fence", imm=imm), PC)
        hart.part = "fence"
        await hart.fence(Instruction("fence", imm=imm), PC)

    does(loaded, asks)
    fences = [op for op in loaded.asked if isinstance(op, Fence)]
    assert [(op.predecessor, op.successor, op.tso) for op in fences] == [wanted] * 2 * bool(wanted)
    assert [op.part for op in fences] == ["fence_instr", "fence"] * bool(wanted)


@pytest.mark.parametrize(
    ("name", "register", "value"),
    [("csrrs", 0x100, SIE | 1 << 18), ("csrrw", 0x100, SIE), ("csrrwi", 0x100, SIE), ("csrrc", 0x180, SIE)],
)
def test_no_more_of_a_csr_is_modelled_than_the_bit_that_masks_interrupts(name: str, register: int, value: int) -> None:
    loaded = Loaded()

    async def asks(hart: ObjectHart) -> None:
        with pytest.raises(Oops, match=f"{name} of the register {register:#x}, which is not modelled"):
            await hart.csr(Instruction(name, imm=register), value, PC)
        assert hart.context.irq == 0

    does(loaded, asks)
