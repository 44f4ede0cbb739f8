"""The memories of a system as one, as the page allocator sees them, and oracles."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cosim.hw.bus.bus import Bus
from cosim.hw.memory.memory import Memory


class AllMemory:
    """Poison, watchers and values of whatever memory an address is in."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    def poison(self, address: int, size: int, by: str, what: str) -> None:
        """From now on a touch of these bytes is a touch of `what`, freed now by `by`."""
        self._at(address).poison(address, size, by, what)

    def unpoison(self, address: int, size: int) -> None:
        """These bytes are in use again."""
        self._at(address).unpoison(address, size)

    def peek(self, address: int, size: int) -> int:
        """What is there."""
        return self._bus.peek(address, size)

    def nonzero(self, address: int, size: int) -> list[int]:
        """The words there that are not 0."""
        return self._at(address).nonzero(address, size)

    def entries(self, address: int, size: int) -> list[tuple[int, int]]:
        """Place and value of each word there that is not 0, by place; none where there is no memory."""
        memory = self._bus.target(address, size)
        return memory.entries(address, size) if isinstance(memory, Memory) else []

    def watch(self, address: int, call: Callable[[], None]) -> Callable[[], None]:
        """Call `call` whenever the word at `address` changes; returns how to stop."""
        return self._at(address).watch(address, call)

    def watch_page(self, address: int, call: Callable[[int], None]) -> Callable[[], None]:
        """Call `call` with the place of whichever word of the page at `address` changes; returns how to stop."""
        return self._at(address).watch_page(address, call)

    def past(self, address: int, since: int) -> tuple[Sequence[int], bool]:
        """What the word at `address` has been since then, the newest first, and whether that is all that it has been.

        Where there is no memory it has been nothing, and nobody knows.
        """
        memory = self._bus.target(address, 8)
        if not isinstance(memory, Memory):
            return (), False
        return [value for _, value in memory.states(address, 8, since)], memory.known_since <= since

    def tell_of_loads(self, address: int, size: int) -> bool:
        """From now on `LoadSeen` tells of what threads load from these pages; false where they are not memory."""
        memory = self._bus.target(address, size)
        if not isinstance(memory, Memory):
            return False
        memory.tell_of_loads(address, size)
        return True

    def _at(self, address: int) -> Memory:
        memory = self._bus.target(address)
        assert isinstance(memory, Memory), f"{address:#x} is not memory"
        return memory
