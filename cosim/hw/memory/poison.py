"""Freed memory: which ranges nobody may touch, since when, and who freed them; and pages of whose loads is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cosim.spec.page import PAGE_LG2, pages_of

FOREVER = 1 << 63


@dataclass(slots=True, eq=False)
class Freed:
    """A range from its free at `since` to its next use at `until`, in picoseconds."""

    first: int
    end: int
    since: int
    by: str
    what: str
    until: int = FOREVER

    def through(self, first_ps: int, last_ps: int) -> bool:
        """Whether it was free all the time from `first_ps` to `last_ps`: a moment of use is enough to let it pass."""
        return self.since <= first_ps and last_ps < self.until


class Poison:
    """The freed ranges, found by page. Ranges that came to use again stay known for `keep_ps`.

    `pages` also has those that are `told` of: whoever asks of each access whether it is of note looks there alone.
    """

    __slots__ = ("_used", "keep_ps", "pages", "ranges", "told")

    def __init__(self) -> None:
        self.keep_ps = 0
        self.pages: dict[int, list[Freed]] = {}
        self.ranges = 0
        """How many ranges are known."""
        self.told: set[int] = set()
        self._used: list[Freed] = []

    def tell_of(self, address: int, size: int) -> None:
        """Each load from the pages of a range is of note from now on, too."""
        for page in pages_of(address, size):
            self.told.add(page)
            self.pages.setdefault(page, [])

    def free(self, address: int, size: int, now: int, by: str, what: str) -> None:
        """Poison a range; what of it is poisoned already stays as it is, with its first free."""
        self._insert(Freed(address, address + size, now, by, what))

    def use(self, address: int, size: int, now: int) -> None:
        """Take a range out of the poison; a range that is poisoned beyond it on either side is split."""
        end = address + size
        self._forget(now)
        for page in pages_of(address, size):
            for freed in list(self.pages.get(page, ())):
                if freed.until == FOREVER and freed.first < end and address < freed.end:
                    self._cut(freed, address, end, now)

    def _cut(self, freed: Freed, first: int, end: int, now: int) -> None:
        self._remove(freed)
        if freed.first < first:
            self._insert(Freed(freed.first, first, freed.since, freed.by, freed.what))
        if end < freed.end:
            self._insert(Freed(end, freed.end, freed.since, freed.by, freed.what))
        if self.keep_ps:
            used = Freed(max(first, freed.first), min(end, freed.end), freed.since, freed.by, freed.what, now)
            self._insert(used)
            self._used.append(used)

    def _insert(self, freed: Freed) -> None:
        self.ranges += 1
        for page in pages_of(freed.first, freed.end - freed.first):
            self.pages.setdefault(page, []).append(freed)

    def _remove(self, freed: Freed) -> None:
        self.ranges -= 1
        for page in pages_of(freed.first, freed.end - freed.first):
            bucket = self.pages[page]
            bucket.remove(freed)
            if not bucket and page not in self.told:
                del self.pages[page]

    def _forget(self, now: int) -> None:
        expired = 0
        for freed in self._used:
            if freed.until > now - self.keep_ps:
                break
            self._remove(freed)
            expired += 1
        del self._used[:expired]

    def near(self, address: int, size: int) -> Sequence[Freed]:
        """The known ranges that an access hits, whenever they were freed."""
        pages, first, last, end = self.pages, address >> PAGE_LG2, address + size - 1 >> PAGE_LG2, address + size
        freed = [freed for page in range(first, last + 1) for freed in pages.get(page, ())]
        return [one for one in freed if one.first < end and address < one.end]


def hit(near: Sequence[Freed], now: int, first_ps: int, last_ps: int) -> Freed | None:
    """Which of them is free `now`; or was all the time from `first_ps` to `last_ps`, if these are not negative."""
    found = next((freed for freed in near if freed.through(now, now)), None)
    if found is None and first_ps >= 0:
        found = next((freed for freed in near if freed.through(first_ps, last_ps)), None)
    return found
