"""All functions of the kernel that a driver may call."""

from __future__ import annotations

from collections.abc import Mapping

from cosim.sw.object_driver.call import Function
from cosim.sw.object_driver.functions import (
    checks,
    devices,
    devres,
    interrupts,
    locks,
    memory,
    messages,
    msi,
    rcu,
    tasks,
    time,
)
from cosim.sw.object_driver.given import SIZES

FUNCTIONS: Mapping[str, Function] = {
    **locks.FUNCTIONS,
    **memory.FUNCTIONS,
    **devres.FUNCTIONS,
    **devices.FUNCTIONS,
    **interrupts.FUNCTIONS,
    **messages.FUNCTIONS,
    **msi.FUNCTIONS,
    **tasks.FUNCTIONS,
    **time.FUNCTIONS,
    **rcu.FUNCTIONS,
    **checks.FUNCTIONS,
}
"""By the names of their symbols."""

DATA: Mapping[str, int] = SIZES
"""The kernel's variables that a driver may read, and their sizes in bytes."""
