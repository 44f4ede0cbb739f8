"""What a kernel calls that is built to find its own bugs (lib/Kconfig.debug): lockdep, lists, sleeping, addresses.

Locks, sleeps and RCU are judged by the oracles, so that lockdep is told everything and says nothing. A list is looked
at as Linux does, link by link, and what is found stands in the kernel log.
"""

from __future__ import annotations

from collections.abc import Mapping

from cosim.sw.object_driver.call import Call, Function

NEXT, PREV = 0, 8
"""The links of a struct list_head."""
LIST_POISON1, LIST_POISON2 = 0xDEAD_0000_0000_0100, 0xDEAD_0000_0000_0122
"""What an entry that was taken out has in the place of its links (include/linux/poison.h), RV64."""


async def _nothing(call: Call) -> None:
    """Lockdep takes note."""


async def _no(call: Call) -> int:
    return 0


async def _yes(call: Call) -> int:
    return 1


async def _same(call: Call) -> int:
    """Memory is mapped where it is."""
    return call[0]


async def _preempt_count_add(call: Call) -> None:
    """Preemption is off (CONFIG_DEBUG_PREEMPT)."""
    await call.hart.block.count(call.signed(0))


async def _preempt_count_sub(call: Call) -> None:
    if not await call.hart.block.count(-call.signed(0)):
        raise call.oops("preemption is not off")


async def _lock_init(call: Call) -> None:
    """A lock is free; its owner and its magic number, where it has them, are for nobody here."""
    await call.store(call.machine.variable(call[0]), 0, 4)


async def _suspicious(call: Call) -> None:
    call.machine.kernel.log("error", f"suspicious RCU usage in {call.caller} ({call.where})")


async def _add_valid(call: Call) -> int:
    new, prev, following = call[0], call[1], call[2]
    if not prev or not following:
        return _corrupted(call, "add", "a link is null")
    if await call.load(following + PREV, 8) != prev or await call.load(prev + NEXT, 8) != following:
        return _corrupted(call, "add", "its neighbours are not linked with each other")
    if new in (prev, following):
        return _corrupted(call, "add", f"{new:#x} is added twice")
    return 1


async def _del_valid(call: Call) -> int:
    entry = call[0]
    following, prev = await call.load(entry + NEXT, 8), await call.load(entry + PREV, 8)
    if not prev or not following:
        return _corrupted(call, "del", "a link is null")
    if following == LIST_POISON1 or prev == LIST_POISON2:
        return _corrupted(call, "del", f"{entry:#x} was taken out before")
    if await call.load(prev + NEXT, 8) != entry or await call.load(following + PREV, 8) != entry:
        return _corrupted(call, "del", f"the neighbours of {entry:#x} do not lead to it")
    return 1


def _corrupted(call: Call, what: str, why: str) -> int:
    call.machine.kernel.log("error", f"list_{what} corruption in {call.caller} ({call.where}): {why}")
    return 0


FUNCTIONS: Mapping[str, Function] = {
    "preempt_count_add": _preempt_count_add,
    "preempt_count_sub": _preempt_count_sub,
    "lock_acquire": _nothing,
    "lock_release": _nothing,
    "lock_is_held_type": _yes,
    "debug_lockdep_rcu_enabled": _no,
    "rcu_is_watching": _yes,
    "lockdep_rcu_suspicious": _suspicious,
    "__might_sleep": _nothing,
    "__might_resched": _nothing,
    "__virt_to_phys": _same,
    "__phys_addr_symbol": _same,
    "linear_mapping_va_to_pa": _same,
    "linear_mapping_pa_to_va": _same,
    "__raw_spin_lock_init": _lock_init,
    "__list_add_valid_or_report": _add_valid,
    "__list_del_entry_valid_or_report": _del_valid,
}
