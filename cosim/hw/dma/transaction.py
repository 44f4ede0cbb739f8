"""A DMA transaction: what a device asks of the IO bridge, and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Final

from cosim.sim.spent import OF_REQUESTS, Parts


class Request(IntEnum):
    """How the device addresses memory."""

    UNTRANSLATED = 0
    TRANSLATED = 1
    ATS = 2


class Status(IntEnum):
    """How a transaction ended, as the device sees it."""

    SUCCESS = 0
    UR = 1
    """Unsupported Request: the IOMMU stopped it with a fault."""
    CA = 2
    """Completer Abort (PCIe ATS only)."""
    ACCESS_FAULT = 3
    """Translated, and then refused by the memory system."""
    CORRUPT = 4
    """Translated and read, but the data is poisoned."""


# Looked up once: up to Python 3.11 each look at a member of an enumeration costs as much as a call.
_SUCCESS: Final = Status.SUCCESS
_PARTS: Final = OF_REQUESTS


class Transaction:
    """One request of a device with id `device_id`, from its issue to its response.

    `spent` collects its latency, in picoseconds for each part by its number; `parts` is the same by name. `address` is
    set once it is translated, `status` when it is over; `translated` is the time when the translation was decided.
    `words` is the data to write, or that was read: doublewords from `iova` on, the last one perhaps in part. `agent`
    names the access of memory as an action.
    `cause` is the fault (`spec.faults.Cause`) with which an IOMMU refused it, 0 if none did.
    `accepted` is called, if there is one, when the way to memory has taken the transaction over from the device.
    """

    __slots__ = (
        "accepted",
        "address",
        "agent",
        "cause",
        "device_id",
        "execute",
        "iova",
        "issued",
        "master",
        "pbmt",
        "privileged",
        "process_id",
        "request",
        "sequence",
        "size",
        "spent",
        "status",
        "translated",
        "words",
        "write",
    )

    def __init__(
        self,
        device_id: int,
        iova: int,
        size: int,
        *,
        write: bool = False,
        words: Sequence[int] = (),
        execute: bool = False,
        process_id: int | None = None,
        privileged: bool = False,
        request: Request = Request.UNTRANSLATED,
        master: str = "",
        agent: str = "",
        sequence: int = 0,
        issued: int = 0,
    ) -> None:
        self.device_id = device_id
        self.iova = iova
        self.size = size
        self.write = write
        self.words = words
        self.execute = execute
        self.process_id = process_id
        self.privileged = privileged
        self.request = request
        self.master = master
        self.agent = agent
        self.sequence = sequence
        self.issued = issued
        self.accepted: Callable[[], None] | None = None
        self.address: int | None = None
        self.translated = 0
        self.pbmt = 0
        self.status = _SUCCESS
        self.cause = 0
        self.spent = [0] * _PARTS

    @property
    def parts(self) -> Parts:
        """Its latency by the names of parts."""
        return Parts(self.spent)
