"""PSCIDs that a compiled driver has taken for domains, and that no domain names any more (`driver.numbers`)."""

from __future__ import annotations

from collections.abc import Mapping

from cosim.sw.driver.numbers import LostNumber
from cosim.sw.kernel.objects import WORD
from cosim.sw.object_driver.machine import Machine

INT = 4

Place = tuple[str, int, int]
"""What an object is for, its size, and where in there."""


class Numbers:
    """Which ids were taken while a domain was made, and where the driver keeps those.

    No name of the driver's is asked for: where the ids are that are taken while domains are made, in all of the objects
    of these domains, is where they are kept. An allocator of which no such place is known is not judged, nor is an id
    that was taken beside another one.
    """

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._places: dict[int, set[Place]] = {}
        """By the address of the allocator."""
        self._domains: dict[int, tuple[int, int, int]] = {}
        """By the address of a domain the allocator, the id, and when that was taken."""
        self._over: dict[tuple[int, int], int] = {}
        """When each id, of an allocator, was taken for a domain that is there no more."""

    def taken(self) -> dict[int, frozenset[int]]:
        """The ids in use of each allocator; takes no time."""
        return {address: ids.taken for address, ids in self._machine.idas.items()}

    def made(self, domain: int, before: Mapping[int, frozenset[int]]) -> None:
        """A domain was made while these were in use; 0 if it could not be. Takes no time."""
        for address, now in self.taken().items():
            new = now - before.get(address, frozenset())
            for number in new if len(new) == 1 else ():
                self._over.pop((address, number), None)
                if domain:
                    self._domains[domain] = address, number, self._machine.kernel.sim.now
                else:
                    self._over[address, number] = self._machine.kernel.sim.now

    def freed(self, domain: int) -> None:
        """A domain is about to be freed; takes no time."""
        if domain not in self._domains:
            return
        found, (address, number, then) = self._look(domain), self._domains.pop(domain)
        if found:
            self._over[address, number] = then

    def _look(self, domain: int) -> bool:
        """Where a domain keeps its id; whether it is found, which it may not be yet."""
        address, number, _ = self._domains[domain]
        start, size, what = self._machine.object_at(domain)
        places = {(what, size, at) for at in range(0, size - INT + 1, INT) if self._int(start + at, {}) == number}
        if what and places:
            self._places[address] = self._places.get(address, places) & places
        return bool(what and places)

    def lost(self, stored: Mapping[int, int]) -> list[LostNumber]:
        """The ids in use, taken for domains, that no domain names; takes no time.

        It is meant for a moment at which no thread holds one; `stored` are words that have yet to take hold. An object
        of another kind that is younger than the id may name it wherever it likes. Once the driver has logged an error
        there is none: what it could not flush it may keep.
        """
        machine = self._machine
        kernel = machine.kernel
        if machine.complained or kernel.pages.quarantined or not kernel.rcu.has_called:
            return []
        for domain in self._domains:
            self._look(domain)
        since = {one.address: one.time for one in kernel.pages.in_use()}
        found = []
        for (address, number), then in self._over.items():
            places = self._places.get(address, set())
            if not places or number not in machine.idas[address].taken:
                continue
            kinds = {(what, size) for what, size, _ in places}
            words = [
                start + at
                for start, (size, what) in machine.objects.items()
                for at in range(0, size - INT + 1, INT)
                if ((what, size, at) in places if (what, size) in kinds else since.get(start, -1) > then)
            ]
            if not any(self._int(word, stored) == number for word in words):
                found.append(LostNumber(machine.idas[address].name, "", number))
        return found

    def _int(self, address: int, stored: Mapping[int, int]) -> int:
        word = self._machine.kernel.word(address & -WORD, stored)
        return word >> 8 * (address % WORD) & (1 << 8 * INT) - 1
