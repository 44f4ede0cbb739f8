"""Freed memory: which ranges nobody may touch, since when, and who freed them."""

from __future__ import annotations

from dataclasses import dataclass

_PAGE_LG2 = 12
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


class Poison:
    """The freed ranges, found by page. Ranges that came to use again stay known for `keep_ps`."""

    __slots__ = ("_pages", "_used", "keep_ps")

    def __init__(self) -> None:
        self.keep_ps = 0
        self._pages: dict[int, list[Freed]] = {}
        self._used: list[Freed] = []

    def free(self, address: int, size: int, now: int, by: str, what: str) -> None:
        """Poison a range; what of it is poisoned already stays as it is, with its first free."""
        freed = Freed(address, address + size, now, by, what)
        for page in _pages(address, size):
            self._pages.setdefault(page, []).append(freed)

    def use(self, address: int, size: int, now: int) -> None:
        """Take a range out of the poison; a range that is poisoned beyond it on either side is split."""
        end = address + size
        self._forget(now)
        for page in _pages(address, size):
            for freed in list(self._pages.get(page, ())):
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
        for page in _pages(freed.first, freed.end - freed.first):
            self._pages.setdefault(page, []).append(freed)

    def _remove(self, freed: Freed) -> None:
        for page in _pages(freed.first, freed.end - freed.first):
            bucket = self._pages[page]
            bucket.remove(freed)
            if not bucket:
                del self._pages[page]

    def _forget(self, now: int) -> None:
        expired = 0
        for freed in self._used:
            if freed.until > now - self.keep_ps:
                break
            self._remove(freed)
            expired += 1
        del self._used[:expired]

    def __bool__(self) -> bool:
        return bool(self._pages)

    def touched(self, address: int, size: int, first_ps: int, last_ps: int) -> Freed | None:
        """The range that an access hits which may have taken place at any time from `first_ps` to `last_ps`.

        None if there was a moment in that time at which it was in use: the access is given the benefit of the doubt.
        """
        pages, first_page, last_page = self._pages, address >> _PAGE_LG2, address + size - 1 >> _PAGE_LG2
        if first_page == last_page and first_page not in pages:
            return None
        end = address + size
        for page in range(first_page, last_page + 1):
            for freed in pages.get(page, ()):
                if freed.first < end and address < freed.end and freed.since <= first_ps and last_ps < freed.until:
                    return freed
        return None


def _pages(address: int, size: int) -> range:
    return range(address >> _PAGE_LG2, (address + size - 1 >> _PAGE_LG2) + 1)
