"""Big-endian structures in little-endian memory ("Endianness of in-memory data structures", 2.10)."""

from __future__ import annotations

from collections.abc import Sequence

from cosim.sim.transport import Access, Port, Route, Target


def swapped(words: Sequence[int], size: int) -> tuple[int, ...]:
    """Words of an access of `size` bytes with the bytes of each in the other order."""
    word = min(size, 8)
    return tuple(int.from_bytes(each.to_bytes(word, "little"), "big") for each in words)


class _BigEndian(Target):
    """A target whose words are big-endian to those who come here."""

    def __init__(self, target: Target) -> None:
        self._target = target

    def arrive(self, access: Access, now: int) -> int:
        return self._target.arrive(access, now)

    def commit(self, access: Access) -> None:
        access.words = swapped(access.words, access.size)
        self._target.commit(access)
        access.words = swapped(access.words, access.size)

    def peek(self, address: int, size: int) -> int:
        return swapped((self._target.peek(address, size),), size)[0]

    def poke(self, address: int, size: int, value: int) -> None:
        self._target.poke(address, size, *swapped((value,), size))


class _BigEndianPort(Port):
    """A port behind which every target is big-endian."""

    def __init__(self, port: Port) -> None:
        self.path = port.path
        self._port = port
        self._targets: dict[Target, Target] = {}

    def route(self, address: int, size: int) -> Route:
        route = self._port.route(address, size)
        target = self._targets.get(route.target)
        if target is None:
            target = self._targets[route.target] = _BigEndian(route.target)
        return Route(target, route.out_ps, route.back_ps)


def both_orders(port: Port) -> tuple[Port, Port]:
    """The way by which structures are read and written, for each value of ``fctl.be`` or ``tc.sbe``."""
    return port, _BigEndianPort(port)
