"""The size of a page: what page tables map at least, and in what every PPN counts ("Supervisor-Level ISA")."""

PAGE_LG2 = 12
PAGE = 1 << PAGE_LG2
"""4 KiB, in bytes."""
