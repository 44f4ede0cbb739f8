"""Plain and agenda make the same run of the real parts: masters, IOMMU, command queue and memory, full of ties."""

from __future__ import annotations

import random
from collections.abc import Generator
from typing import Any

import pytest
from simpy.events import Event

from cosim.events import DmaCommitted, DmaDone
from cosim.hw.dma.master import DmaMaster
from cosim.hw.dma.options import DmaOptions
from cosim.hw.iommu.options import IommuTiming
from cosim.sim.agenda import Agenda
from cosim.sim.chooser import Chooser
from cosim.sim.digest import Digest, number_of
from cosim.sim.plain import Plain
from cosim.sim.ranks import Stage
from cosim.sim.transport import Access, AccessKind, CountsFor
from cosim.spec.pagetable import PAGE
from cosim.spec.queues import Command, Iodir, Iofence, Iotinval
from cosim.spec.register_map import CQB, CQCSR, CQH, CQT
from cosim.spec.registers import QueueBase
from tests.hw.iommu.harness import DATA, DRAM, System
from tests.seeds import seeds
from tests.sim.machine import Answers, Woken

REGISTERS = 0x1000
COMMANDS = DRAM
PAGES = 6


class Scenario:
    """Devices that share address spaces, while a thread on SimPy unmaps pages, invalidates, fences and polls."""

    def __init__(self, seed: int, executor: Any, share: float) -> None:
        self.chance = chance = random.Random(seed)
        self.chooser = Answers(seed, share) if share else Chooser(seed)
        self.system = system = System(
            executor=executor,
            chooser=self.chooser,
            hold_ps=chance.randint(1, 9),
            levels=chance.randint(1, 2),
            memory_ps=chance.randint(0, 3),
            hop_ps=chance.randint(0, 2),
            timing={name: chance.randint(0, 3) for name in IommuTiming.model_fields},
            geometry={
                "iotlb_entries": chance.choice([0, 2, 4]),
                "iotlb_replacement": chance.choice(["lru", "plru", "random"]),
                "ddtc_entries": chance.choice([0, 1, 4]),
                "nonleaf_entries": chance.choice([0, 2]),
                "walkers": chance.randint(1, 2),
                "in_flight": chance.choice([1, 2, 8]),
            },
        )
        self.sim = system.sim
        self.registers = system.iommu.registers
        system.bus.attach(REGISTERS, 0x1000, self.registers, "iommu0")
        self.done: list[Any] = []
        self.committed: list[Any] = []
        self.polled: list[tuple[int, int]] = []
        self.digest = Digest()
        self.sim.probe(DmaDone).watch(self._note)
        self.sim.probe(DmaCommitted).watch(lambda event: self.committed.append((event.time, event.who, event.address)))
        self.spaces = [system.space(pscid=number + 1) for number in range(2)]
        for number, space in enumerate(self.spaces):
            for page in range(PAGES - number):  # the last page of the second one is missing
                space.map(page * PAGE, DATA + (page % 3) * PAGE)
        self.masters = [self._master(number) for number in range(chance.randint(1, 4))]
        self._enable_commands()
        self.sim.explore()
        for master in self.masters:
            master.start(0, PAGES * PAGE)
        self.sim.env.process(self._thread())

    def _master(self, number: int) -> DmaMaster:
        chance, system = self.chance, self.system
        system.context(number + 1, system.dc(chance.choice(self.spaces)))
        options = DmaOptions.model_validate(
            {
                "kind": "dma",
                "through": "iommu0",
                "link": f"{chance.randint(0, 3)} ps",
                "posted": chance.random() < 0.3,
                "traffic": {
                    "pattern": chance.choice(["sequential", "strided", "random"]),
                    "read": chance.choice([0, 0.5, 1]),
                    "size": f"{chance.choice([8, 64, 3000])} B",
                    "stride": "4 KiB",
                    "outstanding": chance.randint(1, 3),
                    "interval": chance.choice([None, "2 ps", "9 ps"]),
                    "requests": chance.randint(2, 9),
                },
            }
        )
        return DmaMaster(self.sim, f"nic{number}", options, (number + 1,), system.iommu.transport)

    def _enable_commands(self) -> None:
        self.registers.write(CQB.offset, 8, QueueBase.placed(COMMANDS, 16, Command.SIZE))
        self.registers.write(CQCSR.offset, 4, 1)
        self.system.run()

    def _thread(self) -> Generator[Event, Any, None]:
        """Unmap a page, invalidate it, fence, and wait for the fence as a driver does."""
        sim, chance = self.sim, self.chance
        rank = lambda: sim.initiator("cpu0").rank(Stage.CPU)  # noqa: E731
        port = self.system.bus.port("cpu0", chance.randint(0, 2))
        tail = 0
        for _ in range(chance.randint(2, 5)):
            yield sim.moment(sim.now + chance.randint(1, 12), rank())
            space, page = chance.choice(self.spaces), chance.randrange(PAGES)
            if chance.random() < 0.5:
                space.unmap(page * PAGE)
            inval: Command = Iotinval.vma(pscid=space.pscid, addr=page * PAGE)
            if chance.random() < 0.3:
                inval = Iodir.inval_ddt(chance.randint(1, 2))
            for command in (inval, Iofence.c(pr=1, pw=1)):
                for word, value in enumerate(command):
                    self.system.poke(COMMANDS + 16 * tail + 8 * word, value)
                tail += 1
            port.post(REGISTERS + CQT.offset, 4, (tail,), rank())
            head = -1
            while head != tail:
                yield sim.moment(sim.now + 5, rank())
                woken = Woken(sim)
                read = Access(port, AccessKind.READ, REGISTERS + CQH.offset, 4, CountsFor("mmio"), owner="cpu0")
                sim.start(self._read(port.in_order(read), woken, rank()), rank())
                yield woken
                head = read.value
            self.polled.append((sim.now, head))

    def _read(self, routine: Any, woken: Woken, rank: int) -> Generator[Any, Any, None]:
        yield from routine
        woken.wake(rank)

    def _note(self, event: DmaDone) -> None:
        assert sum(event.parts.values()) == event.time - event.issued
        self.done.append((event.time, event.who, event.sequence, event.status, event.issued, dict(event.parts)))
        self.digest.add(number_of(event.who), event.sequence, event.time, number_of(event.status))

    def outcome(self) -> dict[str, Any]:
        """All that can be compared."""
        self.sim.env.run()
        for master in self.masters:
            integral, residence = master.occupancy.law(self.sim.now)
            assert integral == residence
        system = self.system
        return {
            "digest": str(self.digest),
            "done": self.done,
            "committed": self.committed,
            "polled": self.polled,
            "faults": system.faults(),
            "counters": system.iommu.counters(),
            "iotlb": list(system.translation.iotlb.cache.items()),
            "contexts": list(system.translation.directory.contexts.items()),
            "memory": [system.peek(DATA + offset) for offset in range(0, 3 * PAGE, 512)],
            "asked": getattr(self.chooser, "asked", None),
            "ended": self.sim.now,
        }


def comparable(outcome: dict[str, Any]) -> dict[str, Any]:
    """Cache entries are objects of their own in each run: their tags and texts compare."""
    return {**outcome, **{name: [str(tag) for tag, _ in outcome[name]] for name in ("iotlb", "contexts")}}


@pytest.mark.parametrize("seed", seeds(range(200), 60))
def test_real_parts_run_alike(seed: int) -> None:
    share = 0.15 * (seed % 2)
    one, two = (comparable(Scenario(seed, executor, share).outcome()) for executor in (Agenda, Plain))
    assert one == two


def test_the_scenarios_see_hits_misses_merges_faults_invalidations_and_fences() -> None:
    total = dict.fromkeys(("iotlb.hits", "iotlb.misses", "merged", "faults", "iotlb.dropped", "overtaken"), 0)
    statuses = set()
    for seed in range(0, 30, 2):
        outcome = Scenario(seed, Agenda, 0).outcome()
        assert outcome["polled"]
        statuses |= {status for _, _, _, status, *_ in outcome["done"]}
        for name in total:
            total[name] += outcome["counters"][name]
    assert all(total.values()), total
    assert statuses == {"SUCCESS", "UR"}
