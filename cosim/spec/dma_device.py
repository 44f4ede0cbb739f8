"""The registers of cosim's own DMA device, which is no device of the specification: it uses a window of memory.

```
driver                                        device
------                                        ------
write window, size, not_before
fence w,o
write control = run               ------->    make requests in the window, from `not_before` on, in its own pattern
write control = 0                 ------->    make no further request; those under way end as they will
```

Writing `control` with `run` set is the doorbell, whether the device runs already or not: it goes on in the window that
the other registers hold at that time. The window is an IOVA: the device reaches it through its IOMMU if it has one.
"""

from __future__ import annotations

from cosim.spec.bits import FieldAccess, Word, bit, bits
from cosim.spec.register_map import Register, RegisterMap

RO, RW, RW1C = FieldAccess.RO, FieldAccess.RW, FieldAccess.RW1C


class Window(Word):
    """Where the window begins."""

    iova = bits(63, 0, RW)


class WindowSize(Word):
    """How large the window is."""

    bytes = bits(63, 0, RW)


class NotBefore(Word):
    """When the first request is made at the earliest, in picoseconds since reset, as a network card's launch time."""

    ps = bits(63, 0, RW)


class DmaControl(Word, width=32):
    """What software wants."""

    run = bit(0, RW)


class DmaStatus(Word, width=32):
    """What has happened."""

    on = bit(0, RO)
    """The device has requests to make, or waits for their time."""
    fault = bit(1, RW1C)
    """The window was too small for a request, and the device did not start."""


WINDOW = Register("window", 0, Window)
SIZE = Register("window_size", 8, WindowSize)
NOT_BEFORE = Register("not_before", 16, NotBefore)
CONTROL = Register("control", 24, DmaControl, cleared=DmaControl.MASK)
STATUS = Register("status", 28, DmaStatus, cleared=DmaStatus.MASK)

REGISTERS = RegisterMap(WINDOW, SIZE, NOT_BEFORE, CONTROL, STATUS)
