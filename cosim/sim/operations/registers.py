"""What a thread does to the registers of devices, over the bus."""

from __future__ import annotations

from cosim.sim.operations.op import Op


class MmioRead(Op[int]):
    """Read a device register over the bus; the CPU waits for the answer. Relaxed: no fence is implied."""

    __slots__ = ("address", "size")

    def __init__(self, address: int, size: int = 4, *, part: str = "mmio") -> None:
        self.address = address
        self.size = size
        self.part = part


class MmioWrite(Op[None]):
    """Write a device register over the bus; posted. Relaxed: no fence is implied."""

    __slots__ = ("address", "size", "value")

    def __init__(self, address: int, value: int, size: int = 4, *, part: str = "mmio") -> None:
        self.address = address
        self.value = value
        self.size = size
        self.part = part


class Poll(Op[int]):
    """Read a device register again and again until its bits in `mask` differ from `seen`, or for `timeout_ps`.

    Returns the last value read. It stands for a loop of `MmioRead`s with `pause_ps` between them: those that would
    have seen no change are skipped, and the last one is made in full, at the instant at which the loop would have
    made it.
    """

    __slots__ = ("address", "mask", "pause_ps", "seen", "size", "sleep", "timeout_ps")

    def __init__(
        self,
        address: int,
        seen: int,
        size: int = 4,
        *,
        mask: int = -1,
        timeout_ps: int,
        pause_ps: int = 0,
        sleep: bool = False,
        part: str = "mmio",
    ) -> None:
        self.address = address
        self.seen = seen
        self.size = size
        self.mask = mask
        self.timeout_ps = timeout_ps
        self.pause_ps = pause_ps
        self.sleep = sleep
        self.part = part


class PollEither(Op[tuple[int, int]]):
    """`Poll` two registers in turn: each round reads `first`, then `second`, and ends the wait if either differs.

    Returns the last value of each. The time-out, the pause after each round and `sleep` are those of `first`.
    """

    __slots__ = ("first", "second")

    def __init__(self, first: Poll, second: Poll) -> None:
        self.first = first
        self.second = second
        self.part = first.part

    @property
    def size(self) -> int:  # type: ignore[override]
        """Of both registers."""
        return self.first.size + self.second.size
