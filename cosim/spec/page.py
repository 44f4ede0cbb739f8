"""The size of a page: what page tables map at least, and in what every PPN counts ("Supervisor-Level ISA")."""

PAGE_LG2 = 12
PAGE = 1 << PAGE_LG2
"""4 KiB, in bytes."""


def pages_of(address: int, size: int) -> range:
    """The numbers of the pages that `size` bytes from `address` touch; virtual or physical."""
    return range(address >> PAGE_LG2, (address + size - 1 >> PAGE_LG2) + 1)
