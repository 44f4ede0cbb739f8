"""The size of a cache block ("Cache-block management"): 64 bytes, as the extension Zic64b has it."""

from typing import Final

LINE_LG2: Final = 6
LINE: Final = 1 << LINE_LG2
"""In bytes."""


def lines_of(address: int, size: int) -> range:
    """The numbers of the cache lines that `size` bytes from `address` touch; virtual or physical."""
    return range(address >> LINE_LG2, (address + size - 1 >> LINE_LG2) + 1)
