"""What is known of a device before it is found."""

from __future__ import annotations

from dataclasses import dataclass

from cosim.spec.pagetable import PAGE


@dataclass(frozen=True, slots=True)
class DevicePlan:
    """A device to be found: the IOMMU that it is behind, the domain that it starts in, and the bytes of its window.

    One that is behind none is in no domain; its window is one block of memory, and so is one in the identity domain.
    """

    name: str
    ids: tuple[int, ...]
    iommu: str
    domain: str
    node: int = 0
    window: int = 0
    page: int = PAGE
    """Bytes of the blocks that the window is made of."""
    start_ps: int = 0
    """When it begins to use the window, after the run's origin."""
    made_for: bool = True
    """Whether its domain is made for it, where there is none yet; else for no device."""
    plugged: bool = True
    """Whether boot finds it."""
