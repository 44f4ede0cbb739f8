"""The descriptor ring of cosim's own DMA device, which is no device of the specification: its registers and entries.

```
driver                                        device
------                                        ------
write Descriptor[i] (buffer, size, write)
fence w,o
write tail = i + 1                ------->    read Descriptor[i] by DMA, once a packet (or the pace) asks for it
                                              write (or read) `size` bytes at `buffer`
see Descriptor[i].done            <-------    write the second doubleword of Descriptor[i]: done, and fault if any
reuse i                                       set `status.ip` and raise the wire, where Descriptor[i].interrupt says
```

Indices count entries and wrap at the size of the ring; head == tail is an empty ring, so that one entry stays unused.
All addresses are IOVAs: the device reaches ring and buffers by DMA, through its IOMMU if it has one.
"""

from __future__ import annotations

from cosim.spec.bits import FieldAccess, Record, Word, bit, bits
from cosim.spec.register_map import Register, RegisterMap

RO, RW, RW1C = FieldAccess.RO, FieldAccess.RW, FieldAccess.RW1C


class RingBase(Word):
    """Where the ring is. Written while `control.en` is 0; ignored while it is 1."""

    size_lg2 = bits(4, 0, RW)
    """log2 of the number of entries, 1 to 16."""
    page = bits(63, 12, RW)
    """The IOVA of the first entry, in pages of 4 KiB."""


class RingIndex(Word, width=32):
    """An index that software writes."""

    index = bits(15, 0, RW)


class RingHead(Word, width=32):
    """An index that the device moves."""

    index = bits(15, 0, RO)


class RingControl(Word, width=32):
    """Whether the device fetches descriptors; setting `en` puts head and tail to 0."""

    en = bit(0, RW)
    ie = bit(1, RW)
    """Whether `status.ip` raises the wire."""
    abandon = bit(2, RW)
    """Reads as 0. Written as 1 it disables the ring, and descriptors in work end as faults, with no further request;
    those that were made, and wait in the device for a slot, still go out."""


class RingStatus(Word, width=32):
    """What has happened."""

    on = bit(0, RO)
    """The device works on the ring; after `control.en` is cleared it stays 1 until the last descriptor is done."""
    ip = bit(1, RW1C)
    """A descriptor that asked for an interrupt is done; the wire stays high until this is cleared."""
    fault = bit(2, RW1C)
    """A descriptor could not be read or its status not written: the device stops fetching until this is cleared."""


class Descriptor(Record, dwords=2):
    """One entry of the ring. The device writes back the second doubleword only."""

    buffer = bits(63, 0)
    """The IOVA of the buffer."""
    size = bits(79, 64)
    """Bytes to read, or room to write; when done, bytes moved."""
    write = bit(96)
    """1: the device writes the buffer (receive); 0: it reads it (transmit)."""
    interrupt = bit(97)
    """Whether an interrupt is wanted when done."""
    fault = bit(126)
    """Set by the device: some of the buffer could not be reached."""
    done = bit(127)
    """Set by the device, after all data has taken hold; posted as 0."""


BASE = Register("ring_base", 0, RingBase)
HEAD = Register("ring_head", 8, RingHead)
"""The entry that the device reads next."""
TAIL = Register("ring_tail", 12, RingIndex)
"""The entry after the last one that is posted: writing it is the doorbell."""
CONTROL = Register("control", 16, RingControl, cleared=RingControl.MASK)
STATUS = Register("status", 20, RingStatus, cleared=RingStatus.MASK)

REGISTERS = RegisterMap(BASE, HEAD, TAIL, CONTROL, STATUS)
