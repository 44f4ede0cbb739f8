"""What a hart has issued and what has not taken hold yet."""

from __future__ import annotations

from collections.abc import Hashable
from typing import NamedTuple

STORE, OUTPUT = "w", "o"


class Pending(NamedTuple):
    """A store, or a posted register write, that has been issued and has not taken hold.

    `after_stores` and `after_outputs` are numbers: what is pending of that kind up to there goes first.
    """

    number: int
    kind: str
    address: int
    size: int
    words: tuple[int, ...]
    address_at: int
    data_at: int
    after_stores: int
    after_outputs: int
    device: Hashable

    @property
    def end(self) -> int:
        """The first byte address after it."""
        return self.address + self.size

    def value(self, address: int, size: int) -> int:
        """The `size` bytes at `address`, all of which it holds."""
        offset = address - self.address
        word = self.words[offset >> 3]
        if offset & 7 or size != 8:
            word = word >> 8 * (offset & 7) & (1 << 8 * size) - 1
        return word
