"""Threaded interrupts (Linux, kernel/irq/manage.c): a hard handler, and a thread that does the work.

A line stays masked from the hard handler that wakes a thread until that thread has ended (IRQF_ONESHOT); several
actions may share a line (IRQF_SHARED), which is then unmasked by the last of their threads.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from enum import Enum, auto
from typing import Any, TypeVar

from cosim.events import InterruptServed
from cosim.sim.footprints import Footprint
from cosim.sim.operations import Body, MaskInterrupt, OnInterrupt
from cosim.sw.kernel.objects import Object, Ordering, cell
from cosim.sw.kernel.page_allocator import PageAllocator
from cosim.sw.kernel.services import Services


class IrqReturn(Enum):
    """What a hard handler says (irqreturn_t)."""

    NONE = auto()
    """The interrupt was not of the handler's device."""
    HANDLED = auto()
    WAKE_THREAD = auto()


T = TypeVar("T")
HardHandler = Callable[[], Coroutine[Any, Any, IrqReturn]]

URGENT = 1
"""Priority of the handlers' threads: they take the CPU from ordinary ones (SCHED_FIFO in Linux)."""

RUN, STOP = 1, 2
"""Bits of `IrqActionState.wanted`."""

NOBODY_CARED = 99_900
"""Interrupts without a taker in a row, after which a line is given up (Linux: 99,900 of 100,000)."""


class IrqLineState(Object):
    """A line's own words."""

    __slots__ = ()
    threads = cell()
    """A bit for each action whose thread is to run or runs: the line is masked meanwhile."""
    in_progress = cell()
    """1 while a hard handler runs."""


class IrqActionState(Object):
    """An action's own words."""

    __slots__ = ()
    wanted = cell()
    ready = cell()
    ended = cell()


class IrqLine:
    """An interrupt line of one CPU, and the actions that share it."""

    __slots__ = ("actions", "cpu", "state", "unhandled", "vector")

    def __init__(self, state: IrqLineState, cpu: str, vector: int) -> None:
        self.state = state
        self.cpu = cpu
        self.vector = vector
        self.actions: tuple[IrqAction, ...] = ()
        self.unhandled = 0


class IrqAction:
    """One handler of a line with its thread; what `IrqLines.request` gives, for `IrqLines.free`."""

    __slots__ = ("bit", "hard", "line", "state", "thread")

    def __init__(
        self, state: IrqActionState, line: IrqLine, bit: int, hard: HardHandler, thread: Callable[[], Body]
    ) -> None:
        self.state = state
        self.line = line
        self.bit = bit
        self.hard = hard
        self.thread = thread


class IrqLines:
    """The kernel's interrupt lines, by CPU and vector."""

    def __init__(self, kernel: Services, pages: PageAllocator) -> None:
        self._kernel = kernel
        self._pages = pages
        self._lines: dict[tuple[str, int], IrqLine] = {}
        self._left: list[IrqAction] = []
        self._served = kernel.sim.probe(InterruptServed)

    def roots(self) -> list[int]:
        """The objects that it holds by themselves; takes no time."""
        actions = [action for line in self._lines.values() for action in line.actions]
        return [int(action.state.address) for action in (*actions, *self._left)]

    def end(self) -> None:
        """The kernel is over: none of its handlers runs any more, and what they have stays in use. Takes no time."""
        for line in self._lines.values():
            self._left += line.actions
            line.actions = ()
            self._kernel.cpus[line.cpu].disconnect(line.vector)
        self._lines.clear()

    async def request(
        self, cpu: str, vector: int, name: str, hard: HardHandler, thread: Callable[[], Body]
    ) -> IrqAction:
        """request_threaded_irq: from its return on, ``hard()`` runs on `cpu` for each interrupt of `vector`.

        If it answers WAKE_THREAD, ``thread()`` runs in a thread called ``irq<vector>-<name>``. Raises KernelError
        ENOMEM.
        """
        kernel = self._kernel
        kernel.must_be_able_to_sleep(await kernel.context(), "requesting an interrupt")
        state = await self._pages.new(IrqActionState)
        line = self._lines.get((cpu, vector))
        if line is None:
            line = IrqLine(IrqLineState(kernel.static(IrqLineState.SIZE)), cpu, vector)
            self._lines[cpu, vector] = line
        taken = {action.bit for action in line.actions}
        bit = next(1 << number for number in range(64) if 1 << number not in taken)
        called = f"irq{vector}-{name}"
        serving = self._telling(thread, f"{cpu}.{called}")
        action = IrqAction(state, line, bit, self._telling(hard, f"{cpu}.irq{vector}"), serving)
        line.actions = (*line.actions, action)
        await kernel.spawn(called, self._serve(action), cpu, priority=URGENT)
        await state.ready.wait_until(bool, spin=False, part="sleep")
        return action

    def _telling(self, handle: Callable[[], Coroutine[Any, Any, T]], who: str) -> Callable[[], Coroutine[Any, Any, T]]:
        """`handle`, and that it has come to its end."""
        sim = self._kernel.sim

        async def told() -> T:
            began = sim.now
            answer = await handle()
            if self._served:
                self._served(InterruptServed(sim.now, who, began))
            return answer

        return told

    async def free(self, action: IrqAction) -> None:
        """free_irq: take the handler off its line; on return neither handler nor thread runs any more."""
        kernel, line = self._kernel, action.line
        kernel.must_be_able_to_sleep(await kernel.context(), "freeing an interrupt")
        line.actions = tuple(other for other in line.actions if other is not action)
        await line.state.in_progress.wait_until(lambda running: not running, part="cpu")
        await action.state.wanted.fetch_or(STOP)
        await action.state.ended.wait_until(bool, spin=False, part="sleep")
        await self._pages.delete(action.state)

    async def _interrupt(self, line: IrqLine) -> None:
        await line.state.in_progress.store(1)
        cared = woken = False
        for action in line.actions:
            answer = await action.hard()
            cared = cared or answer is not IrqReturn.NONE
            if answer is IrqReturn.WAKE_THREAD:
                if not woken:
                    await MaskInterrupt(line.vector, True)
                    woken = True
                await line.state.threads.fetch_or(action.bit)
                await action.state.wanted.fetch_or(RUN)
        line.unhandled = 0 if cared else line.unhandled + 1
        if line.unhandled >= NOBODY_CARED:
            self._kernel.log("error", f"irq {line.vector}: nobody cared; the line is disabled", line.cpu)
            await MaskInterrupt(line.vector, True)
        await line.state.in_progress.store(0, release=True)

    async def _serve(self, action: IrqAction) -> None:
        line, state = action.line, action.state
        if line.actions[0] is action:
            handler = self._kernel.handler(lambda: self._interrupt(line))
            await OnInterrupt(line.vector, handler, lambda: _wakes(line))
        await state.ready.store(1, release=True)
        while True:
            wanted = await state.wanted.wait_until(bool, spin=False, part="sleep")
            assert wanted is not None
            if wanted & RUN:
                await state.wanted.fetch_and(~RUN, Ordering.FULL)
                await action.thread()
                left = await line.state.threads.fetch_and(~action.bit) & ~action.bit
                if not left:
                    await MaskInterrupt(line.vector, False)
            elif wanted & STOP:
                break
        if not line.actions:
            await OnInterrupt(line.vector, None)
        await state.ended.store(1, release=True)


def _wakes(line: IrqLine) -> Footprint:
    """The words by which a line's hard handlers wake its threads, and by which its users wait for it."""
    state = line.state
    own = (int(state.threads.address), int(state.in_progress.address))
    return (*own, *(int(action.state.wanted.address) for action in line.actions))
