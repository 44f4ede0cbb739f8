"""The registers of a device of ours, on the bus: a value each, with watchers, and a call for each write."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cosim.sim.footprints import Footprint
from cosim.sim.server import Server
from cosim.sim.simulation import Sim
from cosim.sim.transport import Access, AccessKind, Response, Target
from cosim.spec.bits import Word
from cosim.spec.register_map import Register, RegisterMap


class RegisterBlock(Target):
    """The registers of a device. `written` is called after each write by software, with what was there and what came.

    An access has to be of one whole register; any other is refused.
    """

    SIZE = RegisterMap.SIZE

    def __init__(
        self,
        sim: Sim,
        path: str,
        registers: RegisterMap,
        access_ps: int,
        written: Callable[[Register[Word], int, int], None],
    ) -> None:
        self.sim = sim
        self.path = path
        self.server = Server(access_ps, "mmio", wait_part="mmio")
        self._map = registers
        self._values: dict[str, int] = dict.fromkeys(registers, 0)
        self._written = written
        self._watchers: dict[str, list[Callable[[], None]]] = {}

    def value(self, register: Register[Any]) -> int:
        """What a register holds."""
        return self._values[register.name]

    def put(self, register: Register[Any], value: int) -> None:
        """Change a register as the device does."""
        if value != self._values[register.name]:
            if self.sim.exploring:
                agent, touched = f"{self.path}.{register.name}", ((self.path, register.name),)
                self.sim.actions.announce(agent, self.path, touched, True, register.size)
            self._change(register, value)

    def footprint(self, address: int, size: int) -> Footprint:
        """What an access touches, as an action."""
        register = self._map.at(address % self.SIZE)
        return () if register is None else ((self.path, register.name),)

    def _change(self, register: Register[Any], value: int) -> None:
        if value != self._values[register.name]:
            self._values[register.name] = value
            for call in tuple(self._watchers.get(register.name, ())):
                call()

    def watch(self, address: int, call: Callable[[], None]) -> Callable[[], None]:
        """Call `call` each time the register at `address` has changed value; returns what ends that."""
        register = self._map.at(address % self.SIZE)
        watchers = self._watchers.setdefault(register.name, []) if register else []
        watchers.append(call)
        return lambda: watchers.remove(call)

    def arrive(self, access: Access, now: int) -> int:
        """One access at a time."""
        done = self.server.admit(now)
        access.waited_ps = done - self.server.latency_ps - now
        return done

    def commit(self, access: Access) -> None:
        """Read or write one register, as a whole."""
        register = self._map.at(access.address % self.SIZE)
        if register is None or access.size != register.size or access.address % self.SIZE != register.offset:
            access.response = Response.ACCESS_FAULT
            access.words = (0,)
        elif access.kind is AccessKind.READ:
            access.words = (self._values[register.name],)
        else:
            old = self._values[register.name]
            self._change(register, register.layout.written(old, access.value))
            self._written(register, old, access.value)

    def peek(self, address: int, size: int) -> int:
        """The register at `address`; 0 where there is none."""
        register = self._map.at(address % self.SIZE)
        return 0 if register is None else self._values[register.name]

    def poke(self, address: int, size: int, value: int) -> None:
        """Change the register at `address`, without what a write does besides."""
        if (register := self._map.at(address % self.SIZE)) is not None:
            self.put(register, value)
