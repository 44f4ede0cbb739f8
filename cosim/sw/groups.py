"""How the IOMMU core keeps what is done to a group of devices one at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from cosim.sw.kernel.kernel import Kernel
from cosim.sw.kernel.locks import Mutex, Section
from cosim.sw.steps import UNGUARDED, step


class GroupsPolicy(Protocol):
    """What the core holds around a driver's `attach_dev` and `release_device`, for each group by itself."""

    def mutex(self, kernel: Kernel, mutex: Mutex) -> Section:
        """The section in which the core changes a group, or asks the driver to; it may sleep."""


@dataclass(frozen=True)
class GroupMutex:
    """Linux: a mutex for each group; other groups attach beside it."""

    @step(answer=UNGUARDED)
    def mutex(self, kernel: Kernel, mutex: Mutex) -> Section:
        """The group's mutex, around each attach, detach and release."""
        return kernel.mutex(mutex)
