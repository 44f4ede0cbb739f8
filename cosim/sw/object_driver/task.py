"""The block of the task that runs: the few members that compiled code reads by itself, without a call.

Where the kernel is built without PREEMPT_RCU, a read section of RCU is a count in this block, which is no call either
but with CONFIG_DEBUG_PREEMPT.
"""

from __future__ import annotations

from collections.abc import Awaitable

from cosim.sw.kernel.kernel import Kernel
from cosim.sw.kernel.locks import PreemptOff
from cosim.sw.kernel.rcu import Reading
from cosim.sw.kernel.thread_context import ThreadContext
from cosim.sw.object_driver.layout import Layout

COUNT = "task_struct.thread_info.preempt_count"
MEMBERS = {COUNT: 0, "task_struct.thread_info.flags": 0, "task_struct.stack_canary": 0x5AFE_57AC_C0DE_0000}
"""What is read, and its value at the beginning of a call."""


class Task:
    """The block of one task, for one call."""

    def __init__(self, kernel: Kernel, layout: Layout, context: ThreadContext) -> None:
        self._kernel = kernel
        self._context = context
        self._values: dict[tuple[int, int], int] = {}
        self._count: tuple[int, int] | None = None
        for path, value in MEMBERS.items():
            if layout.has(path):
                member = layout.info.field(path)
                self._values[member.offset, member.size] = value
                if path == COUNT:
                    self._count = (member.offset, member.size)

    def load(self, offset: int, size: int) -> int | None:
        """What a member holds; None for one that nobody has set."""
        return self._values.get((offset, size))

    def store(self, offset: int, size: int, value: int) -> Awaitable[None] | None:
        """Set a member. A count of preemption that changes begins or ends a section."""
        before = self._values.get((offset, size))
        self._values[offset, size] = value
        if (offset, size) == self._count and before is not None and before != value:
            return self._begin() if value > before else self._end()
        return None

    async def count(self, by: int) -> bool:
        """Change the count of preemption by a call; false if there is none, or if it would be negative."""
        if self._count is None or (value := self._values[self._count] + by) < 0:
            return False
        if (changed := self.store(*self._count, value)) is not None:
            await changed
        return True

    async def _begin(self) -> None:
        await PreemptOff(self._kernel).enter(self._context)
        await Reading(self._kernel, self._kernel.rcu).enter(self._context)

    async def _end(self) -> None:
        await Reading(self._kernel, self._kernel.rcu).leave(self._context)
        await PreemptOff(self._kernel).leave(self._context)
