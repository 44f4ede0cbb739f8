"""The bus: the address map, the ports through which initiators leave for it, and the order of posted writes."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from cosim.sim.gate import Gate
from cosim.sim.server import Server
from cosim.sim.simulation import Sim
from cosim.sim.task import Subroutine, Task
from cosim.sim.transport import Access, AccessKind, Response, Route, Target

_END = 1 << 64


class Range(NamedTuple):
    """Where `target` answers: `size` bytes from `base` on."""

    base: int
    size: int
    target: Target
    name: str

    @property
    def end(self) -> int:
        """The first byte address after it."""
        return self.base + self.size

    def __str__(self) -> str:
        return f"{self.name} at {self.base:#x}..{self.end - 1:#x}"


class Nowhere:
    """Answers where nothing is: it refuses after one tick, and reads as all ones."""

    def arrive(self, access: Access, now: int) -> int:
        """Nothing to wait for."""
        return now

    def commit(self, access: Access) -> None:
        """Refuse."""
        access.response = Response.ACCESS_FAULT
        if access.kind is not AccessKind.WRITE:
            bits = 8 * min(access.size, 8)
            access.words = ((1 << bits) - 1,) * max(1, access.size // 8)

    def peek(self, address: int, size: int) -> int:
        """All ones."""
        return (1 << 8 * size) - 1

    def poke(self, address: int, size: int, value: int) -> None:
        """Nothing changes."""


NOWHERE = Nowhere()


class Bus:
    """Who answers at which address. Ranges never overlap; what none of them holds as a whole is refused."""

    def __init__(self, sim: Sim) -> None:
        self.sim = sim
        self._bases: list[int] = []
        self._ranges: list[Range] = []

    def attach(self, base: int, size: int, target: Target, name: str) -> Range:
        """Let `target` answer at `size` bytes from `base` on; ValueError if another one answers there already."""
        added = Range(base, size, target, name)
        if base < 0 or size <= 0 or added.end > _END:
            raise ValueError(f"{name}: {size:#x} bytes from {base:#x} on are not a range of 64-bit addresses")
        index = bisect_right(self._bases, base)
        for other in self._ranges[max(0, index - 1) : index + 1]:
            if other.base < added.end and base < other.end:
                raise ValueError(f"{added} overlaps {other}")
        self._bases.insert(index, base)
        self._ranges.insert(index, added)
        return added

    def ranges(self) -> tuple[Range, ...]:
        """The address map, by address."""
        return tuple(self._ranges)

    def find(self, address: int, size: int = 1) -> Range | None:
        """The range that holds all `size` bytes from `address` on."""
        index = bisect_right(self._bases, address) - 1
        if index < 0:
            return None
        found = self._ranges[index]
        return found if address + size <= found.end else None

    def target(self, address: int, size: int = 1) -> Target:
        """Who answers at `address`; where nobody does, one that refuses."""
        found = self.find(address, size)
        return NOWHERE if found is None else found.target

    def port(self, path: str, hop_ps: int = 0) -> BusPort:
        """A way onto the bus for the initiator at `path`, `hop_ps` long each way; 0 is no hop."""
        return BusPort(self, path, hop_ps)

    def peek(self, address: int, size: int) -> int:
        """What is there now, untimed; LookupError where nothing answers."""
        return self._held(address, size).peek(address, size)

    def poke(self, address: int, size: int, value: int) -> None:
        """Change what is there, untimed and without effects; LookupError where nothing answers."""
        self._held(address, size).poke(address, size, value)

    def _held(self, address: int, size: int) -> Target:
        found = self.find(address, size)
        if found is None:
            raise LookupError(f"nothing answers at {address:#x}, {size} bytes; there are: {self._listing()}")
        return found.target

    def _listing(self) -> str:
        return ", ".join(map(str, self._ranges)) or "no ranges"


class BusPort:
    """Where one initiator leaves for the bus: every access takes the same hop there and back.

    What leaves by `in_order` or `post` reaches each target in the order in which it left; a plain `Access` may
    overtake it.
    """

    def __init__(self, bus: Bus, path: str, hop_ps: int) -> None:
        self.bus = bus
        self.path = path
        self.hop_ps = hop_ps
        self.initiator = bus.sim.initiator(path)
        self._nowhere = Route(NOWHERE, hop_ps, hop_ps)
        self._base = self._end = 0
        self._route = self._nowhere
        self._landing = BusPort(bus, path, 0) if hop_ps else self
        self._turns: dict[Target, Gate] = {}

    def __repr__(self) -> str:
        return f"<BusPort {self.path}>"

    def route(self, address: int, size: int) -> Route:
        """The way to who answers at all `size` bytes from `address` on; refused where they are not one target's."""
        if self._base <= address and address + size <= self._end:
            return self._route
        found = self.bus.find(address, size)
        if found is None:
            return self._nowhere
        self._base, self._end = found.base, found.end
        self._route = Route(found.target, self.hop_ps, self.hop_ps)
        return self._route

    def in_order(self, access: Access) -> Subroutine[Access]:
        """Make `access` behind everything that left here in order for the same target before it."""
        hop = Server(0, access.hop_part, latency_ps=self.hop_ps)
        if self.hop_ps:
            yield hop
        access.port = self._landing
        target = self.bus.target(access.address, access.size)
        turn = self._turns.get(target)
        if turn is None:
            turn = self._turns[target] = Gate(self.bus.sim, 1, access.wait_part)
        yield turn
        yield access
        turn.release()
        if self.hop_ps:
            yield hop
        return access

    def post(
        self,
        address: int,
        size: int,
        words: Sequence[int],
        rank: int,
        *,
        agent: str = "",
        owner: str = "",
        part: str = "mmio",
    ) -> Task:
        """Send a write on its way in order, and do not wait for it; `rank` is one of the writer's."""
        access = Access(self, AccessKind.WRITE, address, size, part, words, agent=agent, owner=owner)
        return self.bus.sim.start(self.in_order(access), rank)
