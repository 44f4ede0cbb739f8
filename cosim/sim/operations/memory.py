"""What a thread does to memory: loads, stores, atomics, and the fences that order them, and the wait for a change."""

from __future__ import annotations

from enum import Enum, auto

from cosim.sim.footprints import Footprint
from cosim.sim.loaded import Loaded, Value
from cosim.sim.operations.op import Op


class Load(Op[int]):
    """Load `size` bytes (4 or 8) at `address`; a `Loaded` address orders it (address dependency), so does `after`.

    What comes back is itself a `Loaded`, unless it orders nothing: all that follows is as new anyway.
    """

    __slots__ = ("acquire", "address", "after", "size")
    address: Value
    after: Value

    def __init__(
        self, address: int, size: int = 8, *, after: int = 0, acquire: bool = False, part: str = "cpu"
    ) -> None:
        self.address = address
        self.size = size
        self.after = after
        self.acquire = acquire
        self.part = part


class Store(Op[None]):
    """Store `size` bytes at `address`; `Loaded` operands and `after` (a control dependency) order it."""

    __slots__ = ("address", "after", "release", "size", "value")
    address: Value
    value: Value

    def __init__(
        self,
        address: int,
        value: int,
        size: int = 8,
        *,
        after: int = 0,
        release: bool = False,
        part: str = "cpu",
    ) -> None:
        self.address = address
        self.value = value
        self.size = size
        self.after = after
        self.release = release
        self.part = part


class StoreBlock(Op[None]):
    """Store `words`, of 8 bytes each, from `address` on, as one entry of the store buffer (zeroing a page)."""

    __slots__ = ("address", "words")
    address: Value

    def __init__(self, address: int, words: tuple[int, ...], *, part: str = "cpu") -> None:
        self.address = address
        self.words = words
        self.part = part

    @property
    def size(self) -> int:  # type: ignore[override]
        """8 for each word."""
        return 8 * len(self.words)


class Amo(Enum):
    """The read-modify-write operations of the A extension, and compare-and-swap (Zacas)."""

    SWAP = auto()
    ADD = auto()
    AND = auto()
    OR = auto()
    XOR = auto()
    MIN = auto()
    MAX = auto()
    CAS = auto()


class Atomic(Op[Loaded]):
    """An indivisible read-modify-write; returns the old value.

    `Amo.CAS` stores only if that equals `expect`. One that does not store is a load (LR without its SC): it keeps
    `acquire`, and `release` means nothing.
    """

    __slots__ = ("_touches", "acquire", "address", "after", "expect", "kind", "release", "size", "value")
    address: Value
    after: Value

    def __init__(
        self,
        kind: Amo,
        address: int,
        value: int,
        size: int = 8,
        *,
        expect: int = 0,
        after: int = 0,
        acquire: bool = False,
        release: bool = False,
        part: str = "cpu",
    ) -> None:
        self.kind = kind
        self.address = address
        self.value = value
        self.size = size
        self.expect = expect
        self.after = after
        self.acquire = acquire
        self.release = release
        self.part = part

    @property
    def touches(self) -> Footprint:
        """What changes together with the word, as an action: the page that goes back to a free list, for one."""
        touches: Footprint = getattr(self, "_touches", ())
        return touches

    @touches.setter
    def touches(self, touches: Footprint) -> None:
        self._touches: Footprint = touches

    def first_load(self) -> Load:
        """The load with which a compare-and-swap begins."""
        return Load(self.address, self.size, after=self.after, acquire=self.acquire, part=self.part)

    def fails_with(self, found: int) -> bool:
        """Whether a compare-and-swap that has found this value stores nothing."""
        return found != int(self.expect) & (1 << 8 * self.size) - 1


class Fence(Op[None]):
    """FENCE pred,succ over the sets i, o, r, w; ``Fence("rw", "rw", tso=True)`` is fence.tso."""

    __slots__ = ("predecessor", "successor", "tso")

    def __init__(self, predecessor: str, successor: str, *, tso: bool = False, part: str = "fence_instr") -> None:
        self.predecessor = predecessor
        self.successor = successor
        self.tso = tso
        self.part = part


class Membarrier(Op[None]):
    """A full barrier on every CPU, as a completed grace period implies."""

    __slots__ = ()
    part = "cpu"


class Park(Op[bool]):
    """Wait until the word at `address` differs from `seen` in the bits of `mask`; False if the time-out comes first.

    It stands for a polling loop: the wait ends at the first poll instant, a multiple of `poll_ps` from its start,
    that is not before the change. With `spin` the thread keeps its CPU (and interrupts, if enabled, are served);
    without, the CPU runs other threads meanwhile.
    """

    __slots__ = ("address", "mask", "poll_ps", "seen", "size", "spin", "timeout_ps")
    address: Value

    def __init__(
        self,
        address: int,
        seen: int,
        size: int = 8,
        *,
        mask: int = -1,
        timeout_ps: int | None = None,
        poll_ps: int = 1,
        spin: bool = True,
        part: str = "lock",
    ) -> None:
        self.address = address
        self.seen = seen
        self.size = size
        self.mask = mask
        self.timeout_ps = timeout_ps
        self.poll_ps = poll_ps
        self.spin = spin
        self.part = part
