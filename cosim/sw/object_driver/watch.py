"""What a driver tells by its register accesses alone: where its command ring is, what it sends, what it waits for."""

from __future__ import annotations

from dataclasses import dataclass, field

from cosim.events import CommandSent
from cosim.spec.page import PAGE, PAGE_LG2
from cosim.spec.queues import Command, Opcode
from cosim.spec.register_map import CAPABILITIES, CQB, CQH, CQT, DDTP
from cosim.spec.registers import Capabilities, Ddtp, QueueBase
from cosim.spec.translation import DDT_BASE, DDT_EXTENDED, Split
from cosim.sw.iommu_ops import Hardware
from cosim.sw.kernel.kernel import Kernel

SLOT = Command.SIZE


@dataclass(slots=True)
class Ring:
    """The command ring of an IOMMU: how many commands were announced, and how many are known to be consumed."""

    iommu: str
    base: int = 0
    entries: int = 0
    produced: int = 0
    consumed: int = 0
    directory: Ddtp = field(default_factory=lambda: Ddtp(0))
    extended: bool = False
    """Whether its device contexts have 64 bytes (capabilities.MSI_FLAT)."""

    @property
    def split(self) -> Split:
        """How a device id is cut into the indices of its directory."""
        return DDT_EXTENDED if self.extended else DDT_BASE

    def index(self, address: int) -> int:
        """The slot at an address."""
        return (address - self.base) // SLOT

    def holds(self, address: int) -> bool:
        """Whether an address is in the ring."""
        return self.base <= address < self.base + SLOT * self.entries


class QueueWatch:
    """Follows the rings of all IOMMUs, from the accesses of the driver's code."""

    def __init__(self, kernel: Kernel) -> None:
        self.sent = kernel.sim.probe(CommandSent)
        self._kernel = kernel
        self._rings: dict[str, Ring] = {}
        self.pages: dict[int, Ring] = {}
        """Rings by the numbers of their pages."""

    def ring(self, hardware: Hardware) -> Ring:
        """The ring of an IOMMU."""
        return self._rings.setdefault(hardware.name, Ring(hardware.name))

    def written(self, hardware: Hardware, address: int, value: int) -> None:
        """The driver writes a register."""
        ring, offset = self.ring(hardware), address - hardware.base
        if offset == CQB.offset:
            base = QueueBase(value)
            self._move(ring, base.ppn << PAGE_LG2, base.entries if base.ppn else 0)
        elif offset == CQT.offset and ring.entries:
            ring.produced += (value - ring.produced) % ring.entries
        elif offset == DDTP.offset:
            ring.directory = Ddtp(value)

    def read(self, hardware: Hardware, address: int, value: int) -> None:
        """The driver has read a register."""
        ring = self.ring(hardware)
        offset = address - hardware.base
        if offset == CAPABILITIES.offset:
            ring.extended = bool(Capabilities(value).msi_flat)
        elif offset == CQH.offset and ring.entries:
            ring.consumed += (value - ring.consumed) % ring.entries

    def _move(self, ring: Ring, base: int, entries: int) -> None:
        self.pages = {page: other for page, other in self.pages.items() if other is not ring}
        ring.base, ring.entries, ring.produced, ring.consumed = base, entries, 0, 0
        self.pages |= dict.fromkeys(range(base >> PAGE_LG2, base + SLOT * entries + PAGE - 1 >> PAGE_LG2), ring)

    def tell(self, ring: Ring, thread: str, index: int, words: tuple[int, int]) -> int | None:
        """A thread puts a command into a slot; how many commands are consumed once a fence is, None for another."""
        if self.sent:
            self.sent(CommandSent(self._kernel.sim.now, thread, ring.iommu, index, words))
        if words[0] & 0x7F != Opcode.IOFENCE:
            return None
        return ring.produced + (index - ring.produced) % ring.entries + 1
