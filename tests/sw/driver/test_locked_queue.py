"""The command queue of Linux 7.2 under load and under failure: a lock, room that is waited for outside of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import pytest

from cosim.hw.dma.transaction import Transaction
from cosim.hw.iommu.registers import RegisterFile
from cosim.sim.operations import Now, Work
from cosim.spec.queues import Iotinval
from cosim.spec.register_map import CQH
from cosim.sw.driver.device import IommuDevice
from cosim.sw.driver.policies.queue_locked import LOST, CheckedQueue, LockedQueue
from cosim.sw.iommu_map import iommu_map, iommu_unmap
from cosim.sw.iommu_ops import Prot
from cosim.units.quantities import MS, US, S
from tests.sw.driver.machine import DRAM, SIZE, Machine
from tests.sw.driver.test_command_queue import executed, map_and_unmap

PAGE = 4096
IOVA = 0x4000_0000
DATA = DRAM + SIZE // 2
BOTH = Prot.READ | Prot.WRITE

FOUR_SLOTS = {"geometry": {"cq_log2": 2, "fq_log2": 8}}


def test_a_ring_that_fills_is_waited_for() -> None:
    machine = Machine("latest", iommu=FOUR_SLOTS)
    domain = machine.boot()
    done = executed(machine)
    machine.run(map_and_unmap(machine, domain, 20))
    assert [kind for _, kind in done] == 20 * ["iotinval_vma"] + ["iofence"]
    assert not machine.log


def test_a_ring_with_room_is_never_looked_at() -> None:
    machine = Machine("latest")
    domain = machine.boot()
    machine.run(map_and_unmap(machine, domain, 20))
    assert not any(line.startswith("R cqh") for line in machine.trace())


def test_senders_at_a_full_ring_do_not_wait_for_one_another() -> None:
    """Each reads `cqh` by itself, where tickets leave that to one of them."""
    machine = Machine("latest", cpus=3, iommu={"geometry": {"cq_log2": 4, "fq_log2": 4}})
    domain = machine.boot()
    done = executed(machine)
    for n in range(3):
        machine.start(map_and_unmap(machine, domain, 12, IOVA + 64 * n * PAGE), f"cpu{n}")
    machine.go(machine.sim.now + 400 * MS)
    assert len(done) == 3 * 13
    assert not machine.log


class Stalled(NamedTuple):
    """What became of an unmap of 8 pages, at a ring of four slots whose consumer had stopped."""

    machine: Machine
    took: int
    stale: bool
    """Whether one of the pages is still reached."""
    said: list[str]


def unmapped_at_a_stall(duration_ps: int) -> Stalled:
    machine = Machine("latest", iommu=FOUR_SLOTS)
    domain = machine.boot()
    machine.run(iommu_map(machine.driver, domain, IOVA, DATA, 8 * PAGE, BOTH))
    machine.dma(*(Transaction(1, IOVA + n * PAGE, 8) for n in range(8)))
    machine.go(machine.sim.now + 1 * MS)
    machine.iommus[0].commands.stall(machine.sim.now, duration_ps)

    async def unmap() -> int:
        began = (await Now()).time
        await iommu_unmap(machine.driver, domain, IOVA, 8 * PAGE)
        return (await Now()).time - began

    took = machine.run(unmap())
    said = list(machine.log)
    return Stalled(machine, took, any(machine.read(1, IOVA + n * PAGE) is not None for n in range(8)), said)


def test_a_stall_of_less_than_150_ms_is_waited_for() -> None:
    found = unmapped_at_a_stall(100 * MS)
    assert 100 * MS <= found.took < 101 * MS
    assert not found.stale
    assert not found.said


def test_a_longer_stall_loses_an_invalidation_behind_which_the_fence_is_good() -> None:
    """N1: said once, and the unmap returns as if nothing had happened."""
    found = unmapped_at_a_stall(200 * MS)
    assert 200 * MS <= found.took < 201 * MS
    assert found.stale
    assert found.said == ["error: iommu0: hardware error: command enqueue failed: the ring is full"]


def test_a_fence_that_was_not_queued_is_given_up_at_once() -> None:
    """Five invalidations and a fence wait 150 ms each for room, and nothing waits 90 s."""
    found = unmapped_at_a_stall(1000 * S)
    assert found.took == pytest.approx(6 * 150 * MS, rel=0.01)
    assert found.stale


def test_of_a_fence_for_which_there_is_no_room_it_is_said_that_it_was_not_queued() -> None:
    machine = Machine("latest", iommu=FOUR_SLOTS)
    machine.boot()
    iommu = machine.core.iommus["iommu0"]
    machine.iommus[0].commands.stall(machine.sim.now, 1000 * S)

    async def sync() -> bool:
        for _ in range(3):
            await machine.driver.send(iommu, Iotinval.vma(pscid=1))
        return bool(await machine.driver.sync(iommu, 90 * S))

    assert not machine.run(sync())
    assert machine.log == ["error: iommu0: hardware error: command enqueue failed: the ring is full"]


def test_a_sender_that_gives_up_leaves_no_gap() -> None:
    """C11 is gone: when the hardware goes on, the queue does."""
    machine = unmapped_at_a_stall(1 * S).machine
    machine.go(machine.sim.now + 1 * S)
    done = executed(machine)
    machine.run(map_and_unmap(machine, machine.core.domains["d"], 3, IOVA + 64 * PAGE))
    assert [kind for _, kind in done] == 3 * ["iotinval_vma"] + ["iofence"]


# --- Waits that other senders look into ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scripted(LockedQueue):
    """Each look sees a `cqh`, and right behind it another sender notes a head that it has seen later."""

    seen_and_noted: list[tuple[int, int]] = field(default_factory=list)

    async def look(self, iommu: IommuDevice, seen: int, timeout_ps: int) -> tuple[int, bool]:
        now, noted = self.seen_and_noted.pop(0)
        await iommu.commands.head.store(noted)
        return now, False


@pytest.mark.parametrize(
    ("place", "head", "seen_and_noted"),
    [
        (2, 0, [(1, 2), (3, 3)]),
        (5, 2, [(0, 4), (2, 4)]),
        (5, 2, [(3, 4), (1, 6)]),
        (2, 0, [(1, 1), (2, 2), (3, 2)]),
    ],
    ids=["noted behind the look", "once round the ring", "noted to the end", "one by one"],
)
def test_a_fence_is_done_when_cqh_is_past_it_whatever_others_note(
    place: int, head: int, seen_and_noted: list[tuple[int, int]]
) -> None:
    """In a ring of four: `cqh` is reckoned with the head that was noted before it was read, and with no older one."""
    machine = Machine("latest", iommu=FOUR_SLOTS)
    machine.boot()
    iommu, queue = IommuDevice(machine.core.iommus["iommu0"].address), Scripted(seen_and_noted=seen_and_noted)

    async def wait() -> bool:
        await iommu.commands.head.store(head)
        return await queue.wait(machine.driver, iommu, place, 1 * S)

    assert machine.run(wait()) is True
    assert not seen_and_noted


@dataclass(frozen=True)
class Late(Scripted):
    """Each look takes all the time that there is."""

    async def look(self, iommu: IommuDevice, seen: int, timeout_ps: int) -> tuple[int, bool]:
        await Work(timeout_ps)
        return await super().look(iommu, seen, timeout_ps)


@pytest.mark.parametrize(("noted", "done"), [(2, False), (3, True)])
def test_a_fence_has_expired_only_if_head_is_not_past_it_when_the_time_is_over(noted: int, done: bool) -> None:
    """`cqh` has come round to where it was; what another sender has noted meanwhile tells."""
    machine = Machine("latest", iommu=FOUR_SLOTS)
    machine.boot()
    iommu, queue = IommuDevice(machine.core.iommus["iommu0"].address), Late(seen_and_noted=[(0, noted)])

    async def wait() -> bool:
        await iommu.commands.head.store(0)
        return await queue.wait(machine.driver, iommu, 2, 1 * MS)

    assert machine.run(wait()) is done
    expired = "error: iommu0: hardware error: command execution timed out"
    assert machine.log == ([] if done else [expired])


@pytest.mark.parametrize("driver", ["latest", "ideal"])
@pytest.mark.parametrize(
    ("seen", "noted", "sent", "head"),
    [(-2, -2, 1, 0), (-2, -1, 2, 0), (-3, -1, 2, 0), (-2, 0, 3, 0), (-2, -2, 0, -2), (-1, 0, 0, 0)],
    ids=["by nobody", "in part", "further", "to its end", "by nobody, and there is room", "and there is room"],
)
def test_who_waited_for_room_notes_what_others_have_not_noted_meanwhile(
    driver: str, seen: int, noted: int, sent: int, head: int
) -> None:
    """In a ring of four, told from `cqh`: the head that was seen first, the one noted by others, what they have sent.

    `head` is never past `cqh`, nor moved while there is room.
    """
    machine = Machine(driver, iommu=FOUR_SLOTS)
    machine.boot()
    iommu, queue = IommuDevice(machine.core.iommus["iommu0"].address), machine.driver.policies.queue

    async def room() -> int:
        consumed = 8 + await iommu.read(CQH)
        await iommu.commands.head.store(consumed + noted)
        await iommu.commands.prod.store(consumed + sent)
        assert await queue.room(machine.driver, iommu, consumed + seen, 4)
        return int(await iommu.commands.head.load()) - consumed

    assert machine.run(room()) == head


class RoundAgain(NamedTuple):
    """What one learns whose ring has come round while `cqh` was not read, and after which time."""

    answer: bool
    took: int


def round_again(driver: str, what: str) -> RoundAgain:
    """Wait for a fence or for room in a ring of four; 10 us later others have sent four commands, all executed."""
    machine = Machine(driver, cpus=2, iommu=FOUR_SLOTS)
    machine.boot()
    iommu, queue = IommuDevice(machine.core.iommus["iommu0"].address), machine.driver.policies.queue
    answers: list[RoundAgain] = []

    async def waits() -> None:
        began, head = (await Now()).time, 4 + await iommu.read(CQH)
        await iommu.commands.head.store(head)
        if what == "fence":
            answer = await queue.wait(machine.driver, iommu, head + 1, 1 * S)
        else:
            answer = await queue.room(machine.driver, iommu, head, 4)
        answers.append(RoundAgain(answer, (await Now()).time - began))

    async def others() -> None:
        await Work(10 * US)
        await iommu.commands.head.fetch_add(4)

    machine.start(waits(), "cpu0")
    machine.start(others(), "cpu1")
    machine.go(machine.sim.now + 100 * S)
    return answers[0]


def test_who_waits_by_cqh_alone_does_not_see_that_the_ring_has_come_round() -> None:
    room, fence = round_again("latest", "room"), round_again("latest", "fence")
    assert not room.answer
    assert room.took == pytest.approx(150 * MS, rel=0.01)
    assert fence.took == pytest.approx(1 * S, rel=0.01)


@pytest.mark.parametrize("what", ["room", "fence"])
def test_who_looks_at_head_as_well_sees_it_after_twice_as_long(what: str) -> None:
    found = round_again("ideal", what)
    assert found.answer
    assert 10 * US < found.took < 50 * US


def test_a_command_that_was_not_queued_is_behind_no_cqh() -> None:
    machine = Machine("ideal")
    machine.boot()
    queue, iommu = machine.driver.policies.queue, IommuDevice(machine.core.iommus["iommu0"].address)
    assert machine.run(queue.wait(machine.driver, iommu, LOST, 1 * MS)) is False


@pytest.mark.parametrize("variant", ["merged", "current", "latest", "ideal"])
def test_a_fence_that_is_done_already_is_known_by_head_or_by_one_look_at_cqh(variant: str) -> None:
    """However short the time is; `head` has noted it, or is one or three commands behind."""
    machine = Machine(variant, iommu=FOUR_SLOTS)
    machine.boot()
    iommu, queue = IommuDevice(machine.core.iommus["iommu0"].address), machine.driver.policies.queue
    consumed = 4 + int(machine.iommus[0].registers.cqh)
    for head, looks in ((consumed, 0), (consumed - 1, 1), (consumed - 3, 1)):

        async def wait(head: int = head) -> bool:
            await iommu.commands.head.store(head)
            return await queue.wait(machine.driver, iommu, consumed - 1, 1)

        before = len(machine.trace())
        assert machine.run(wait()) is True
        assert sum(line.startswith("R cqh=") for line in machine.trace()[before:]) == looks
    assert not machine.log


@dataclass(frozen=True)
class Stops(CheckedQueue):
    """One look finds `cqh` past the fence, and an error of a command behind it."""

    async def look(self, iommu: IommuDevice, seen: int, timeout_ps: int) -> tuple[int, bool]:
        return 3, True


def test_a_fence_that_is_done_is_a_success_whatever_stops_the_queue_behind_it() -> None:
    machine = Machine("ideal", iommu=FOUR_SLOTS)
    machine.boot()
    iommu = IommuDevice(machine.core.iommus["iommu0"].address)

    async def wait() -> bool:
        await iommu.commands.head.store(0)
        return await Stops().wait(machine.driver, iommu, 2, 1 * S)

    assert machine.run(wait()) is True


@dataclass(frozen=True)
class Fades(LockedQueue):
    """`cqh` shows an index, and then none, as of a device that is being reset."""

    registers: RegisterFile | None = None

    async def index(self, iommu: IommuDevice, last: int, entries: int, timeout_ps: int, *, part: str) -> int:
        assert self.registers is not None
        self.registers.stall(CQH, self.registers.sim.now, 1 * MS)
        await Work(1 * US)
        return (last + 1) % entries


def test_who_waited_for_room_notes_nothing_that_is_no_index() -> None:
    machine = Machine("latest", iommu=FOUR_SLOTS)
    machine.boot()
    iommu, queue = IommuDevice(machine.core.iommus["iommu0"].address), Fades(registers=machine.iommus[0].registers)

    async def room() -> int:
        await iommu.commands.head.store(8)
        await iommu.commands.prod.store(11)
        assert await queue.room(machine.driver, iommu, 8, 4)
        return int(await iommu.commands.head.load())

    assert machine.run(room()) == 8
