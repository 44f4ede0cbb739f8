"""The memories of a system as one, as the page allocator sees them."""

from __future__ import annotations

from collections.abc import Callable

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

    def _at(self, address: int) -> Memory:
        memory = self._bus.target(address)
        assert isinstance(memory, Memory), f"{address:#x} is not memory"
        return memory
