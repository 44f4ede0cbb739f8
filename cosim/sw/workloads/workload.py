"""What every workload has: the CPU it runs on, and rounds that it makes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Literal

from pydantic import Field

from cosim.events import RoundFailed
from cosim.sim.operations import Body
from cosim.spec.pagetable import PAGE
from cosim.sw.dma_api import BOTH, Piece
from cosim.sw.iommu_ops import Prot
from cosim.sw.kernel.errors import KernelError
from cosim.sw.runtime import Runtime
from cosim.sw.workloads.references import CpuName, Reference, ThreadName, references
from cosim.units.field_types import Time
from cosim.units.options import Options
from cosim.units.quantities import US

RETRY_PS = 100 * US
"""How long a thread waits after a round that has failed, if its `gap` is shorter."""

Direction = Literal["bidirectional", "to-device", "from-device"]
"""Which way data go (enum dma_data_direction)."""
PERMITS: Mapping[Direction, Prot] = {"bidirectional": BOTH, "to-device": Prot.READ, "from-device": Prot.WRITE}
"""What a mapping permits its devices, by direction (dma_info_to_prot in Linux)."""


class WorkloadOptions(Options):
    """A thread's options; it makes rounds, and ends after `count` of them.

    A field that names a part or a domain has one of the types of `references`; nothing else knows which fields do.
    """

    on: CpuName
    """The CPU it runs on. Of `threads:` one that names several by a glob, such as `cpu*`, is one on each of them."""
    start: Time = 0
    """When it starts, after the origin of the run; if it prepares something, after the end of boot."""
    after: ThreadName | None = None
    """The thread that it follows, as a trace calls it (`cpu0.attach`): it starts when that one has ended, and at
    `start` at the earliest."""
    gap: Time = 0
    """How long it sleeps after each round."""
    gaps: Literal["regular", "exponential"] = "regular"
    """Whether each gap is that long, or drawn, with that mean."""
    count: int | None = Field(default=None, ge=1)
    """How many rounds it makes; without end, if absent."""
    beside: bool = False
    """Of what is prepared: begin together with the entry before it, and not when that one has ended."""
    lasts: ClassVar[bool] = False
    """A round takes the time that its options say, and need not come to a call."""

    def references(self) -> Sequence[Reference]:
        """What the thread names."""
        return tuple(references(self))

    def tells(self) -> Sequence[str]:
        """The devices, by names or globs, that the thread tells of buffers."""
        return ()

    async def set_up(self, runtime: Runtime) -> None:
        """What boot does for the thread, before any thread or device starts. KernelError."""

    async def run(self, runtime: Runtime) -> None:
        """The thread."""
        await runtime.sleep_until(self.start)
        await self.repeat(runtime, lambda: self.round(runtime))

    async def repeat(self, runtime: Runtime, act: Callable[[], Body]) -> None:
        """Make the rounds. One that fails is logged, and the next one is made a little later."""
        kernel, thread = runtime.kernel, (await runtime.kernel.context()).thread
        drawn = None
        if self.gaps == "exponential":
            drawn = kernel.sim.chooser.stream(f"{thread}.gap")
        done = runtime.rounds[thread] = 0
        while self.count is None or done < self.count:
            gap = self.gap if drawn is None else drawn.exponential(self.gap)
            try:
                await act()
            except KernelError as error:
                kernel.log("error", str(error), thread)
                kernel.sim.probe(RoundFailed)(RoundFailed(kernel.sim.now, thread, error.name))
                gap = max(gap, RETRY_PS)
            done = runtime.rounds[thread] = done + 1
            if done != self.count:
                await kernel.sleep(gap)

    async def round(self, runtime: Runtime) -> None:
        """One round."""
        raise NotImplementedError


async def allocate(runtime: Runtime, count: int, *, contiguous: bool = False) -> list[Piece]:
    """Pages for a device, each by itself or all in one block. KernelError ENOMEM, and then none is kept."""
    pages = runtime.kernel.pages
    if contiguous:
        block = await pages.alloc((count - 1).bit_length(), zero=False, purpose="buffer")
        return [Piece(block, count * PAGE)]
    pieces: list[Piece] = []
    try:
        for _ in range(count):
            pieces.append(Piece(await pages.alloc(zero=False, purpose="buffer"), PAGE))
    except KernelError:
        await release(runtime, pieces)
        raise
    return pieces


async def release(runtime: Runtime, pieces: Sequence[Piece]) -> None:
    """Free the pages of a buffer, the first one last: it is then the first to be given out again."""
    for piece in reversed(pieces):
        await runtime.kernel.pages.free(piece.address)


async def around(act: Body, undo: Callable[[], Body]) -> None:
    """Do something, then undo what came before it, whether it has succeeded or failed in the ordinary way."""
    try:
        await act
    except KernelError:
        await undo()
        raise
    await undo()
