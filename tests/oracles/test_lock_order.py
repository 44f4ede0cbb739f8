"""The oracle of locks: what can deadlock is seen, though nothing has deadlocked."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations

import pytest

from cosim.events import KernelLog, LockAsked, LockGiven, LockTaken, ThreadEnded
from cosim.oracles import LockOrder, Violation
from cosim.sim.operations import Body, OnInterrupt, Oops, Work
from cosim.sw.kernel.locks import Mutex, Section, SpinLock
from cosim.sw.kernel.objects import Object, embed
from cosim.units.quantities import US
from tests.oracles.judging import judged
from tests.oracles.watching import signatures, watching
from tests.sw.machine import Machine

VECTOR = 17


class Three(Object):
    a = embed(SpinLock)
    b = embed(SpinLock)
    c = embed(SpinLock)
    mutex = embed(Mutex)


class Locks:
    """A machine with some locks, and the oracle over it."""

    def __init__(self) -> None:
        self.machine = Machine(cpus=2, model="rvwmo")
        self.kernel = self.machine.kernel
        self.found = watching(self.machine.sim, LockOrder)

    def three(self) -> Three:
        return Three(self.kernel.static(Three.SIZE))

    def run(self, *bodies: Body) -> list[Violation]:
        """What is found when the bodies run one after the other, each on a thread of its own."""
        for number, body in enumerate(bodies):
            self.machine.start(body, name=f"t{number}")
            self.machine.go(until=self.machine.sim.now + 100 * US)
        return self.found


async def nested(*sections: Section) -> None:
    if sections:
        async with sections[0]:
            await nested(*sections[1:])


def test_locks_taken_both_ways_round_are_reported_once_though_nothing_deadlocked() -> None:
    locks = Locks()
    spin, three = locks.kernel.spin, locks.three()
    both = [nested(spin(three.b), spin(three.a)) for _ in range(2)]
    (found,) = locks.run(nested(spin(three.a), spin(three.b)), *both)
    assert found.signature == "lock-order: Three.a and Three.b are taken under one another"
    assert found.message.startswith(
        "possible deadlock: Three.a is taken under Three.b, but Three.a -> Three.b was seen before (by cpu0.t0 at "
    )


def test_locks_always_taken_in_one_order_are_fine() -> None:
    locks = Locks()
    spin, three = locks.kernel.spin, locks.three()
    assert not locks.run(*(nested(spin(three.a), spin(three.b)) for _ in range(3)))


def test_waiting_for_another_s_lock_is_fine() -> None:
    locks = Locks()
    three = locks.three()

    async def hold() -> None:
        for section in (locks.kernel.spin(three.a), locks.kernel.mutex(three.mutex)):
            async with section:
                await Work(10 * US)

    locks.machine.start(hold(), cpu="cpu1")
    assert not locks.run(hold())


def test_the_order_is_that_of_classes_not_of_single_locks() -> None:
    """Each lock of the second three is its own, but of the same field."""
    locks = Locks()
    spin, one, two = locks.kernel.spin, locks.three(), locks.three()
    assert locks.run(nested(spin(one.a), spin(one.b)), nested(spin(two.b), spin(two.a)))


def test_an_order_through_a_third_lock_is_found() -> None:
    locks = Locks()
    spin, three = locks.kernel.spin, locks.three()
    pairs = ((three.a, three.b), (three.b, three.c), (three.c, three.a))
    (found,) = locks.run(*(nested(spin(one), spin(other)) for one, other in pairs))
    assert "Three.a -> Three.b -> Three.c" in found.message


def test_locks_taken_both_ways_round_keep_no_other_order_from_being_judged() -> None:
    locks = Locks()
    spin, three = locks.kernel.spin, locks.three()
    pairs = ((three.a, three.b), (three.b, three.a), (three.c, three.a), (three.b, three.c))
    bodies = [nested(spin(one), spin(other)) for one, other in pairs]
    assert signatures(locks.run(*bodies[:3])) == {"lock-order: Three.a and Three.b are taken under one another"}
    assert signatures(locks.run(bodies[3])) == {
        "lock-order: Three.a and Three.b are taken under one another",
        "lock-order: Three.b and Three.c are taken under one another",
    }


@pytest.mark.parametrize("outer", ["a", "c"], ids=["whose order is known", "of the same class"])
def test_of_several_locks_that_are_held_each_comes_before_the_one_that_is_taken(outer: str) -> None:
    """Also the one behind a lock of which there is nothing to learn."""
    locks = Locks()
    spin, three, other = locks.kernel.spin, locks.three(), locks.three()
    assert signatures(
        locks.run(
            nested(spin(three.a), spin(three.c)),
            nested(spin(getattr(three, outer)), spin(three.b), spin(other.c)),
            nested(spin(three.c), spin(three.b)),
        )
    ) == {"lock-order: Three.b and Three.c are taken under one another"}


def test_a_lock_that_is_given_back_leaves_the_others_held() -> None:
    locks = Locks()
    spin, three = locks.kernel.spin, locks.three()

    async def one_after_the_other() -> None:
        async with spin(three.a):
            await nested(spin(three.b))
            await nested(spin(three.c))

    assert signatures(locks.run(one_after_the_other(), nested(spin(three.c), spin(three.a)))) == {
        "lock-order: Three.a and Three.c are taken under one another"
    }


def test_taking_a_lock_twice_is_reported_before_it_hangs() -> None:
    locks = Locks()
    spin, three = locks.kernel.spin, locks.three()
    assert signatures(locks.run(nested(spin(three.a), spin(three.a)))) == {
        "lock-order: Three.a is taken again by its holder"
    }


async def interrupted(locks: Locks, in_handler: Section) -> None:
    """Take an interrupt whose handler takes a lock."""
    await OnInterrupt(VECTOR, locks.kernel.handler(lambda: nested(in_handler)))
    locks.machine.cpus["cpu0"].message(VECTOR)
    await Work(10 * US)


def test_a_lock_that_a_handler_takes_may_be_held_only_with_interrupts_masked() -> None:
    locks = Locks()
    kernel, three = locks.kernel, locks.three()
    assert not locks.run(interrupted(locks, kernel.spin(three.a)), nested(kernel.spin_irqsave(three.a)))
    (found,) = locks.run(nested(kernel.spin(three.a)))
    assert found.signature == (
        "lock-order: Three.a is held where an interrupt may come, and its handler may wait for it by Three.a"
    )


@pytest.mark.parametrize("order", list(permutations(("handler", "masked", "held"))), ids=" ".join)
def test_so_may_one_for_which_its_holder_waits_elsewhere(order: tuple[str, ...]) -> None:
    """cpu1 holds b with interrupts on, its handler waits for a, whose holder on cpu0 waits for b."""
    locks = Locks()
    kernel, three = locks.kernel, locks.three()
    bodies: dict[str, Callable[[], Body]] = {
        "handler": lambda: interrupted(locks, kernel.spin(three.a)),
        "masked": lambda: nested(kernel.spin_irqsave(three.a), kernel.spin(three.b)),
        "held": lambda: nested(kernel.spin(three.b)),
    }
    first, second, last = (bodies[name] for name in order)
    assert not locks.run(first(), second())
    (found,) = locks.run(last())
    assert "a handler that takes Three.a -> Three.b" in found.message


def test_a_lock_that_another_gives_back_is_reported() -> None:
    locks = Locks()
    three = locks.three()
    section = locks.kernel.mutex(three.mutex)

    async def take() -> None:
        await section.__aenter__()
        await Work(200 * US)

    async def give() -> None:
        await section.__aexit__(None, None, None)

    locks.machine.start(take(), cpu="cpu1", name="taker")
    locks.machine.go(until=10 * US)
    (found,) = locks.run(give())
    assert found.signature == "lock-order: Three.mutex is given back by another"
    assert found.message.startswith("cpu0.t0 gives back Three.mutex, which cpu1.taker has, at ")


def test_a_lock_that_its_thread_keeps_is_reported_unless_it_has_died() -> None:
    locks = Locks()
    three = locks.three()

    async def keep(section: Section, oops: str = "") -> None:
        await section.__aenter__()
        if oops:
            raise Oops(oops)

    assert not locks.run(keep(locks.kernel.spin(three.a), "null pointer"))
    assert signatures(locks.run(keep(locks.kernel.spin(three.b)))) == {
        "lock-order: Three.b is kept by a thread that has ended"
    }


@pytest.mark.parametrize("who", ["cpu0.t", "cpu1.u"])
def test_who_has_died_of_an_oops_is_told_by_the_kernel_or_by_the_end_of_the_thread(who: str) -> None:
    taken = [LockAsked(1, "cpu0.t", "Three.a", 0x10, False, True), LockTaken(2, "cpu0.t", "Three.a", 0x10)]
    logged, ended = KernelLog(3, who, "oops", "null pointer"), ThreadEnded(4, "cpu0.t", "")
    assert len(judged(LockOrder, *taken, logged, ended)) == (who != "cpu0.t")
    assert not judged(LockOrder, *taken, ThreadEnded(4, "cpu0.t", "null pointer"))
    warned = KernelLog(3, "cpu0.t", "warning", "null pointer")
    assert judged(LockOrder, *taken, warned, ended)
    assert judged(LockOrder, logged, ended, *taken, ended), "another thread of that name"


def test_a_lock_that_another_thread_has_given_back_is_no_longer_kept_by_who_took_it() -> None:
    taken = [LockAsked(1, "cpu0.t", "Three.a", 0x10, False, True), LockTaken(2, "cpu0.t", "Three.a", 0x10)]
    given, ended = LockGiven(3, "cpu1.u", "Three.a", 0x10), ThreadEnded(4, "cpu0.t", "")
    by_another = "lock-order: Three.a is given back by another"
    assert [each.signature for each in judged(LockOrder, *taken, given, ended)] == [by_another]
    assert [each.signature for each in judged(LockOrder, *taken, ended)] == [
        "lock-order: Three.a is kept by a thread that has ended"
    ]
