"""A domain has one page table: all its devices walk from the same root."""

from __future__ import annotations

from typing import ClassVar

from cosim.events import Attached, KernelEnded
from cosim.oracles.oracle import Oracle, exact
from cosim.oracles.tags import Tags
from cosim.spec.pagetable import PAGE_LG2


class OneRoot(Oracle):
    """Judges each attach when it returns: the device's contexts name the root that those of others in the domain name.

    Source: remark B9 of the driver's review: two attaches that each find no root make one each, and a device is left
    with a table that nobody maps in.
    """

    name = "one-root"
    watches: ClassVar = {Attached: "attached", KernelEnded: "kernel_ended"}

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self._tags = self.book(Tags)
        self._roots: dict[str, dict[str, int]] = {}

    def kernel_ended(self, event: KernelEnded) -> None:
        self._roots.clear()

    def attached(self, event: Attached) -> None:
        for roots in self._roots.values():
            roots.pop(event.device, None)
        for device_id in event.device_ids:
            context = self._tags.contexts.get((event.iommu, device_id))
            if context is None or context.holder is None or context.names is None or not event.domain:
                continue
            root = context.names[1]
            others = self._roots.setdefault(event.domain, {})
            for other, its in others.items():
                if its != root:
                    self.violated(
                        f"{event.device} is in {event.domain} at {exact(event.time)} with its root at "
                        f"{root << PAGE_LG2:#x}, and {other} is with {its << PAGE_LG2:#x}",
                        event.time,
                        event.time,
                        signature="devices of one domain have different roots",
                    )
                    break
            others[event.device] = root
