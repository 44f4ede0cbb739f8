"""Oracles are told all that they need: what need not be shown again changes nothing of what they find."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, ClassVar

import pytest

from cosim.events import Attached, Attaching, DmaCommitted, DmaDone, MapBegun, Mapped, RunEnded, UnmapBegun, Unmapped
from cosim.hw.dma.datapath import DataPath
from cosim.hw.dma.transaction import Transaction
from cosim.oracles import Bounds, EndlessFaults, RefusedDma, TouchedAfterwards
from cosim.oracles.oracle import Listener
from cosim.sim import probe
from cosim.sim.chooser import Chooser
from cosim.sim.simulation import Sim
from cosim.sim.transport import Access, AccessKind, CountsFor, Port
from cosim.study.gather.telling import tell
from cosim.study.run.failed_requests import FailedRequests
from cosim.study.run.violations import Violations

PAGE, FRAME = 0x1000, 0x8000_0000


class Iommu0(Port):
    """A port that nothing goes through."""

    def __init__(self) -> None:
        self.path = "iommu0"


class World:
    """Devices that reach memory, and who watches them; with `each`, somebody wants to see each access."""

    def __init__(self, *, each: bool = False) -> None:
        self.sim = Sim(Chooser())
        self.touched = TouchedAfterwards()
        self.found = Violations(self.sim, Bounds(), beside=[self.touched])
        self.seen: list[DmaCommitted] = []
        if each:
            self.sim.probe(DmaCommitted).watch(self.seen.append)
        self._path = DataPath(self.sim, Iommu0())

    def fire(self, event: Any) -> None:
        self.sim.now = event.time
        self.sim.probe(type(event))(event)

    def dma(self, time: int, who: str, iova: int, address: int, write: bool, age: int = 0) -> None:
        self.sim.now = time
        txn = Transaction(1, iova, 64, write=write, master=who)
        txn.address, txn.translated = address, time - age
        kind = AccessKind.WRITE if write else AccessKind.READ
        self._path._report(txn, Access(self._path.port, kind, address, 64, CountsFor("memory")))

    @property
    def known(self) -> int:
        return len(self.sim.probe(DmaCommitted).known)

    @property
    def told(self) -> object:
        return self.found.kept, self.found.signatures, self.touched.counts()


def story(random: Random, length: int) -> list[Callable[[World], None]]:
    """What devices and software do, at random, in a small world, so that much is alike and much goes wrong."""
    acts: list[Callable[[World], None]] = []

    def fire(event: Any) -> None:
        acts.append(lambda world: world.fire(event))

    for time in range(1000, 1000 * length, 1000):
        who, domain = random.choice(("nic0", "nic1")), random.choice(("mine", "theirs"))
        iova = random.randrange(3) * PAGE
        address = iova + random.choice((FRAME, FRAME, FRAME + PAGE))
        kind = random.randrange(16)
        if kind == 0:
            fire(Attaching(time, "cpu0.t", who, domain))
        elif kind == 1:
            fire(Attached(time, "cpu0.t", who, (1,), domain))
        elif kind == 2:
            place = (time, "cpu0.t", domain, iova, PAGE, address, random.choice(("r", "rw")))
            fire(random.choice((MapBegun, Mapped))(*place))
        elif kind == 3:
            fire(random.choice((UnmapBegun, Unmapped))(time, "cpu0.t", domain, iova, PAGE))
        else:
            offset, age = random.randrange(0, PAGE, 8), random.choice((0, 50_000))
            write, lead = random.random() < 0.5, random.choice((FRAME, FRAME, FRAME + PAGE))
            acts.append(
                lambda world, at=time, who=who, iova=iova + offset, lead=lead, write=write, age=age: world.dma(
                    at, who, iova, lead + iova, write, age
                )
            )
    return acts


@pytest.mark.parametrize("seeds", [range(20), range(20, 40)], ids=["first", "second"])
def test_what_is_not_shown_again_changes_nothing_of_what_is_found(seeds: range) -> None:
    violations = spared = 0
    for seed in seeds:
        acts = story(Random(seed), 400)
        world, thorough = World(), World(each=True)
        for act in acts:
            act(world)
            act(thorough)
            spared += world.known > 0
        assert world.told == thorough.told, seed
        violations += world.found.count
    assert violations > 500
    assert spared > 500


def test_an_access_of_before_an_unmap_does_not_hide_one_like_it_from_afterwards():
    world = World()
    world.fire(Attached(0, "cpu0.t", "nic0", (1,), "mine"))
    world.fire(Mapped(1000, "cpu0.t", "mine", PAGE, PAGE, FRAME))
    world.fire(Unmapped(2000, "cpu0.t", "mine", PAGE, PAGE))
    world.fire(Mapped(3000, "cpu0.t", "mine", PAGE, PAGE, FRAME + PAGE))
    world.dma(4000, "nic0", PAGE, FRAME + PAGE, False, 3000)
    assert world.touched.counts()["touched"] == 0
    world.dma(5000, "nic0", PAGE, FRAME + PAGE, False)
    assert world.touched.counts()["touched"] == 1


def test_who_wants_to_see_each_access_does():
    world = World()
    world.dma(1000, "nic0", 0, 0, False)
    assert world.known == 1
    world.sim.probe(DmaCommitted).watch(world.seen.append)
    for time in (2000, 3000):
        world.dma(time, "nic0", 0, 0, False)
    assert [event.time for event in world.seen] == [2000, 3000]


def test_what_is_known_takes_bounded_memory(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(probe, "KNOWN", 10)
    world = World()
    for page in range(25):
        world.dma(1000, "nic0", page * PAGE, page * PAGE, False)
    assert world.known == 5


class Heard(Listener):
    """Notes which requests it is told of."""

    watches: ClassVar = {DmaDone: "done"}

    def __init__(self) -> None:
        self.heard: list[int] = []

    def done(self, event: DmaDone) -> None:
        self.heard.append(event.sequence)


class HeardOfFailures(Heard):
    of_failures = True


def over(sequence: int, who: str, status: str) -> DmaDone:
    return DmaDone(1000 * sequence, who, 1, sequence, 0, 8, False, 0, status, {})


def test_who_wants_failures_is_told_of_these_and_of_the_end_of_each_row_of_them():
    sim = Sim(Chooser())
    all_of_them, failures = Heard(), HeardOfFailures()
    tell(sim, [all_of_them, failures])
    ends = ["SUCCESS", "UR", "UR", "SUCCESS", "SUCCESS", "ACCESS_FAULT", "SUCCESS", "SUCCESS"]
    for sequence, status in enumerate(ends):
        sim.probe(DmaDone)(over(sequence, "nic0", status))
        sim.probe(DmaDone)(over(sequence + 100, "nic1", "SUCCESS"))
    assert failures.heard == [1, 2, 3, 5, 6]
    assert len(all_of_them.heard) == 2 * len(ends)


@pytest.mark.parametrize("listener", [RefusedDma, EndlessFaults, TouchedAfterwards, FailedRequests])
def test_who_judges_failures_alone_is_not_told_of_each_request(listener: type[Listener]):
    assert listener.of_failures


def test_a_device_that_is_let_in_again_is_not_refused_for_good():
    def found(*statuses: str) -> int:
        sim = Sim(Chooser())
        seen = Violations(sim, Bounds(), [EndlessFaults])
        sim.probe(Attached)(Attached(0, "cpu0.boot", "nic0", (1,), "mine"))
        for sequence, status in enumerate(statuses):
            cause = 0 if status == "SUCCESS" else 258
            sim.probe(DmaDone)(DmaDone(1000 * sequence, "nic0", 1, sequence, 0, 8, False, 0, status, {}, "data", cause))
        sim.probe(RunEnded)(RunEnded(10_000))
        return seen.count

    assert found("UR", "UR") == 1
    assert found("UR", "UR", "SUCCESS") == 0
    assert found("UR", "SUCCESS", "UR") == 1
