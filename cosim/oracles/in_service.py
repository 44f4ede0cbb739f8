"""Which IOMMUs are in service: software has led their requests through a device directory."""

from __future__ import annotations

from typing import ClassVar

from cosim.events import KernelEnded, RegisterWritten
from cosim.oracles.oracle import Book
from cosim.spec.register_map import DDTP
from cosim.spec.registers import Ddtp, IommuMode


class InService(Book):
    """`iommus` has those whose `ddtp` this kernel has written last with the mode of a directory.

    One that is Bare or Off is being taken out, or not taken in yet: nobody waits for its faults and commands.
    `without_directory` has those whose `ddtp` was led there, by whichever kernel: they look at no context.
    """

    watches: ClassVar = {RegisterWritten: "written", KernelEnded: "kernel_ended"}

    def __init__(self) -> None:
        self.iommus: set[str] = set()
        self.without_directory: set[str] = set()

    def written(self, event: RegisterWritten) -> None:
        if event.offset == DDTP.offset:
            if Ddtp.iommu_mode.get(event.value) > IommuMode.BARE:
                self.iommus.add(event.who)
                self.without_directory.discard(event.who)
            else:
                self.iommus.discard(event.who)
                self.without_directory.add(event.who)

    def kernel_ended(self, event: KernelEnded) -> None:
        self.iommus.clear()
