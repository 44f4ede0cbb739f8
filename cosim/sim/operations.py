"""What a thread may ask of the CPU it runs on: each operation is awaited, typed, and a point where others may act."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator, Mapping
from enum import Enum, auto
from typing import Any, Generic, NamedTuple, TypeVar

from cosim.sim.loaded import Loaded

T = TypeVar("T")

Body = Coroutine[Any, Any, Any]
"""What a thread runs: a coroutine that awaits operations."""


class Op(Generic[T]):
    """What a thread asks of its CPU; ``await op`` gives its result. `part` is the latency part its time counts for."""

    __slots__ = ("part",)
    part: str

    def __await__(self) -> Generator[Op[Any], T, T]:
        return (yield self)


class Load(Op[Loaded]):
    """Load `size` bytes (4 or 8) at `address`; a `Loaded` address orders it (address dependency), so does `after`."""

    __slots__ = ("acquire", "address", "after", "size")

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

    def __init__(self, address: int, words: tuple[int, ...], *, part: str = "cpu") -> None:
        self.address = address
        self.words = words
        self.part = part


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

    __slots__ = ("acquire", "address", "after", "expect", "kind", "release", "size", "value")

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


class MmioRead(Op[int]):
    """Read a device register over the bus; the CPU waits for the answer. Relaxed: no fence is implied."""

    __slots__ = ("address", "size")

    def __init__(self, address: int, size: int = 4, *, part: str = "mmio") -> None:
        self.address = address
        self.size = size
        self.part = part


class MmioWrite(Op[None]):
    """Write a device register over the bus; posted. Relaxed: no fence is implied."""

    __slots__ = ("address", "after", "size", "value")

    def __init__(self, address: int, value: int, size: int = 4, *, after: int = 0, part: str = "mmio") -> None:
        self.address = address
        self.value = value
        self.size = size
        self.after = after
        self.part = part


class Park(Op[bool]):
    """Wait until the word at `address` differs from `seen` in the bits of `mask`; False if the time-out comes first.

    It stands for a polling loop: the wait ends at the first poll instant, a multiple of `poll_ps` from its start,
    that is not before the change. With `spin` the thread keeps its CPU (and interrupts, if enabled, are served);
    without, the CPU runs other threads meanwhile.
    """

    __slots__ = ("address", "mask", "poll_ps", "seen", "size", "spin", "timeout_ps")

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


class Work(Op[None]):
    """Compute for `duration_ps` of CPU time."""

    __slots__ = ("duration_ps",)

    def __init__(self, duration_ps: int, *, part: str = "cpu") -> None:
        self.duration_ps = duration_ps
        self.part = part


class Sleep(Op[None]):
    """Leave the CPU to others for at least `duration_ps`; 0 is a yield."""

    __slots__ = ("duration_ps",)

    def __init__(self, duration_ps: int, *, part: str = "sleep") -> None:
        self.duration_ps = duration_ps
        self.part = part


class IrqDisable(Op[None]):
    """Mask this CPU's interrupts (and preemption); nests with `IrqEnable`."""

    __slots__ = ()
    part = "cpu"


class IrqEnable(Op[None]):
    """Undo one `IrqDisable`; pending interrupts are then taken."""

    __slots__ = ()
    part = "cpu"


class PreemptDisable(Op[None]):
    """Keep this thread on its CPU; interrupts are still served. Nests with `PreemptEnable`."""

    __slots__ = ()
    part = "cpu"


class PreemptEnable(Op[None]):
    """Undo one `PreemptDisable`."""

    __slots__ = ()
    part = "cpu"


class Membarrier(Op[None]):
    """A full barrier on every CPU, as a completed grace period implies."""

    __slots__ = ()
    part = "cpu"


class Spawn(Op["ThreadView"]):
    """Start another thread on the CPU called `cpu` (this one if empty), behind all earlier stores of this thread.

    A thread of higher `priority` takes the CPU from one of lower as soon as it may be preempted.
    """

    __slots__ = ("body", "cpu", "name", "priority")
    part = "cpu"

    def __init__(self, name: str, body: Body, cpu: str = "", *, priority: int = 0) -> None:
        self.name = name
        self.body = body
        self.cpu = cpu
        self.priority = priority


class OnInterrupt(Op[None]):
    """Have interrupt `vector` run ``handler()`` on this CPU with interrupts masked; None disconnects it."""

    __slots__ = ("handler", "vector")
    part = "cpu"

    def __init__(self, vector: int, handler: Callable[[], Body] | None) -> None:
        self.vector = vector
        self.handler = handler


class MaskInterrupt(Op[None]):
    """Mask or unmask one interrupt at its controller; a level that is high when it is unmasked is delivered then."""

    __slots__ = ("masked", "vector")
    part = "cpu"

    def __init__(self, vector: int, masked: bool) -> None:
        self.vector = vector
        self.masked = masked


class Instant(NamedTuple):
    """A thread's clock: the time, and how long it has spent in each latency part since it began."""

    time: int
    parts: Mapping[str, int]

    def since(self, earlier: Instant) -> dict[str, int]:
        """What was spent in each part from `earlier` to now; the values add up to the time between, exactly."""
        spent = {part: ps - earlier.parts.get(part, 0) for part, ps in self.parts.items()}
        return {part: ps for part, ps in spent.items() if ps}


class Now(Op[Instant]):
    """Read the thread's clock; takes no time."""

    __slots__ = ()
    part = "cpu"


class ThreadView(NamedTuple):
    """A thread as others may know it: its name, such as ``cpu0.map``, and the CPU it runs on."""

    name: str
    cpu: str


class Self(Op[ThreadView]):
    """Which thread and CPU this is; takes no time."""

    __slots__ = ()
    part = "cpu"


class Oops(Exception):
    """The kernel would have died here: the thread ends, and whatever it holds stays held."""
