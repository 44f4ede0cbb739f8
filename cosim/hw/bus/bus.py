"""The bus: which target answers at which address."""

from __future__ import annotations

from bisect import bisect_right
from typing import NamedTuple

from cosim.hw.bus.nowhere import NOWHERE
from cosim.hw.bus.port import BusPort
from cosim.sim.simulation import Sim
from cosim.sim.transport import Target

_END = 1 << 64


class Range(NamedTuple):
    """Where `target` answers: `size` bytes from `base` on."""

    base: int
    size: int
    target: Target
    name: str
    node: int = 0
    remote_ps: int = 0
    """How much longer the way from an initiator of another node is, one way."""

    @property
    def end(self) -> int:
        """The first byte address after it."""
        return self.base + self.size

    def __str__(self) -> str:
        return f"{self.name} at {self.base:#x}..{self.end - 1:#x}"


class Bus:
    """Who answers at which address. Ranges never overlap; what none of them holds as a whole is refused."""

    def __init__(self, sim: Sim) -> None:
        self.sim = sim
        self._bases: list[int] = []
        self._ranges: list[Range] = []

    def attach(self, base: int, size: int, target: Target, name: str, *, node: int = 0, remote_ps: int = 0) -> Range:
        """Let `target` answer at `size` bytes from `base` on; ValueError if another one answers there already."""
        added = Range(base, size, target, name, node, remote_ps)
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

    def port(self, path: str, hop_ps: int = 0, *, node: int | None = None) -> BusPort:
        """A way onto the bus for the initiator at `path`, `hop_ps` long each way; 0 is no hop. None is on no node."""
        return BusPort(self, path, hop_ps, node)

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
