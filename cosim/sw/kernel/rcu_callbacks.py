"""What waits for grace periods: callbacks in batches, each with a thread that waits for them and calls them."""

from __future__ import annotations

from collections.abc import Callable

from cosim.sim.operations import Body, Sleep, Touch
from cosim.sw.kernel.objects import Cell, Ordering
from cosim.sw.kernel.services import Services


class Batch:
    """Callbacks that share grace periods: those that came before one begins are run after it, in order."""

    __slots__ = ("_called", "_delay_ps", "_kernel", "_wait", "_waiting", "_word")

    def __init__(self, kernel: Services, wait: Callable[[], Body], delay_ps: int) -> None:
        self._kernel = kernel
        self._wait = wait
        self._delay_ps = delay_ps
        self._word = Cell(kernel.static(8))
        self._waiting: list[Callable[[], Body]] = []
        self._called: list[Callable[[], Body]] = []

    @property
    def idle(self) -> bool:
        """Whether no callback waits, or is yet to return; takes no time."""
        return not self._waiting and not self._called

    def callbacks(self) -> list[Callable[[], Body]]:
        """Those that wait, or whose batch is being called; takes no time."""
        return [*self._called, *self._waiting]

    async def add(self, callback: Callable[[], Body]) -> None:
        """Queue a callback; the grace period's first barrier orders the caller's earlier stores."""
        self._waiting.append(callback)
        await self._word.fetch_add(1, Ordering.RELEASE)

    async def work(self) -> None:
        """The thread that waits and calls."""
        while True:
            await self._word.wait_until(bool, spin=False, part="sleep")
            if self._delay_ps:
                await Sleep(self._delay_ps)
            await self._word.xchg(0)
            callbacks, self._waiting = self._waiting, []
            self._called = callbacks
            if callbacks:
                await self._wait()
            for callback in callbacks:
                if self._kernel.sim.exploring:
                    await Touch("call", (int(self._word.address),), changes=True)
                await callback()
            self._called = []
