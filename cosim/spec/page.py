"""The size of a page: what page tables map at least, and in what every PPN counts ("Supervisor-Level ISA")."""

from typing import Final

PAGE_LG2: Final = 12
PAGE: Final = 1 << PAGE_LG2
"""4 KiB, in bytes."""


def pages_of(address: int, size: int) -> range:
    """The numbers of the pages that `size` bytes from `address` touch; virtual or physical."""
    return range(address >> PAGE_LG2, (address + size - 1 >> PAGE_LG2) + 1)
