"""How an IOMMU itself reaches memory: for tables, queues and messages ("Endianness of in-memory data structures")."""

from __future__ import annotations

from collections.abc import Sequence

from cosim.hw.iommu.byte_order import both_orders
from cosim.sim.transport import Access, AccessKind, CountsFor, Port


class MemoryPort:
    """The way of one part of an IOMMU to memory: it makes the accesses that this part then yields.

    `owner` is the part's path. Hops count for `hop_part` and waiting for `wait_part`; where these are empty, all of an
    access counts for the access's own latency part. Structures that are in a memory of their own are reached over
    another `port`.
    """

    def __init__(self, port: Port, owner: str, *, hop_part: str = "link", wait_part: str = "queue") -> None:
        self.owner = owner
        self._hop_part = hop_part
        self._wait_part = wait_part
        self._counts: dict[str, CountsFor] = {}
        """By the part that accesses themselves count for."""
        self._orders = both_orders(port)

    def access(
        self,
        kind: AccessKind,
        address: int,
        size: int,
        part: str,
        words: Sequence[int] = (),
        *,
        big_endian: int,
        agent: str = "",
    ) -> Access:
        """An access of `size` bytes whose time counts for `part`; `big_endian` is ``fctl.be`` or ``tc.sbe``.

        `agent` is the access's name as an action; without one that of the port.
        """
        counts = self._counts.get(part)
        if counts is None:
            counts = CountsFor(part, hop_part=self._hop_part, wait_part=self._wait_part)
            self._counts[part] = counts
        return Access(
            self._orders[big_endian],
            kind,
            address,
            size,
            counts,
            words,
            agent=agent,
            owner=self.owner,
        )
