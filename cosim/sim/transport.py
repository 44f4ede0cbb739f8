"""The one verb between initiator and target: an `Access` that a routine yields, over the `Port` that it leaves by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import IntEnum
from functools import cache
from typing import Final

from mypy_extensions import mypyc_attr

from cosim.sim.demand import Demand
from cosim.sim.footprints import Footprint
from cosim.sim.spent import part_number


class AccessKind(IntEnum):
    """What an access does to its target."""

    READ = 0
    WRITE = 1
    CAS = 2
    """Compare and swap of one word: ``words`` is (expected, desired); the old value comes back in ``words[0]``."""


class Response(IntEnum):
    """How an access ended."""

    OK = 0
    ACCESS_FAULT = 1
    """The target refuses the address (a PMA or PMP check, or nothing answers there)."""
    CORRUPT = 2
    """The data that was read is poisoned."""


class CountsFor:
    """The latency parts that an access counts for, by number: hops for `hop`, queueing for `wait`, the rest for `part`.

    Where the first two are not given, they are `part` as well; its name is `name`.
    """

    __slots__ = ("hop", "name", "part", "wait")

    def __init__(self, part: str, *, hop_part: str = "", wait_part: str = "") -> None:
        self.name = part
        self.part = part_number(part)
        self.hop = part_number(hop_part or part)
        self.wait = part_number(wait_part or part)


@cache
def counts_for(part: str) -> CountsFor:
    """What counts for one part alone: made once, since it is the same for all such accesses."""
    return CountsFor(part)


# Looked up once: up to Python 3.11 each look at a member of an enumeration costs as much as a call.
_OK: Final = Response.OK


class Access(Demand):
    """One access of a hardware routine: ``yield access``, and it has happened.

    `size` is in bytes: 4, or a multiple of 8. `words` are little-endian integers, one of 4 bytes or several of 8. The
    time it takes counts for `counts`. `agent` names the action (``iommu0.fetch``), `owner` who acts. `on_commit` is
    called with the access when it has taken hold, at that time: before it is back where it came from. `touches` is what
    it touches besides the words at its address, as an action; it is not set unless somebody explores.
    """

    __slots__ = (
        "address",
        "agent",
        "counts",
        "kind",
        "on_commit",
        "owner",
        "port",
        "response",
        "size",
        "touches",
        "waited_ps",
        "words",
    )

    touches: Footprint

    def __init__(
        self,
        port: Port,
        kind: AccessKind,
        address: int,
        size: int,
        counts: CountsFor,
        words: Sequence[int] = (),
        *,
        agent: str = "",
        owner: str = "",
        on_commit: Callable[[Access], None] | None = None,
    ) -> None:
        self.port = port
        self.kind = kind
        self.address = address
        self.size = size
        self.counts = counts
        self.words = words
        self.agent = agent or port.path
        self.owner = owner or port.path
        self.on_commit = on_commit
        self.waited_ps = 0
        self.response = _OK

    @property
    def value(self) -> int:
        """The only or the first word."""
        return self.words[0]

    def __repr__(self) -> str:
        return f"<{self.kind.name} {self.size} B at {self.address:#x} by {self.owner}>"


@mypyc_attr(allow_interpreted_subclasses=True)
class Target:
    """What answers at a range of addresses: memory, a register file, an interrupt file."""

    def arrive(self, access: Access, now: int) -> int:
        """Enter the target's queue at `now`; returns when the access takes hold, and notes the wait on it."""
        raise NotImplementedError

    def commit(self, access: Access) -> None:
        """Take hold, at the present time: read or change what is there; sets `words` and `response`."""
        raise NotImplementedError

    def peek(self, address: int, size: int) -> int:
        """What a load would see now; takes no time and changes nothing (debug access)."""
        raise NotImplementedError

    def poke(self, address: int, size: int, value: int) -> None:
        """Change what is there without time or effects (debug access)."""
        raise NotImplementedError


class Route:
    """A way to a target: the hop there and the hop back, in picoseconds; 0 is no hop at all."""

    __slots__ = ("back_ps", "out_ps", "target")

    def __init__(self, target: Target, out_ps: int, back_ps: int) -> None:
        self.target = target
        self.out_ps = out_ps
        self.back_ps = back_ps


@mypyc_attr(allow_interpreted_subclasses=True)
class Port:
    """Where the initiator at `path` leaves for the bus."""

    path: str

    def route(self, address: int, size: int) -> Route:
        """The way to `address`; where nothing answers, one to a target that refuses every access."""
        raise NotImplementedError
