"""Kernel objects live in simulated memory, word by word."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.sim.loaded import Loaded, at_of
from cosim.sim.operations import Load, Oops, Store, Work
from cosim.sw.kernel.lists import LIST_POISON2, ListHead
from cosim.sw.kernel.locks import SpinLock
from cosim.sw.kernel.objects import LOWEST_VALID, Object, Ordering, cell, embed
from tests.sw.machine import Machine


class Point(Object):
    x = cell()
    y = cell()


class Shape(Object):
    head = embed(ListHead)
    origin = embed(Point)
    colour = cell()


def test_fields_follow_one_another_and_know_their_size() -> None:
    assert Point.SIZE == 16
    assert (Shape.head.offset, Shape.origin.offset, Shape.colour.offset) == (0, 16, 32)
    assert Shape.SIZE == 40
    assert Shape.WORDS == ("head.next", "head.prev", "origin.x", "origin.y", "colour")


def test_fields_may_be_placed_with_words_between_them_and_in_any_order() -> None:
    class Spaced(Object):
        late = cell(32)
        later = cell()
        early = cell(24)

    assert (Spaced.later.offset, Spaced.SIZE) == (40, 48)
    assert Spaced.WORDS == ("", "", "", "early", "late", "later")


def test_a_subclass_adds_its_fields_behind_those_of_its_base() -> None:
    class Solid(Point):
        z = cell()

    assert Solid.z.offset == 16
    assert Solid.SIZE == 24
    assert Solid.WORDS == ("x", "y", "z")


def test_overlapping_fields_are_refused() -> None:
    with pytest.raises(TypeError, match=r"Twice\.b at offset 0 overlaps Twice\.a at 0"):

        class Twice(Object):
            a = cell()
            b = cell(0)


def test_a_field_stands_at_a_whole_word() -> None:
    with pytest.raises(TypeError, match=r"Torn\.half is at offset 12, which is no multiple of 8"):

        class Torn(Object):
            whole = cell()
            half = cell(12)


def test_views_of_one_address_are_equal_and_a_null_pointer_is_false() -> None:
    assert Point(0x2000) == Point(0x2000) != Point(0x3000)
    assert len({Point(0x2000), Point(0x2000)}) == 1
    assert not Point(0)


@pytest.mark.parametrize("thing", [Point(0x2000), Point(0x2000).x, SpinLock(0x2000)])
def test_a_view_holds_no_python_state(thing: object) -> None:
    with pytest.raises(AttributeError, match="simulated memory"):
        thing.owner = "cpu0"  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match="simulated memory"):
        thing.address = 0x4000  # type: ignore[attr-defined]


def test_a_field_cannot_be_assigned_without_an_operation() -> None:
    with pytest.raises(AttributeError, match=r"Point\.x is simulated memory"):
        Point(0x2000).x = 5  # type: ignore[assignment]


def test_following_a_null_pointer_is_an_oops_that_names_the_field() -> None:
    with pytest.raises(Oops, match=r"null pointer dereference at 0x8: Point\.y of 0x0"):
        Point(0).y
    with pytest.raises(Oops, match="null pointer dereference"):
        Shape(0).colour
    with pytest.raises(Oops, match=r"null pointer dereference at 0x1007: Point\.y of 0xfff"):
        Point(LOWEST_VALID - 1).y
    assert Point(LOWEST_VALID).y.address == LOWEST_VALID + 8
    assert Shape(0).origin.address == 16, "taking an inner object's address touches nothing"


def test_an_access_through_a_loaded_pointer_carries_the_dependency() -> None:
    point = Point(Loaded(0x2000, at=77))
    for operation in (point.y.load(), point.y.store(1), point.y.cmpxchg(0, 1), Shape(point.address).origin.x.load()):
        assert isinstance(operation.address, Loaded)
        assert operation.address.at == 77


def test_atomics_are_fully_ordered_unless_they_say_otherwise() -> None:
    x = Point(0x2000).x
    assert [(op.acquire, op.release) for op in (x.xchg(1), x.cmpxchg(0, 1), x.fetch_add(1))] == [(True, True)] * 3
    assert [x.xchg(1, ordering).acquire for ordering in Ordering] == [False, True, False, True]
    assert [x.xchg(1, ordering).release for ordering in Ordering] == [False, False, True, True]


def test_words_keep_what_is_stored_and_atomics_return_the_old_value() -> None:
    machine = Machine()
    point = Point(machine.kernel.static(Point.SIZE))

    async def body() -> list[int]:
        await point.x.store(5)
        return [
            await point.x.load(),
            await point.x.xchg(7),
            await point.x.cmpxchg(6, 9),
            await point.x.cmpxchg(7, 9),
            await point.x.fetch_add(2),
            await point.x.fetch_and(0b1000),
            await point.x.fetch_or(1),
            await point.x.load(),
        ]

    assert machine.run(body()) == [5, 5, 7, 7, 9, 11, 8, 9]


def test_operations_made_are_operations_performed() -> None:
    """A forgotten await would be an operation made and not performed."""
    machine = Machine()
    shape = Shape(machine.kernel.static(Shape.SIZE))
    entry = ListHead(machine.kernel.static(ListHead.SIZE))

    async def body() -> None:
        await shape.head.initialise()
        await shape.head.add_rcu(entry)

    machine.run(body())
    assert machine.operations == {"Store": 6, "Load": 1}


def test_waiting_until_a_word_changes_ends_with_the_value_or_with_the_time_out() -> None:
    machine = Machine()
    word = Point(machine.kernel.static(Point.SIZE)).x

    async def writer() -> None:
        await machine.kernel.sleep(100_000)
        await word.store(1)
        await machine.kernel.sleep(100_000)
        await word.store(2)

    machine.start(writer(), cpu="cpu1")

    async def reader() -> tuple[int | None, int | None, int | None]:
        early = await word.wait_until(lambda value: value == 2, timeout_ps=50_000)
        found = await word.wait_until(lambda value: value == 2, spin=False)
        at_once = await word.wait_until(lambda value: value == 2, timeout_ps=0)
        return early, found, at_once

    assert machine.run(reader()) == (None, 2, 2)


def test_who_has_had_to_wait_for_a_word_acquires_by_the_look_that_finds_it() -> None:
    """As by the first one, unless it is to acquire nothing."""
    word = Point(0x2000).x
    for acquire in (True, False):
        routine, looks = word.wait_until(bool, acquire=acquire), list[bool]()
        with suppress(StopIteration):
            op = routine.send(None)
            while True:
                looks += [op.acquire] if isinstance(op, Load) else []
                op = routine.send(Loaded(len(looks) > 1, 0))
        assert looks == [acquire] * 2


def test_a_wait_of_no_time_reads_once() -> None:
    machine = Machine(model="rvwmo")
    word = Point(machine.kernel.static(Point.SIZE)).x

    async def body() -> tuple[int, int]:
        took, begun = [], machine.sim.now
        for ask in (word.load(), word.load(), word.wait_until(bool, timeout_ps=0)):
            assert not await ask
            took.append(machine.sim.now - begun)
            begun = machine.sim.now
        return took[1], took[2]

    load, wait = machine.run(body())
    assert wait == load > 0


@pytest.mark.parametrize("spin", [True, False])
def test_a_word_that_changes_to_something_else_does_not_prolong_a_wait(spin: bool) -> None:
    machine = Machine()
    word = Point(machine.kernel.static(Point.SIZE)).x

    async def writer() -> None:
        for value in range(1, 20):
            await machine.kernel.sleep(30_000)
            await word.store(value)

    async def waits() -> tuple[int | None, int]:
        begun = machine.sim.now
        found = await word.wait_until(lambda value: value == 19, spin=spin, timeout_ps=100_000)
        return found, machine.sim.now - begun

    machine.start(writer(), cpu="cpu1")
    found, took = machine.run(waits())
    assert found is None
    assert 100_000 <= took < 110_000


def test_who_waits_looks_once_more_though_the_time_is_over() -> None:
    """The word changes after the time-out, while another thread has the CPU of the one that waits."""
    machine = Machine()
    word = Point(machine.kernel.static(Point.SIZE)).x

    async def busy() -> None:
        await Work(100_000)
        await word.store(1)

    async def waits() -> int | None:
        await machine.kernel.spawn("busy", busy(), "cpu0")
        return await word.wait_until(bool, spin=False, timeout_ps=50_000)

    assert machine.run(waits()) == 1


class Item(Object):
    number = cell()
    list = embed(ListHead)


OPERATIONS = st.lists(
    st.tuples(st.sampled_from(["add", "add_tail", "add_rcu", "add_tail_rcu", "delete"]), st.integers(0, 9))
)


@given(OPERATIONS)
@settings(derandomize=True, deadline=None, max_examples=12)
def test_a_list_is_in_the_order_of_its_operations(operations: list[tuple[str, int]]) -> None:
    """Against a Python list."""
    machine = Machine()
    head = ListHead(machine.kernel.static(ListHead.SIZE))
    items = [Item(machine.kernel.static(Item.SIZE)) for _ in range(10)]
    twin: list[int] = []

    async def body() -> None:
        await head.initialise()
        for number, item in enumerate(items):
            await item.number.store(number)
        for verb, number in operations:
            entry = items[number].list
            if verb == "delete":
                if number in twin:
                    await (entry.delete() if number % 2 else entry.delete_rcu())
                    twin.remove(number)
            elif number not in twin:
                await getattr(head, verb)(entry)
                twin.insert(len(twin) if "tail" in verb else 0, number)
            assert [await item.number.load() async for item in head.each(Item, Item.list)] == twin
            assert await head.empty() is (not twin)

    machine.run(body())
    assert not machine.log


@pytest.mark.parametrize("dependent", [True, False])
def test_each_step_along_a_list_and_what_is_read_of_an_entry_depend_on_the_pointer_to_it(dependent: bool) -> None:
    """Unless that is not wanted."""
    walk = ListHead(0x2000).each(Item, Item.list, dependent=dependent)
    step = walk.__anext__()
    step.send(None)
    with pytest.raises(StopIteration) as found:
        step.send(Loaded(0x3000 + Item.list.offset, at=77))
    entry = found.value.value
    assert entry == Item(0x3000)
    onward = walk.__anext__()
    for address in (entry.number.address, onward.send(None).address):
        assert (isinstance(address, Loaded), at_of(address)) == ((True, 77) if dependent else (False, -1))
    onward.close()


@pytest.mark.parametrize(
    ("verb", "options", "release"),
    [("add_rcu", {}, True), ("add_tail_rcu", {}, True), ("add_rcu", {"release": False}, False)],
    ids=["first", "last", "first, not released"],
)
def test_readers_find_an_entry_by_a_release_store_once_it_leads_on(
    verb: str, options: dict[str, bool], release: bool
) -> None:
    head, first, last, entry = (ListHead(0x1000 * n) for n in (2, 3, 4, 5))
    memory = {0x2000: 0x3000, 0x2008: 0x4000, 0x4000: 0x2000}
    stores: list[tuple[int, int, bool]] = []
    routine, answer = getattr(head, verb)(entry, **options), None
    with suppress(StopIteration):
        while op := routine.send(answer):
            answer = Loaded(memory[int(op.address)], 0) if isinstance(op, Load) else None
            if isinstance(op, Store):
                stores.append((int(op.address), int(op.value), op.release))
    before, after = (last, head) if "tail" in verb else (head, first)
    published = (int(before.next.address), 0x5000, release)
    assert sorted(stores[:2]) == [(0x5000, int(after.address), False), (0x5008, int(before.address), False)]
    assert sorted(stores[2:]) == sorted([published, (int(after.prev.address), 0x5000, False)])


def test_a_reader_on_a_deleted_entry_still_finds_the_rest_of_the_list() -> None:
    machine = Machine()
    head = ListHead(machine.kernel.static(ListHead.SIZE))
    first, second = (Item(machine.kernel.static(Item.SIZE)) for _ in range(2))

    async def body() -> None:
        await head.initialise()
        await head.add_tail_rcu(first.list)
        await head.add_tail_rcu(second.list)
        seen = []
        async for item in head.each(Item, Item.list):
            seen.append(item)
            if item == first:
                await first.list.delete_rcu()
        assert seen == [first, second]
        assert await first.list.prev.load() == LIST_POISON2
        assert [item async for item in head.each(Item, Item.list)] == [second]

    machine.run(body())


def test_a_list_that_was_never_initialised_is_an_oops() -> None:
    machine = Machine()
    head = ListHead(machine.kernel.static(ListHead.SIZE))

    async def body() -> None:
        async for _ in head.each(Item, Item.list):
            pass

    machine.start(body())
    machine.go()
    assert machine.log == ["oops: null pointer dereference at 0x0: ListHead.next of 0x0"]
