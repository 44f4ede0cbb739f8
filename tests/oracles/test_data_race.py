"""The oracle of data races: two stores to one word need an order between them, of whatever kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import cosim
from cosim.events import GracePeriodOver, ObjectAllocated, ObjectFreed, OrderMade, StoreIssued, Switched
from cosim.oracles import Bounds, DataRace, Violation
from cosim.oracles.in_source import InSource
from cosim.sim.operations import Body, Work
from cosim.sw.kernel.barriers import smp_mb
from cosim.sw.kernel.locks import SpinLock
from cosim.sw.kernel.objects import Object, Ordering, cell, embed
from cosim.units.quantities import US
from tests.oracles.judging import judged as judged_events
from tests.oracles.watching import watching
from tests.sw.machine import Machine

TWO_ATTACH_AT_ONCE = """\
parts:
  dram0: {kind: memory, base: 0x8000_0000, size: 64 MiB}
  cpu: {kind: cpu, count: 3}
  iommu0: {kind: iommu, base: 0x0300_0000}
  iommu1: {kind: iommu, base: 0x0300_1000}
  nic0: {kind: dma, through: iommu0, traffic: {pattern: none}}
  nic1: {kind: dma, through: iommu1, traffic: {pattern: none}}
domains: {a: {devices: nic0}, b: {devices: nic1}, shared: {}}
threads:
  - {on: cpu0, does: attach-detach, devices: nic0, domains: shared, detach: false, count: 1}
  - {on: cpu1, does: attach-detach, devices: nic1, domains: shared, detach: false, count: 1}
run: {until: 60 us}
"""


class Thing(Object):
    lock = embed(SpinLock)
    word = cell()
    flag = cell()


Step = Callable[[Machine, Thing], Body]


async def store(machine: Machine, thing: Thing) -> None:
    await thing.word.store(1)


async def store_locked(machine: Machine, thing: Thing) -> None:
    async with machine.kernel.spin(thing.lock):
        await thing.word.store(1)


async def store_and_publish(machine: Machine, thing: Thing) -> None:
    await thing.word.store(1)
    await thing.flag.store(1, release=True)


async def find_and_store(machine: Machine, thing: Thing) -> None:
    await thing.flag.load(acquire=True)
    await thing.word.store(1)


async def store_and_fence(machine: Machine, thing: Thing) -> None:
    await thing.word.store(1)
    await smp_mb()


async def fence_and_store(machine: Machine, thing: Thing) -> None:
    await smp_mb()
    await thing.word.store(1)


async def store_and_count(machine: Machine, thing: Thing) -> None:
    await thing.word.store(1)
    await thing.flag.fetch_add(1)


async def count_and_store(machine: Machine, thing: Thing) -> None:
    await thing.flag.fetch_add(1)
    await thing.word.store(1)


async def store_and_count_down(machine: Machine, thing: Thing) -> None:
    await thing.word.store(1)
    await thing.flag.fetch_add(-1, Ordering.RELEASE)


async def count_up_and_store(machine: Machine, thing: Thing) -> None:
    await thing.flag.fetch_add(1, Ordering.ACQUIRE)
    await thing.word.store(1)


async def store_and_count_relaxed(machine: Machine, thing: Thing) -> None:
    await thing.word.store(1)
    await thing.flag.fetch_add(1, Ordering.RELAXED)


async def release(machine: Machine, thing: Thing) -> None:
    await thing.word.store(1, release=True)


async def swap(machine: Machine, thing: Thing) -> None:
    await thing.word.xchg(1)


async def free_and_use_again(machine: Machine, thing: Thing) -> None:
    await machine.kernel.pages.delete(thing)
    again = await machine.kernel.pages.new(Thing)
    assert again == thing
    await again.word.store(1)


async def other_word(machine: Machine, thing: Thing) -> None:
    await thing.flag.store(1)


def judged(first: Step, second: Step, *, cpu: str = "cpu2") -> list[Violation]:
    """What is found when cpu0 makes an object, cpu1 does the first step after 10 us, and `cpu` the second after 20.

    All three threads run from the beginning to the end, so that nothing but the steps orders them.
    """
    machine = Machine(cpus=3, model="rvwmo")
    found = watching(machine.sim, DataRace)
    made: list[Thing] = []

    async def make() -> None:
        made.append(await machine.kernel.pages.new(Thing))
        await made[0].word.store(0)
        await made[0].flag.store(0, release=True)

    async def later(wait_ps: int, step: Step) -> None:
        await Work(wait_ps)
        await step(machine, made[0])
        await Work(50 * US)

    machine.start(make(), cpu="cpu0")
    machine.start(later(10 * US, first), cpu="cpu1", name="first")
    machine.start(later(20 * US, second), cpu=cpu, name="second")
    machine.go(until=200 * US)
    return found


def test_two_stores_that_nothing_orders_are_a_race_however_far_apart() -> None:
    (found,) = judged(store, store)
    assert found.signature == "data-race: Thing.word is stored to twice, unordered"
    assert found.message.startswith("cpu2.second stores to Thing.word at 0x")
    assert "and nothing orders that after the store by cpu1.first at " in found.message


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (store_locked, store_locked),
        (store_and_publish, find_and_store),
        (store_and_count, count_and_store),
        (store_and_count_down, count_up_and_store),
        (store_and_fence, fence_and_store),
        (release, store),
        (swap, store),
        (store, swap),
        (store, other_word),
        (store, free_and_use_again),
    ],
    ids=lambda step: step.__name__,
)
def test_an_order_of_any_kind_makes_it_none(first: Step, second: Step) -> None:
    assert not judged(first, second)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (store_locked, store),
        (store, store_locked),
        (store_and_publish, store),
        (store, find_and_store),
        (store_and_fence, store),
        (store, fence_and_store),
        (store_and_count, store),
        (store_and_count_relaxed, count_up_and_store),
        (store_and_count_down, store_and_count_down),
    ],
    ids=lambda step: step.__name__,
)
def test_half_of_one_does_not(first: Step, second: Step) -> None:
    assert judged(first, second)


def test_one_cpu_does_not_race_with_itself() -> None:
    assert not judged(store, store, cpu="cpu1")


def stores(*cpus: str) -> list[StoreIssued]:
    """Stores to the first word of a thing, one after the other."""
    return [StoreIssued(time, f"{cpu}.t", cpu, 0x1000, 8) for time, cpu in enumerate(cpus, 50)]


THING = ObjectAllocated(1, "cpu2.t", "cpu2", 0x1000, 64, "Thing", ("word",))
PUBLISHED = OrderMade(2, "cpu2", 0x9000, False, True)
OVER = GracePeriodOver(55, "cpu3.t", "synchronize_rcu", 40)


@pytest.mark.parametrize(
    ("before", "races"),
    [
        ((), 0),
        ((OrderMade(2, "cpu2", 0x9000, True, False),), 0),
        ((OrderMade(2, "cpu1", 0x9000, False, True),), 0),
        ((PUBLISHED,), 1),
        ((PUBLISHED, THING), 0),
    ],
    ids=["new", "acquired", "another has released", "released", "new again"],
)
def test_an_object_is_its_cpu_s_own_from_its_allocation_until_that_releases(before: tuple[object, ...], races: int):
    assert len(judged_events(DataRace, THING, *before, *stores("cpu2", "cpu0"))) == races


@pytest.mark.parametrize(("first", "second"), [("cpu0", "cpu1"), ("cpu1", "cpu0")])
def test_a_grace_period_orders_what_was_before_it_whoever_is_looked_at_first(first: str, second: str) -> None:
    begin = [OrderMade(3, cpu, 0x9000, True, False) for cpu in ("cpu0", "cpu1")]
    before, after = stores(first, second)
    assert judged_events(DataRace, THING, PUBLISHED, *begin, before, after)
    assert not judged_events(DataRace, THING, PUBLISHED, *begin, before, OVER, after)


@pytest.mark.parametrize(
    ("switches", "races"),
    [((), 1), (("cpu0",), 1), (("cpu1",), 1), (("cpu1", "cpu0"), 1), (("cpu0", "cpu1"), 0), (("cpu0", "cpu2"), 1)],
    ids=str,
)
def test_a_change_of_threads_orders_what_was_before_it_ahead_of_what_is_behind_a_later_one(
    switches: tuple[str, ...], races: int
) -> None:
    """Whether to a thread or to none."""
    begin = [OrderMade(3, cpu, 0x9000, True, False) for cpu in ("cpu0", "cpu1")]
    before, after = stores("cpu0", "cpu1")
    for thread in ("other", ""):
        between = [Switched(50, cpu, thread and f"{cpu}.{thread}") for cpu in switches]
        assert len(judged_events(DataRace, THING, PUBLISHED, *begin, before, *between, after)) == races


def test_who_acquires_a_word_is_behind_all_that_have_released_it() -> None:
    """As whoever frees what several have counted their references down of."""
    first, second = stores("cpu0", "cpu1")
    down = [OrderMade(50, cpu, 0xA000, False, True) for cpu in ("cpu0", "cpu1")]
    last = OrderMade(50, "cpu1", 0xA000, True, False)
    assert not judged_events(DataRace, THING, PUBLISHED, first, *down, last, second)
    assert len(judged_events(DataRace, THING, PUBLISHED, first, *down, second)) == 1


def test_a_change_of_threads_publishes_what_was_new_before_it() -> None:
    changed = Switched(2, "cpu2", "")
    assert len(judged_events(DataRace, THING, changed, *stores("cpu2", "cpu0"))) == 1


def test_what_is_stored_to_an_object_that_is_freed_is_no_race_of_it() -> None:
    """That it is touched at all is for another oracle."""
    freed = ObjectFreed(4, "cpu2.t", 0x1000, 64, "Thing")
    assert judged_events(DataRace, THING, PUBLISHED, *stores("cpu0", "cpu1"))
    assert not judged_events(DataRace, THING, PUBLISHED, freed, *stores("cpu0", "cpu1"))


def test_a_store_to_an_object_is_no_race_with_one_to_what_was_there_before_it() -> None:
    before, after = stores("cpu0", "cpu1")
    freed = ObjectFreed(5, "cpu2.t", 0x1000, 64, "Thing")
    again = [replace(THING, who="cpu1.t", cpu="cpu1"), replace(PUBLISHED, cpu="cpu1")]
    assert not judged_events(DataRace, THING, PUBLISHED, before, freed, *again, after)


def test_what_was_a_cpu_s_own_is_no_longer_when_it_is_freed_and_allocated_by_another() -> None:
    freed = ObjectFreed(4, "cpu2.t", 0x1000, 64, "Thing")
    again = [replace(THING, who="cpu0.t", cpu="cpu0"), replace(PUBLISHED, cpu="cpu0")]
    assert len(judged_events(DataRace, THING, freed, *again, *stores("cpu2", "cpu1"))) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("driver", "changes", "races"),
    [
        ("merged", {}, set()),
        ("current", {}, set()),
        ("merged", {"driver.bonds": "unlocked"}, {"bonds.prev"}),
        ("v2", {}, {"bonds.prev", "node", "dirty_by_hardware", "root"}),
    ],
    ids=["merged", "current", "C6", "C6 B9 B11"],
)
def test_two_attaches_of_a_domain_race_where_no_lock_is(
    tmp_path: Path, driver: str, changes: dict[str, str], races: set[str]
) -> None:
    topology = tmp_path / "two_attach_at_once.yaml"
    topology.write_text(TWO_ATTACH_AT_ONCE, encoding="utf-8")
    found = cosim.run(topology, driver=driver, set=changes).signatures
    expected = {f"data-race: DomainObject.{word} is stored to twice, unordered" for word in races}
    assert {signature for signature in found if signature.startswith("data-race")} == expected


# --- In the source of a compiled driver ------------------------------------------------------------------------------


class Source:
    def member(self, address: int) -> str:
        return "own_domain.root" if address == 0x1008 else ""

    def stands(self, message: str, since_ps: int) -> str:
        return ""


@pytest.mark.parametrize(
    ("address", "what"), [(0x1008, "own_domain.root (object of f.word 1)"), (0x1010, "object of f.word 2")]
)
def test_a_race_in_an_object_of_c_names_its_member_and_both_lines(address: int, what: str) -> None:
    found: list[Violation] = []
    oracle = DataRace(found.append, Bounds(), {InSource: InSource(Source())})
    oracle.allocated(ObjectAllocated(1, "cpu0.a", "cpu0", 0x1000, 64, "object of f", ()))
    oracle.ordered(OrderMade(2, "cpu0", 0, True, True))
    oracle.stored(StoreIssued(3, "cpu0.a", "cpu0", address, 8, "domain.c:5, in f"))
    oracle.stored(StoreIssued(4, "cpu1.b", "cpu1", address, 8, "domain.c:9, in g"))
    assert [each.message for each in found] == [
        f"cpu1.b stores to {what} at {address:#x} at 4 ps (domain.c:9, in g), and nothing orders that after the store "
        "by cpu0.a at 3 ps (domain.c:5, in f)"
    ]
    assert found[0].signature == f"data-race: object of f.word {(address - 0x1000) // 8} is stored to twice, unordered"
