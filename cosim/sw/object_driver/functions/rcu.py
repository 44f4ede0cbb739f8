"""RCU by calls (include/linux/rcupdate.h): sections where the kernel has CONFIG_PREEMPT_RCU, and waits for them.

Without it a section is no call, but the count in the block of the task (`sw.object_driver.task`).
"""

from __future__ import annotations

from collections.abc import Mapping

from cosim.sw.kernel.objects import Object
from cosim.sw.object_driver.call import Call, Function


async def _read_lock(call: Call) -> None:
    await call.machine.kernel.rcu.read().enter(call.hart.context)


async def _read_unlock(call: Call) -> None:
    if not call.hart.context.rcu:
        raise call.oops("no RCU read section has begun")
    await call.machine.kernel.rcu.read().leave(call.hart.context)


async def _synchronize(call: Call) -> None:
    await call.machine.kernel.rcu.synchronize()


async def _kfree_rcu(call: Call) -> None:
    """Free an object after a grace period."""
    machine, address = call.machine, call[1]
    machine.objects.pop(address, None)
    await machine.kernel.rcu.kfree(Object(address), place=call.spot)


FUNCTIONS: Mapping[str, Function] = {
    "__rcu_read_lock": _read_lock,
    "__rcu_read_unlock": _read_unlock,
    "synchronize_rcu": _synchronize,
    "kvfree_call_rcu": _kfree_rcu,
}
