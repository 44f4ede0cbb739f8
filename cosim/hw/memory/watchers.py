"""Who is called when a word of memory changes: one word, or any word of a page."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from cosim.spec.page import PAGE_LG2


class Watchers:
    """Those of one memory. `words` has who watches each word, and none without a watcher.

    Of a page that is watched, a word gets its watcher when it is first written, so that no other word costs anything.
    """

    def __init__(self) -> None:
        self.words: dict[int, list[Callable[[], None]]] = {}
        self.pages: dict[int, list[PageWatch]] = {}
        """By the number of the page."""

    def notify(self, word: int) -> None:
        """A word has changed."""
        for call in tuple(self.words.get(word, ())):
            call()

    def watch(self, word: int, call: Callable[[], None]) -> Callable[[], None]:
        """Call `call` whenever a word changes; returns how to stop."""
        watchers = self.words.setdefault(word, [])
        watchers.append(call)

        def stop() -> None:
            if call in watchers:
                watchers.remove(call)
            if not watchers and self.words.get(word) is watchers:
                del self.words[word]

        return stop

    def watch_page(self, page: int, written: Iterable[int], call: Callable[[int], None]) -> Callable[[], None]:
        """Call `call` with whichever word of a page changes, of which `written` are written; returns how to stop."""
        watch = PageWatch(self, call)
        self.pages.setdefault(page, []).append(watch)
        for word in written:
            watch.written(word)

        def stop() -> None:
            watch.stop()
            watches = self.pages.get(page, [])
            if watch in watches:
                watches.remove(watch)
            if not watches:
                self.pages.pop(page, None)

        return stop

    def written(self, places: Iterable[int]) -> None:
        """Words are written for the first time since their page was zeroed."""
        for word in places:
            for watch in self.pages.get(word >> PAGE_LG2, ()):
                watch.written(word)


class PageWatch:
    """One who watches a page."""

    def __init__(self, watchers: Watchers, call: Callable[[int], None]) -> None:
        self._watchers = watchers
        self._call = call
        self._stops: dict[int, Callable[[], None]] = {}

    def written(self, word: int) -> None:
        """A word of it may change from now on."""
        if word not in self._stops:
            self._stops[word] = self._watchers.watch(word, partial(self._call, word))

    def stop(self) -> None:
        """Watch no longer."""
        for stop in self._stops.values():
            stop()
        self._stops.clear()
