"""Memory that an IOMMU's registers lead to is its kernel's, and is not freed; an IOMMU that was removed is off."""

from __future__ import annotations

from typing import ClassVar

from cosim.events import IommuProbed, IommuRemoved, KernelEnded, PageAllocated, PageFreed, StructureUsed
from cosim.oracles.oracle import Oracle, exact

NAMES = {"ddtp": "directory", "cqb": "command queue", "fqb": "fault queue", "pqb": "page-request queue"}


class IommuMemory(Oracle):
    """Judges what registers lead to, whether or not the IOMMU happens to touch it.

    While `ddtp` names a directory, or a queue is on, the memory that they lead to is not freed. Of a directory that is
    its root. When a probe has returned, it is memory that the kernel has given out, and not one before it, or memory of
    the IOMMU itself (`hardwired`). When an IOMMU was removed, its `ddtp` is Off, so that it refuses every request, and
    its queues are off.

    What a kernel leaves behind when it ends is the next one's to find: a driver need not switch anything off then.

    Source: "Guidelines for initialization" (software guidelines of the specification); remove_iommu and probe_iommu in
    the contract of a driver; defect C16 of the driver's review.
    """

    name = "iommu-memory"
    watches: ClassVar = {
        StructureUsed: "used",
        PageAllocated: "given_out",
        PageFreed: "freed",
        IommuProbed: "probed",
        IommuRemoved: "removed",
        KernelEnded: "kernel_ended",
    }

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self._uses: dict[tuple[str, str], StructureUsed] = {}
        """What each register of an IOMMU leads to, if it is not off."""
        self._given: dict[int, int] = {}
        """The sizes of the blocks in use that the present kernel has given out, by their addresses."""
        self._before: dict[int, int] = {}
        """Those that a kernel before it has given out."""

    def used(self, event: StructureUsed) -> None:
        place = event.who, event.register
        if event.mode == "off":
            self._uses.pop(place, None)
        else:
            self._uses[place] = event

    def given_out(self, event: PageAllocated) -> None:
        self._given[event.address] = event.size
        self._before.pop(event.address, None)

    def freed(self, event: PageFreed) -> None:
        self._given.pop(event.address, None)
        self._before.pop(event.address, None)
        for use in self._uses.values():
            if use.address < event.address + event.size and event.address < use.address + use.size:
                self.violated(
                    f"{event.who} freed {event.address:#x} ({event.purpose}) at {exact(event.time)}, which is in the "
                    f"{_which(use)} {_state(use)}",
                    event.time,
                    use.time,
                    signature=f"memory freed, {use.register} leads there",
                )

    def kernel_ended(self, event: KernelEnded) -> None:
        self._before |= self._given
        self._given.clear()

    def probed(self, event: IommuProbed) -> None:
        for use in self._of(event.who):
            if not use.size or use.hardwired or _inside(use, self._given):
                continue
            whose = "memory of the kernel before" if _inside(use, self._before) else "memory that nobody has given out"
            self.violated(
                f"the probe of {event.who} returned at {exact(event.time)}, and the {_which(use)} {_state(use)} is in "
                f"{whose}: {use.size:#x} bytes at {use.address:#x}",
                event.time,
                use.time,
                signature=f"probe returned, {use.register} leads to {whose}",
            )

    def removed(self, event: IommuRemoved) -> None:
        for use in self._of(event.who):
            self.violated(
                f"the removal of {event.who} returned at {exact(event.time)}, with the {_which(use)} {_state(use)}",
                event.time,
                use.time,
                signature=f"removed, the {NAMES[use.register]} is {use.mode}",
            )

    def _of(self, iommu: str) -> list[StructureUsed]:
        return [use for (whose, _), use in self._uses.items() if whose == iommu]


def _inside(use: StructureUsed, blocks: dict[int, int]) -> bool:
    """Whether all that a register leads to is in one of these blocks."""
    return any(start <= use.address and use.address + use.size <= start + size for start, size in blocks.items())


def _which(use: StructureUsed) -> str:
    return f"{NAMES[use.register]} of {use.who}"


def _state(use: StructureUsed) -> str:
    how = f"ddtp in mode {use.mode}" if use.register == "ddtp" else f"{use.register} in use"
    return f"({how} since {exact(use.time)})"
