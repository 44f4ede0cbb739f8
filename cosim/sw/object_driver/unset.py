"""Bytes that nobody has set yet: a driver that reads them depends on what happens to be there."""

from __future__ import annotations

from cosim.spec.page import PAGE_LG2


class Unset:
    """Ranges of memory that were given out and not written. Nothing of it takes time."""

    def __init__(self) -> None:
        self.pages: dict[int, dict[int, tuple[str, int]]] = {}
        """By page, each such byte: what it belongs to, and where that begins."""

    def mark(self, address: int, size: int, what: str) -> None:
        """From now on, reading any of these bytes is a mistake."""
        for byte in range(address, address + size):
            self.pages.setdefault(byte >> PAGE_LG2, {})[byte] = (what, address)

    def set(self, address: int, size: int) -> None:
        """These bytes have a value."""
        for page in range(address >> PAGE_LG2, (address + size - 1 >> PAGE_LG2) + 1):
            held = self.pages.get(page)
            if held:
                for byte in range(address, address + size):
                    held.pop(byte, None)
                if not held:
                    del self.pages[page]

    def at(self, address: int, size: int) -> tuple[str, int] | None:
        """What unset bytes among these belong to, and the offset of the first in it."""
        held = self.pages.get(address >> PAGE_LG2, {})
        for byte in range(address, address + size):
            if byte in held:
                what, start = held[byte]
                return what, byte - start
        return None
