"""Main memory: sparse 8-byte words behind port queues, with past states, poison of freed ranges, and watchers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import repeat
from typing import Any, Final, Literal

from cosim.events import Busy, FreedTouched, LoadSeen
from cosim.hw.memory.history import ANCIENT, WHOLE, History
from cosim.hw.memory.line_cache import LineCache
from cosim.hw.memory.options import MemoryOptions
from cosim.hw.memory.poison import Poison, hit
from cosim.hw.memory.watchers import Watchers
from cosim.sim.server import Server
from cosim.sim.simulation import Sim
from cosim.sim.transport import Access, AccessKind, Response, Target
from cosim.spec.line import LINE_LG2
from cosim.spec.page import PAGE, PAGE_LG2

DATA = "memory"
"""The latency part that a device's own access counts for."""

FaultKind = Literal["access_fault", "corrupt"]

# Looked up once: up to Python 3.11 each look at a member of an enumeration costs as much as a call.
_READ: Final = AccessKind.READ
_WRITE: Final = AccessKind.WRITE
_REFUSED: Final = Response.ACCESS_FAULT
_CORRUPT: Final = Response.CORRUPT


class Memory(Target):
    """The memory of one node. A word that was never written reads as 0; an access of several words is one change.

    Hardware comes here by `arrive` and `commit`, and pays latency, bandwidth and the queue of its port. A CPU's own
    loads and stores come by `read`, `states` and `write` when they take hold, at a cost that the CPU knows.
    Counters: `reads`, `writes`, `read_bytes`, `written_bytes` of hardware's accesses.
    """

    def __init__(self, sim: Sim, path: str, options: MemoryOptions) -> None:
        self.sim = sim
        self.path = path
        self.options = options
        self.base = options.base
        self.end = options.base + options.size
        self.reads = self.writes = self.read_bytes = self.written_bytes = 0
        self.ports = [Server(0, "memory") for _ in range(options.ports)]
        self.busy = sim.probe(Busy)
        self.freed_touched = sim.probe(FreedTouched)
        self.load_seen = sim.probe(LoadSeen)
        self._latency = dict.fromkeys(AccessKind, options.latency)
        if options.write_latency is not None:
            self._latency[_WRITE] = options.write_latency
        self._bandwidth = options.bandwidth
        self.cache = LineCache(options.cache_lines) if options.cache_lines else None
        self._words: dict[int, int] = {}
        self._written: dict[int, list[int]] = {}
        """The words of each page, by its number, that have been written since all of it was last zeroed."""
        self._history: History | None = None
        self._poison = Poison()
        self._faults: list[tuple[Response, int, int]] = []
        self._watching = Watchers()
        self._watchers = self._watching.words

    @property
    def busy_ps(self) -> int:
        """How long ports have been busy up to now, in sum."""
        return sum(port.busy_until(self.sim.now) for port in self.ports)

    @property
    def waited_ps(self) -> int:
        """How long accesses waited in front of ports, in sum."""
        return sum(port.waited_ps for port in self.ports)

    # --- Hardware's accesses ---------------------------------------------------------------------------------------

    def arrive(self, access: Access, now: int) -> int:
        """Queue for the port of this line; returns when the access takes hold.

        Lines choose ports; their upper bits are folded in, so that a stride finds all ports.
        """
        if self.cache is not None and self._cached(access):
            return now + self.options.cache_latency
        ports, latency, interval = self.ports, self._latency[access.kind], 0
        line = access.address >> LINE_LG2
        port = ports[(line ^ line >> 3 ^ line >> 6 ^ line >> 9) % len(ports)]
        if self._bandwidth is not None:
            interval = self._bandwidth.transfer_ps(access.size)
            latency = max(latency, interval)
        if not interval and port.free_at <= now:
            return now + latency  # nobody is in the way: the same without a call
        done = port.serve(now, interval, latency)
        access.waited_ps += done - latency - now
        if interval and self.busy:
            self.busy(Busy(now, f"{self.path}.port", interval, access.owner))
        return done

    def _cached(self, access: Access) -> bool:
        """Whether an IOMMU's read for itself finds its lines in the cache, which has them from now on."""
        if access.counts.name == DATA or access.kind is not _READ:
            return False
        return self.cache is not None and self.cache.read(access.address, access.size)

    def commit(self, access: Access) -> None:
        """Take hold: all words at once. A write without `words` is one whose data does not matter here."""
        address, size = access.address, access.size
        if self._faults and (response := self._faulty(access)):
            access.response = response
            if response is _REFUSED:
                return
        if self._poison.ranges:
            self.judge(access.owner, address, size, write=access.kind is not _READ, access=access)
        if access.kind is _READ:
            self.reads += 1
            self.read_bytes += size
            if size == 8 and not address & 7:
                access.words = (self._words.get(address, 0),)
            else:
                access.words = self._read_words(address, size)
        elif access.kind is _WRITE:
            self.writes += 1
            self.written_bytes += size
            self._write_words(address, size, access.words)
        else:
            self.reads += 1
            self.writes += 1
            self.read_bytes += size
            self.written_bytes += size
            expected, desired = access.words
            old = self.read(address, size)
            if old == expected:
                self.write(address, size, desired)
            access.words = (old,)

    def _faulty(self, access: Access) -> Response | None:
        end = access.address + access.size
        for response, first, last in self._faults:
            corrupts = response is _CORRUPT and access.kind is _WRITE
            if first < end and access.address < last and not corrupts:
                return response
        return None

    def _read_words(self, address: int, size: int) -> tuple[int, ...]:
        if size < 8:
            return (self.read(address, size),)
        if not address & 7 and not size & 7:
            first = address >> PAGE_LG2
            if first not in self._written and address + size - 1 >> PAGE_LG2 == first:
                return (0,) * (size >> 3)  # where nothing was ever written, as in many a buffer
            get = self._words.get
            return tuple(map(get, range(address, address + size, 8), repeat(0)))
        data = b"".join(self._words.get(word, 0).to_bytes(8, "little") for word in _words(address, size))
        data = data[address & 7 : (address & 7) + size]
        return tuple(int.from_bytes(data[i : i + 8], "little") for i in range(0, size, 8))

    def _write_words(self, address: int, size: int, words: Sequence[int]) -> None:
        if not words:
            return
        if len(words) != max(1, -(-size // 8)):
            raise ValueError(f"{self.path}: {len(words)} words given for a write of {size} bytes at {address:#x}")
        if address & 7 or size & 7:
            for index, value in enumerate(words):
                self._put(address + 8 * index, min(8, size - 8 * index), value)
        else:
            self._put_block(address, words)

    # --- CPU's accesses, and all changes ---------------------------------------------------------------------------

    def read(self, address: int, size: int) -> int:
        """The present value of up to 8 bytes."""
        shift = (address & 7) << 3
        word = self._words.get(address & -8, 0)
        if not shift:
            return word if size == 8 else word & (1 << 8 * size) - 1
        if shift + 8 * size <= 64:
            return word >> shift & (1 << 8 * size) - 1
        return (word | self._words.get((address & -8) + 8, 0) << 64) >> shift & (1 << 8 * size) - 1

    def write(self, address: int, size: int, value: int) -> None:
        """Change up to 8 bytes, at the present time; those who watch them are called."""
        if self.cache is not None:
            self.cache.use(address, size)
        self._put(address, size, value)

    def write_block(self, address: int, words: Sequence[int]) -> None:
        """Change consecutive whole words as one; those who watch any of them are called when all have changed.

        A word without a past that stays what it is gets none: nobody could tell the two states apart.
        """
        if self.cache is not None:
            self.cache.use(address, 8 * len(words))
        self._put_block(address, words)

    def _put(self, address: int, size: int, value: int) -> None:
        word, shift = address & -8, (address & 7) << 3
        if size == 8 and not shift:
            self._change(word, value, WHOLE)
            return
        bits = (1 << 8 * size) - 1 << shift
        value = value << shift & bits
        for at, mask, part in ((word, bits & WHOLE, value & WHOLE), (word + 8, bits >> 64, value >> 64)):
            if mask:
                self._change(at, self._words.get(at, 0) & ~mask | part, mask)

    def _put_block(self, address: int, words: Sequence[int]) -> None:
        size = 8 * len(words)
        if not (address | size) & PAGE - 1 and not any(words):
            pages = range(address >> PAGE_LG2, address + size >> PAGE_LG2)
            self._clear([word for page in pages for word in sorted(self._written.pop(page, ()))])
            return
        places = range(address, address + size, 8)
        before = tuple(map(self._words.get, places))
        if None in before:
            self._first_written([word for word, old in zip(places, before, strict=True) if old is None])
        self._words.update(zip(places, words, strict=True))
        self._changed(places, [old or 0 for old in before], words)

    def _clear(self, places: Sequence[int]) -> None:
        """Zero the words of whole pages that may be something else; one without a past is as if never written."""
        before = [self._words.pop(word) for word in places]
        if self._history is not None and places:
            past = self._history.words
            kept = [word for word, old in zip(places, before, strict=True) if old or word in past]
            self._words.update(dict.fromkeys(kept, 0))
            self._first_written(kept)
        self._changed(places, before, (0,) * len(places))

    def _first_written(self, places: Iterable[int]) -> None:
        for word in places:
            self._written.setdefault(word >> PAGE_LG2, []).append(word)
        if self._watching.pages:
            self._watching.written(places)

    def _changed(self, places: Sequence[int], before: Sequence[int], words: Sequence[int]) -> None:
        if self._history is not None:
            now, past = self.sim.now, self._history.words
            for word, old, value in zip(places, before, words, strict=True):
                if old != value or word in past:
                    self._history.changed(word, now, old, value, WHOLE)
        if not self._watchers.keys().isdisjoint(places):
            changes = zip(places, before, words, strict=True)
            watched = [word for word, old, value in changes if old != value and word in self._watchers]
            for word in watched:
                self._watching.notify(word)

    def _change(self, word: int, value: int, mask: int) -> None:
        old = self._words.get(word)
        if old is None:
            old = 0
            self._first_written((word,))
        self._words[word] = value
        if self._history is not None:
            self._history.changed(word, self.sim.now, old, value, mask)
        if old != value and word in self._watchers:
            self._watching.notify(word)

    # --- Past states -----------------------------------------------------------------------------------------------

    def remember(self, keep_ps: int) -> None:
        """Keep each word's past states for `keep_ps`, or longer if somebody else asks for more."""
        if keep_ps <= 0:
            return
        if self._history is None:
            self._history = History(keep_ps)
        self._history.keep_ps = self._poison.keep_ps = max(keep_ps, self._history.keep_ps)

    def states(self, address: int, size: int, after: int) -> Sequence[tuple[int, int]]:
        """The values of up to 8 bytes within one word that had not ended at time `after`: (beginning, value).

        Newest first; only the present one if no past is kept. The beginning is -1 for one that is old.
        """
        word, shift, history = address & -8, (address & 7) << 3, self._history
        bits = (1 << 8 * size) - 1
        if history is None or word not in history.words:
            return ((ANCIENT, self._words.get(word, 0) >> shift & bits),)
        return [
            (began, value >> shift & bits) for began, value in history.states(word, bits << shift, self.sim.now, after)
        ]

    @property
    def known_since(self) -> int:
        """Since when every state of each word is known."""
        return self.sim.now - (0 if self._history is None else self._history.keep_ps)

    # --- Freed ranges ----------------------------------------------------------------------------------------------

    def poison(self, address: int, size: int, by: str, what: str) -> None:
        """From now on touching these bytes is touching `what`, which `by` freed now."""
        self._poison.free(address, size, self.sim.now, by, what)

    def unpoison(self, address: int, size: int) -> None:
        """These bytes are in use again."""
        self._poison.use(address, size, self.sim.now)

    def judge(
        self,
        who: str,
        address: int,
        size: int,
        *,
        write: bool,
        first: int = -1,
        last: int = -1,
        access: Access | None = None,
    ) -> None:
        """Fire `FreedTouched` if an access by `who` hits freed bytes, now or all the time from `first` to `last`.

        `access` is hardware's; without one it is a thread's, and `LoadSeen` tells of its load where that is of note.
        """
        poison, page = self._poison, address >> PAGE_LG2
        if page not in poison.pages and address + size <= page + 1 << PAGE_LG2:
            return  # asked of every access, and almost always so
        now, near = self.sim.now, poison.near(address, size)
        if near and self.freed_touched and (freed := hit(near, now, first, last)):
            by = _purpose(access) if access else "thread"
            self.freed_touched(FreedTouched(now, who, address, write, freed.since, freed.by, freed.what, by))
        if page in poison.told and not write and access is None and self.load_seen:
            self.load_seen(LoadSeen(now, who, address))

    def tell_of_loads(self, address: int, size: int) -> None:
        """From now on `LoadSeen` tells of what threads load from the pages of this range."""
        self._poison.tell_of(address, size)

    # --- Injected errors -------------------------------------------------------------------------------------------

    def fault(self, kind: FaultKind, address: int, size: int) -> None:
        """Refuse hardware's accesses to a range, or answer its reads with corrupt data."""
        effect = _REFUSED if kind == "access_fault" else _CORRUPT
        self._faults.append((effect, address, address + size))

    def clear_faults(self) -> None:
        """Undo all of `fault`."""
        self._faults.clear()

    # --- Observation -----------------------------------------------------------------------------------------------

    def watch(self, address: int, call: Callable[[], None]) -> Callable[[], None]:
        """Call `call`, at once and untimed, whenever the word that holds `address` changes; returns how to stop."""
        return self._watching.watch(address & -8, call)

    def watch_page(self, address: int, call: Callable[[int], None]) -> Callable[[], None]:
        """The same for whichever word of the page at `address` changes; `call` is told where it is."""
        page = address >> PAGE_LG2
        return self._watching.watch_page(page, tuple(self._written.get(page, ())), call)

    def peek(self, address: int, size: int) -> int:
        """The present value of `size` bytes, untimed."""
        value = 0
        for index, word in enumerate(self._read_words(address, size)):
            value |= word << 64 * index
        return value

    def nonzero(self, address: int, size: int) -> list[int]:
        """The words among `size` bytes that are not 0, untimed, in any order; both numbers are multiples of 8."""
        get = self._words.get
        if (address | size) & PAGE - 1:
            return [word for word in map(get, range(address, address + size, 8)) if word]
        pages = range(address >> PAGE_LG2, address + size >> PAGE_LG2)
        return [word for page in pages for place in self._written.get(page, ()) if (word := get(place))]

    def entries(self, address: int, size: int) -> list[tuple[int, int]]:
        """Place and value of each word among `size` bytes that is not 0, untimed, by place; multiples of 8."""
        get = self._words.get
        if (address | size) & PAGE - 1:
            return [(place, word) for place in range(address, address + size, 8) if (word := get(place))]
        pages = range(address >> PAGE_LG2, address + size >> PAGE_LG2)
        return sorted((place, word) for page in pages for place in self._written.get(page, ()) if (word := get(place)))

    def poke(self, address: int, size: int, value: int) -> None:
        """Change `size` bytes, untimed, as if they had always been so; watchers are called."""
        for offset in range(0, size, 8):
            part = min(8, size - offset)
            self.write(address + offset, part, value >> 8 * offset & (1 << 8 * part) - 1)
        if self._history is not None:
            for word in _words(address, size):
                self._history.forget(word)

    def snapshot(self) -> Any:
        """The words and their past states, as a value that `restore` takes and that can be compared."""
        past = () if self._history is None else self._history.snapshot()
        return tuple(sorted(self._words.items())), past

    def restore(self, snapshot: Any) -> None:
        """Go back to what `snapshot` returned; watchers are not called."""
        words, past = snapshot
        self._words, self._written = dict(words), {}
        self._first_written(self._words)
        if self._history is not None:
            self._history.restore(past)


def _purpose(access: Access) -> str:
    """What hardware wants of memory: the latency part of a walk, and of others the last word of their action's name."""
    return access.agent.rpartition(".")[2] if access.counts.name == DATA else access.counts.name


def _words(address: int, size: int) -> range:
    return range(address & -8, address + size, 8)
