"""What a thread does to its own time, to other threads and to the interrupts of its CPU."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from cosim.sim.footprints import Footprint
from cosim.sim.operations.op import Body, Op


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


class OnInterrupt(Op[None]):
    """Have interrupt `vector` run ``handler()`` on this CPU with interrupts masked; None disconnects it.

    ``touches()`` are the words by which the handler wakes others, for whoever explores (docs/schedules.md).
    """

    __slots__ = ("handler", "touches", "vector")
    part = "cpu"

    def __init__(
        self, vector: int, handler: Callable[[], Body] | None, touches: Callable[[], Footprint] = tuple
    ) -> None:
        self.vector = vector
        self.handler = handler
        self.touches = touches


class MaskInterrupt(Op[None]):
    """Mask or unmask one interrupt at its controller; a level that is high when it is unmasked is delivered then."""

    __slots__ = ("masked", "vector")
    part = "cpu"

    def __init__(self, vector: int, masked: bool) -> None:
        self.vector = vector
        self.masked = masked


class Touch(Op[None]):
    """Take hold, as the action `verb`, of state that no word of memory stands for; takes no time of its own.

    Software awaits it while somebody explores, and not otherwise: just before it does what it says.
    """

    __slots__ = ("changes", "touches", "verb")
    part = "cpu"

    def __init__(self, verb: str, touches: Footprint, *, changes: bool) -> None:
        self.verb = verb
        self.touches = touches
        self.changes = changes


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
