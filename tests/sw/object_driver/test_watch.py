"""Commands and fences of a compiled driver are known by where its ring is and by what it reads of the queue's head."""

from __future__ import annotations

from itertools import pairwise

import pytest

pytest.importorskip("elftools", reason="objects are read with pyelftools: pip install 'cosim[kernel]'")

from cosim.events import CallDone, CommandSent, LineReached, LockGiven, LockTaken
from cosim.spec.page import PAGE
from cosim.spec.queues import Command
from cosim.spec.register_map import CAPABILITIES, CQB, CQH, CQT
from cosim.spec.registers import Capabilities, QueueBase
from cosim.sw.iommu_ops import Hardware
from cosim.sw.object_driver.watch import QueueWatch, Ring
from cosim.units.quantities import NS
from tests.sw.machine import Machine
from tests.sw.object_driver.test_running import DRIVER, IMAGE, Loaded

BASE = 0x0300_0000
INVALIDATE, FENCE = 1, 0x3002


class Sending(Loaded):
    """A driver that has sent all but the last three commands of its first round through the ring."""

    def __init__(self, entries: int) -> None:
        super().__init__()
        machine, driver, layout = self.machine, self.driver, self.driver.layout
        driver.registers[BASE >> 12] = hardware = Hardware("iommu0", BASE, (), "cpu0")
        self.ring = ring = machine.run(self.kernel.pages.alloc(1, purpose="ring"))
        driver.watch.written(hardware, BASE + CQB.offset, QueueBase.placed(ring, entries, Command.SIZE))
        self.first = entries - 3
        self.iommu = self.kernel.static(layout.size("own_iommu"))
        members = {"registers": BASE, "entries": entries, "produced": self.first, "commands": ring}
        for name, value in (members | {"consumed": self.first}).items():
            member = IMAGE.info.field(f"own_iommu.{name}")
            machine.memory.write(self.iommu + member.offset, member.size, value)
        self.lock = self.iommu + layout.offset("own_iommu.queue_lock") & -8
        self.consume(0)

    def consume(self, count: int) -> None:
        """The hardware has consumed so many commands of those that are sent from here on."""
        self.machine.registers[BASE + CQH.offset] = self.first + count


@pytest.mark.parametrize("entries", [4, 256, 512])
@pytest.mark.parametrize("consumed_at", [0, 300 * NS])
def test_a_fence_is_waited_for_until_it_is_consumed_and_no_longer(entries: int, consumed_at: int) -> None:
    """In a ring that is smaller than a page, as large, and larger."""
    sending = Sending(entries)
    machine = sending.machine
    sent: list[tuple[int, tuple[int, int]]] = []
    fences: list[CallDone] = []
    unlocked: list[int] = []
    machine.sim.probe(CommandSent).watch(lambda event: sent.append((event.index, event.words)))
    machine.sim.probe(CallDone).watch(fences.append)
    sending.call("own_send", sending.iommu, INVALIDATE, 0)
    machine.memory.watch(sending.lock, lambda: unlocked.append(machine.sim.now))
    sending.consume(1 if consumed_at else 2)
    begun = machine.sim.now
    machine.sim.at(begun + max(1, consumed_at), 1 << 62, lambda: sending.consume(2))
    sending.call("own_sync", sending.iommu)
    assert sent == [(sending.first, (INVALIDATE, 0)), (sending.first + 1, (FENCE, 0))]
    (fence,) = fences
    assert fence.call == "cmd_sync"
    assert begun + consumed_at < fence.time < unlocked[-1], "the lock is held from one look to the end of that"


def test_a_command_is_the_two_words_of_a_slot_each_time_that_both_are_stored() -> None:
    """And no halves of words, nor what stands beside the ring in its page."""
    sending = Sending(4)
    sent: list[CommandSent] = []
    sending.machine.sim.probe(CommandSent).watch(sent.append)

    async def stores() -> None:
        hart = await sending.driver.hart()
        for value, (slot, size) in enumerate(((4, 8), (2, 4), (3, 8), (3, 8))):
            for word in (0, 8):
                await hart.store(sending.ring + slot * Command.SIZE + word, -1, value, -1, size, IMAGE.code.base)
        await hart.leave()

    sending.machine.run(stores())
    assert [(event.index, event.words) for event in sent] == [(3, (2, 2)), (3, (3, 3))]


def test_a_fence_is_waited_for_until_the_same_call_sends_the_next_one_or_returns() -> None:
    """Neither is consumed."""
    sending = Sending(4)
    machine, fences = sending.machine, list[str]()
    machine.sim.probe(CallDone).watch(lambda event: fences.append(event.call))

    async def sends() -> list[int]:
        hart, told = await sending.driver.hart(), list[int]()
        for _ in range(2):
            await hart.call(IMAGE.linked.symbols["own_send"], sending.iommu, FENCE, 0)
            told.append(len(fences))
        await hart.leave()
        return told

    assert machine.run(sends()) == [0, 1]
    assert fences == ["cmd_sync"] * 2


def test_a_fence_is_done_by_what_is_read_of_its_own_queue_alone() -> None:
    sending, there = Sending(4), BASE + PAGE
    machine, driver, fences = sending.machine, sending.driver, list[str]()
    machine.sim.probe(CallDone).watch(lambda event: fences.append(event.call))
    driver.registers[there >> 12] = other = Hardware("iommu1", there, (), "cpu0")
    driver.watch.written(other, there + CQB.offset, QueueBase.placed(0x8000_0000, 256, Command.SIZE))
    machine.registers[there + CQH.offset] = 200

    async def sends() -> list[int]:
        hart, told = await driver.hart(), list[int]()
        await hart.call(IMAGE.linked.symbols["own_send"], sending.iommu, FENCE, 0)
        sending.consume(1)
        for base in (there, BASE):
            await hart.load(base + CQH.offset, -1, 4, IMAGE.code.base)
            told.append(len(fences))
        await hart.leave()
        return told

    assert machine.run(sends()) == [0, 1]


def test_a_function_of_the_kernel_that_is_called_last_has_the_line_of_the_call() -> None:
    """The compiler jumps to it, so that it returns to the caller's caller, which has called the driver's own there."""
    sending = Sending(4)
    sim = sending.machine.sim
    told: list[str] = []
    sim.probe(LineReached).watch(lambda event: told.append(event.place))
    sim.probe(LockTaken).watch(lambda event: told.append("taken"))
    sim.probe(LockGiven).watch(lambda event: told.append("given"))
    sending.consume(1)
    sending.call("own_sync", sending.iommu)
    lines = list(enumerate((DRIVER / "queue.c").read_text().splitlines(), 1))
    takes, gives = ([line for line, text in lines if f"_raw_spin_{what}" in text] for what in ("lock", "unlock"))
    places = [before for before, then in pairwise(told) if then in ("taken", "given")]
    assert places == [
        f"queue.c:{line}, in {function}"
        for function, pair in zip(("own_send", "own_sync"), zip(takes, gives, strict=True), strict=True)
        for line in pair
    ]


def test_commands_are_counted_without_end_though_the_ring_is_not() -> None:
    """From the queue's base on, which a driver may put elsewhere."""
    watch, hardware = QueueWatch(Machine().kernel), Hardware("iommu0", BASE, (), "cpu0")
    ring = watch.ring(hardware)
    for place in (0x8000_0000, 0x8000_1000):
        watch.written(hardware, BASE + CQB.offset, QueueBase.placed(place, 4, Command.SIZE))
        assert (ring.produced, ring.consumed) == (0, 0)
        for count in (2, 5, 8, 8, 10):
            watch.written(hardware, BASE + CQT.offset, count % 4)
            watch.read(hardware, BASE + CQH.offset, (count - 1) % 4)
            assert (ring.produced, ring.consumed) == (count, count - 1)


def test_each_page_of_a_ring_is_watched_until_the_ring_is_elsewhere_or_nowhere() -> None:
    """Beside those of other IOMMUs; a base of 0, as a driver leaves it that lets its ring go, is no place."""
    watch = QueueWatch(Machine().kernel)
    first, second = (Hardware(f"iommu{n}", BASE + n * PAGE, (), "cpu0") for n in range(2))

    def put(hardware: Hardware, place: int, entries: int) -> dict[int, str]:
        watch.written(hardware, hardware.base + CQB.offset, QueueBase.placed(place, entries, Command.SIZE))
        return {page: ring.iommu for page, ring in watch.pages.items()}

    assert put(first, 0x8000_0000, 512) == {0x80000: "iommu0", 0x80001: "iommu0"}
    assert put(second, 0x8000_4000, 256) == {0x80000: "iommu0", 0x80001: "iommu0", 0x80004: "iommu1"}
    assert put(first, 0x8000_6000, 4) == {0x80004: "iommu1", 0x80006: "iommu0"}
    assert put(first, 0, 4) == {0x80004: "iommu1"}
    ring = watch.ring(first)
    watch.written(first, BASE + CQT.offset, 3)
    watch.read(first, BASE + CQH.offset, 3)
    assert (ring.holds(0), ring.produced, ring.consumed) == (False, 0, 0)


@pytest.mark.parametrize(("produced", "index", "target"), [(0, 0, 1), (6, 2, 7), (6, 3, 8), (7, 0, 9), (8, 2, 11)])
def test_a_fence_is_consumed_once_so_many_commands_are_as_were_sent_up_to_it(
    produced: int, index: int, target: int
) -> None:
    """In a ring of four, of which the next slots are filled and not announced yet."""
    watch = QueueWatch(Machine().kernel)
    ring = Ring("iommu0", 0x8000_0000, 4, produced=produced)
    assert watch.tell(ring, "t", index, (FENCE, 0)) == target
    assert watch.tell(ring, "t", index, (INVALIDATE, 0)) is None


@pytest.mark.parametrize("flat", [False, True])
def test_how_large_a_device_context_is_is_known_from_the_capabilities(flat: bool) -> None:
    watch, hardware = QueueWatch(Machine().kernel), Hardware("iommu0", BASE, (), "cpu0")
    watch.read(hardware, BASE + CAPABILITIES.offset, Capabilities.of(msi_flat=flat))
    assert watch.ring(hardware).extended is flat
