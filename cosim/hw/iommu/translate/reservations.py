"""Places of the IOTLB that misses have reserved: ``geometry.iotlb_allocation: miss``."""

from __future__ import annotations

from collections.abc import Callable

from cosim.hw.iommu.translate.cache import Cache, Place
from cosim.hw.iommu.translate.leaf import Key, Leaf
from cosim.spec.pagetable import PAGE_LG2


class Reservation:
    """A place for what the misses of one page will find, from the first of them until one fills it or all have ended.

    ```
    miss -> holds -> `fill`, which takes the place        -> lets go
         -> holds -> fault, restart, a fill by another    -> lets go; the last one gives back a place that nobody took
    ```
    """

    __slots__ = ("_holders", "_of", "key", "place")

    def __init__(self, of: Reservations, key: Key, place: Place[Key, Leaf]) -> None:
        self._of = of
        self._holders = 0
        self.key = key
        self.place: Place[Key, Leaf] | None = place
        """None once it is filled."""

    def hold(self) -> Reservation:
        """One more miss of this page."""
        self._holders += 1
        return self

    def let_go(self) -> None:
        """One less."""
        self._holders -= 1
        if not self._holders:
            self._of.end(self)


class Reservations:
    """The places reserved at present, by page of 4 KiB: the size of what a walk will find is not known before.

    `given_up` is called with each entry that a reservation drives out. A miss that finds all places of its set reserved
    reserves none, and takes an entry when it fills, if there is one by then.
    """

    def __init__(self, cache: Cache[Key, Leaf], given_up: Callable[[Leaf], None]) -> None:
        self._cache = cache
        self._given_up = given_up
        self._pages: dict[Key, Reservation] = {}

    def __len__(self) -> int:
        return len(self._pages)

    def reserve(self, gscid: int, pscid: int, iova: int) -> Reservation | None:
        """A place for the translation of `iova`, held by one miss more."""
        key = (gscid, pscid, PAGE_LG2, iova >> PAGE_LG2)
        reservation = self._pages.get(key)
        if reservation is None:
            place, gone = self._cache.reserve(key)
            if gone is not None:
                self._given_up(gone[1])
            if place is None:
                return None
            reservation = self._pages[key] = Reservation(self, key, place)
        return reservation.hold()

    def end(self, reservation: Reservation) -> None:
        """Nobody holds it any more."""
        del self._pages[reservation.key]
        if reservation.place is not None:
            reservation.place.ways.unreserve(reservation.place.number)
