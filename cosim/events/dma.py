"""What DMA masters tell: a request on its way, taking hold, and over.

The records of which each request has one are made by a method that is written out, since those are compiled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(slots=True)
class DmaIssued:
    """A master has put a request on its way."""

    time: int
    who: str
    device_id: int
    sequence: int
    iova: int
    size: int
    write: bool


@dataclass(slots=True)
class DmaSpent:
    """A request spends `ps` from `began` on in latency part `part`.

    Those of a request follow one another from its issue on, and add up to its latency. It is told when that is known:
    of a hop when it begins, of a wait when it is over.
    """

    time: int
    who: str
    sequence: int
    part: str
    began: int
    ps: int


@dataclass(init=False)
class DmaCommitted:
    """A request's memory access took hold at `address`; `translated` is when its translation was decided.

    `through` is the IOMMU that it came through; a device that goes through none names itself. `issued` is when the
    device has issued it, by default no earlier than its translation.
    """

    time: int
    who: str
    device_id: int
    sequence: int
    iova: int
    address: int
    size: int
    write: bool
    translated: int
    through: str
    issued: int

    def __init__(
        self,
        time: int,
        who: str,
        device_id: int,
        sequence: int,
        iova: int,
        address: int,
        size: int,
        write: bool,
        translated: int,
        through: str = "",
        issued: int = -1,
    ) -> None:
        self.time = time
        self.who = who
        self.device_id = device_id
        self.sequence = sequence
        self.iova = iova
        self.address = address
        self.size = size
        self.write = write
        self.translated = translated
        self.through = through
        self.issued = issued if issued >= 0 else translated


@dataclass(init=False)
class DmaDone:
    """A request is over; its `parts` add up to ``time - issued``. `status` is a name of `hw.dma.transaction.Status`.

    `cause` is the fault (`spec.faults.Cause`) with which an IOMMU refused it, 0 if none did: a request that failed all
    the same failed on the bus. `purpose` is ``data``, or what a ring needs besides: ``fetch`` of a descriptor,
    ``status`` written back to it.
    """

    time: int
    who: str
    device_id: int
    sequence: int
    iova: int
    size: int
    write: bool
    issued: int
    status: str
    parts: Mapping[str, int]
    purpose: str
    cause: int

    def __init__(
        self,
        time: int,
        who: str,
        device_id: int,
        sequence: int,
        iova: int,
        size: int,
        write: bool,
        issued: int,
        status: str,
        parts: Mapping[str, int],
        purpose: str = "data",
        cause: int = 0,
    ) -> None:
        self.time = time
        self.who = who
        self.device_id = device_id
        self.sequence = sequence
        self.iova = iova
        self.size = size
        self.write = write
        self.issued = issued
        self.status = status
        self.parts = parts
        self.purpose = purpose
        self.cause = cause
