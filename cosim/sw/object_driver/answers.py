"""What functions of a driver in C answer: integers, pointers, and errors in the place of either."""

from __future__ import annotations

import errno

from cosim.spec.page import PAGE
from cosim.sw.kernel.errors import KernelError

LARGEST_ERRNO = PAGE - 1
"""Pointers into the last page of all addresses are errors (MAX_ERRNO)."""


def signed(value: int, bits: int = 32) -> int:
    """What a register holds as an int, or as an integer of so many bits."""
    value &= (1 << bits) - 1
    return value - (value >> bits - 1 << bits)


def is_error(pointer: int) -> bool:
    """IS_ERR."""
    return pointer >= (1 << 64) - LARGEST_ERRNO


def error_of(code: int, what: str = "") -> KernelError:
    """A failure of the driver's; an errno that is none of errno.h's is told as EIO."""
    if -code in errno.errorcode:
        return KernelError(-code, what)
    return KernelError(errno.EIO, f"{what or 'error'} ({code})")
