"""What compiled code calls for the task it runs in: the scheduler, and the guard of the stack."""

from __future__ import annotations

from collections.abc import Mapping

from cosim.sw.object_driver.call import Call, Function


async def _preempt_schedule(call: Call) -> None:
    """The CPU changes threads by itself."""


async def _stack_chk_fail(call: Call) -> None:
    raise call.oops("the stack is corrupted")


FUNCTIONS: Mapping[str, Function] = {"preempt_schedule": _preempt_schedule, "__stack_chk_fail": _stack_chk_fail}
