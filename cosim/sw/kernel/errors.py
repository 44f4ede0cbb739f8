"""How a kernel routine fails: `KernelError` carries an errno, where C code returns it negated."""

from __future__ import annotations

import errno


class KernelError(Exception):
    """A routine has failed in the ordinary way; the caller may go on.

    ``raise KernelError(errno.ENOMEM, "no page of order 0")``. Locks taken with ``async with`` are released, as by the
    ``goto unlock`` of C code. What the kernel would not survive is `Oops` (cosim.sim.operations) instead.
    """

    def __init__(self, code: int, text: str = "") -> None:
        super().__init__(f"-{errno.errorcode[code]}: {text}" if text else f"-{errno.errorcode[code]}")
        self.code = code
        self.text = text

    @property
    def name(self) -> str:
        """Its name in errno.h, such as ``ENOMEM``."""
        return errno.errorcode[self.code]

    def __reduce__(self) -> tuple[type[KernelError], tuple[int, str]]:
        return (KernelError, (self.code, self.text))
