"""What compiled code calls for the task it runs in: the scheduler, and the guard of the stack."""

from __future__ import annotations

from collections.abc import Mapping

from cosim.sw.object_driver.call import Call, Function


async def _preempt_schedule(call: Call) -> None:
    """The CPU changes threads by itself."""


async def _stack_chk_fail(call: Call) -> None:
    raise call.oops("the stack is corrupted")


async def _nothing_to_do(call: Call) -> int:
    """Nobody waits for the CPU (CONFIG_PREEMPT_DYNAMIC asks where others have inlined the question)."""
    return 0


FUNCTIONS: Mapping[str, Function] = {
    "preempt_schedule": _preempt_schedule,
    "preempt_schedule_notrace": _preempt_schedule,
    "dynamic_cond_resched": _nothing_to_do,
    "dynamic_might_resched": _nothing_to_do,
    "__cond_resched": _nothing_to_do,
    "__stack_chk_fail": _stack_chk_fail,
}
