"""A random little machine full of ties, to hold executors against each other: what it does is a function of its seed.

Masters look up a shared cache, merge their misses, walk for them through a gate of walkers, then access memory;
callbacks and threads on SimPy invalidate the cache, read and write memory, post writes and wait for answers.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

from simpy.events import Event

from cosim.hw.bus.bus import Bus
from cosim.sim.chooser import Chooser
from cosim.sim.digest import Digest, number_of
from cosim.sim.executor import Executor
from cosim.sim.gate import Gate
from cosim.sim.occupancy import Occupancy
from cosim.sim.ranks import Stage
from cosim.sim.server import Server
from cosim.sim.simulation import Sim
from cosim.sim.spent import NAMES, Parts
from cosim.sim.transport import Access, AccessKind, CountsFor, Target


class Shelf(Target):
    """A memory whose service and queue take a few ticks at most."""

    def __init__(self, machine: Machine, interval: int, latency: int) -> None:
        self.machine = machine
        self.server = Server(interval, "memory", latency_ps=latency)
        self.words: dict[int, int] = {}

    def arrive(self, access: Access, now: int) -> int:
        done = self.server.admit(now)
        access.waited_ps = done - self.server.latency_ps - now
        return done

    def commit(self, access: Access) -> None:
        old = self.words.get(access.address, 0)
        if access.kind is AccessKind.WRITE or (access.kind is AccessKind.CAS and old == access.words[0]):
            self.words[access.address] = access.words[-1]
        if access.kind is not AccessKind.WRITE:
            access.words = (old,)
        self.machine.note(f"{access.kind.name} {access.address:#x} by {access.owner}: {old}")

    def peek(self, address: int, size: int) -> int:
        return self.words.get(address, 0)

    def poke(self, address: int, size: int, value: int) -> None:
        self.words[address] = value


class Answers(Chooser):
    """Holds a share of all actions, each as its name says: the same in every executor that asks the same names."""

    exploring = True

    def __init__(self, seed: int, share: float) -> None:
        super().__init__(seed)
        self.share = share
        self.asked: list[str] = []

    def pick(self, n: int, name: str) -> int:
        self.asked.append(name)
        drawn = number_of(f"{self.seed} {name}") / 2**64
        return 0 if drawn >= self.share else 1 + int(drawn / self.share * (n - 1))


@dataclass
class Outcome:
    """All that can be compared of a run."""

    digest: str
    steps: list[tuple[int, str]]
    latencies: dict[str, list[tuple[int, dict[str, int]]]]
    cache: dict[int, int]
    memory: dict[int, int]
    ended: int
    asked: list[str] = field(default_factory=list)


class Machine:
    """See above. `executor` runs it; with `threads` it has processes on SimPy, with `share` actions are held."""

    def __init__(
        self, seed: int, executor: Callable[[Sim], Executor], *, threads: bool = True, share: float = 0
    ) -> None:
        self.chance = chance = random.Random(seed)
        self.chooser = Answers(seed, share) if share else Chooser(seed)
        self.sim = Sim(self.chooser, executor=executor, hold_ps=chance.randint(1, 6))
        self.bus = Bus(self.sim)
        self.digest = Digest()
        self.steps: list[tuple[int, str]] = []
        self.latencies: dict[str, list[tuple[int, dict[str, int]]]] = {}
        self.cache: dict[int, int] = {}
        self.pending: dict[int, Gate] = {}
        self.occupancy = Occupancy()
        self.transactions = 0
        self.shelves = [Shelf(self, chance.randint(0, 2), chance.randint(0, 3)) for _ in range(chance.randint(1, 2))]
        for number, shelf in enumerate(self.shelves):
            self.bus.attach(0x1000 * (number + 1), 0x1000, shelf, f"shelf{number}")
        self.lookup = Server(chance.randint(0, 2), "iotlb", latency_ps=chance.randint(0, 2))
        self.walkers = Gate(self.sim, chance.randint(1, 2), "walker_wait")
        self.keys = chance.randint(1, 4)
        self.sim.explore()
        for number in range(chance.randint(1, 4)):
            self._add_master(f"nic{number}")
        for number in range(chance.randint(0, 2)):
            self._add_timer(f"timer{number}")
        for number in range(chance.randint(1, 2) if threads else 0):
            self._add_thread(f"cpu{number}")

    def outcome(self) -> Outcome:
        """What came out, when nothing is left to happen."""
        memory = {address: word for shelf in self.shelves for address, word in shelf.words.items()}
        asked = self.chooser.asked if isinstance(self.chooser, Answers) else []
        return Outcome(str(self.digest), self.steps, self.latencies, self.cache, memory, self.sim.now, asked)

    def note(self, what: str) -> None:
        self.steps.append((self.sim.now, what))
        self.digest.add(number_of(what), 0, self.sim.now, 0)

    # --- Masters ---------------------------------------------------------------------------------------------------

    def _add_master(self, path: str) -> None:
        chance = self.chance
        initiator = self.sim.initiator(path)
        port = self.bus.port(path, chance.randint(0, 3))
        for number in range(chance.randint(1, 3)):
            plan = [self._plan() for _ in range(chance.randint(1, 4))]
            spent = [0] * len(NAMES)
            routine = self._master(f"{path}.{number}", port, plan, spent)
            self.sim.start(routine, initiator.rank(Stage.TRANSACTION), spent, delay_ps=chance.randint(0, 3))

    def _plan(self) -> tuple[int, AccessKind, int, int]:
        chance = self.chance
        address = 0x1000 * chance.randint(1, len(self.shelves)) + 8 * chance.randint(0, 2)
        return chance.randrange(self.keys), AccessKind(chance.randrange(3)), address, chance.randint(0, 3)

    def _master(self, who: str, port: Any, plan: list[Any], spent: list[int]) -> Generator[Any, Any, None]:
        pause = Server(0, "link")
        for sequence, (key, kind, address, rest) in enumerate(plan):
            began, before = self.sim.now, list(spent)
            self.occupancy.enter(began)
            self.transactions += 1
            yield self.lookup
            while key not in self.cache:
                if key in self.pending:
                    yield self.pending[key]
                else:
                    yield from self._walk(who, port, key)
            self.note(f"{who} found {key}: {self.cache[key]}")
            words = (sequence, sequence + 1) if kind is AccessKind.CAS else (sequence,)
            access = Access(port, kind, address, 8, CountsFor("memory", hop_part="link"), words, owner=who, agent=who)
            yield access
            now_spent = [after - then for after, then in zip(spent, before, strict=True)]
            self.occupancy.leave(self.sim.now, began, sum(now_spent))
            self.latencies.setdefault(who, []).append((self.sim.now - began, dict(Parts(now_spent))))
            self.digest.add(number_of(who), sequence, self.sim.now, access.words[0])
            if rest:
                yield pause.taking(0, rest)

    def _walk(self, who: str, port: Any, key: int) -> Generator[Any, Any, None]:
        merged = self.pending[key] = Gate(self.sim, 0, "merge_wait")
        yield self.walkers
        value = 0
        for level in range(2):
            read = Access(
                port, AccessKind.READ, 0x1000 + 8 * level, 8, CountsFor("walk"), owner=who, agent=f"{who}.walk"
            )
            yield read
            value += read.value
        self.cache[key] = value
        self.note(f"{who} filled {key}")
        del self.pending[key]
        self.walkers.release()
        merged.open()

    # --- Callbacks, and threads on SimPy ----------------------------------------------------------------------------

    def _invalidate(self, who: str, key: int) -> None:
        self.cache.pop(key, None)
        self.note(f"{who} dropped {key}")

    def _add_timer(self, path: str) -> None:
        initiator, chance = self.sim.initiator(path), self.chance
        gaps = [(chance.randint(1, 5), chance.randrange(self.keys)) for _ in range(chance.randint(1, 5))]

        def fire(left: list[tuple[int, int]]) -> None:
            self._invalidate(path, left[0][1])
            arm(left[1:])

        def arm(left: list[tuple[int, int]]) -> None:
            if left:
                self.sim.at(self.sim.now + left[0][0], initiator.rank(Stage.INTERRUPT), lambda: fire(left))

        arm(gaps)

    def _add_thread(self, path: str) -> None:
        chance = self.chance
        plan = [(chance.randrange(6), *self._plan()) for _ in range(chance.randint(2, 6))]
        port = self.bus.port(path, chance.randint(0, 3))
        self.sim.env.process(self._thread(path, port, plan))

    def _thread(self, path: str, port: Any, plan: list[Any]) -> Generator[Event, Any, None]:
        sim, rank = self.sim, lambda: self.sim.initiator(path).rank(Stage.CPU)
        for verb, key, _, address, rest in plan:
            yield sim.moment(sim.now + 1 + rest, rank())
            if verb == 0:
                self._invalidate(path, key)
            elif verb == 1:
                self.note(f"{path} loads {address:#x}: {self.bus.peek(address, 8)}")
            elif verb == 2:
                port.post(address, 8, (100 + key,), rank(), owner=path, agent=f"{path}.post")
            elif verb == 3:
                sim.at(sim.now + 1 + rest, rank(), lambda key=key: self._invalidate(path, key))
            elif verb == 4:
                sim.schedule(sim.now + rest, rank(), lambda key: self._invalidate(path, key), key)
            else:
                woken = Woken(sim)
                read = Access(port, AccessKind.READ, address, 8, CountsFor("mmio"), owner=path, agent=f"{path}.mmio")
                sim.start(self._answer(port.in_order(read), woken, rank()), rank())
                yield woken
                self.note(f"{path} got {read.value}")

    def _answer(self, routine: Any, woken: Woken, rank: int) -> Generator[Any, Any, None]:
        yield from routine
        woken.wake(rank)


class Woken(Event):
    """What a thread on SimPy waits for: an event that the hardware decides, a tick ahead and with a rank."""

    def __init__(self, sim: Sim) -> None:
        super().__init__(sim.env)
        self.sim = sim

    def wake(self, rank: int) -> None:
        self._ok, self._value = True, None
        self.env.schedule(self, rank, self.sim.now + 1 - self.env.now)  # type: ignore[arg-type]
