"""What a stressed system has at present, as the operations know it, and what of it can be taken."""

from __future__ import annotations

from dataclasses import dataclass, field

from cosim.sw.boot import Plan
from cosim.sw.dma_api import Piece
from cosim.sw.iommu_ops import Prot


@dataclass(slots=True, eq=False)
class Buffer:
    """Memory that is mapped in a domain, at `iova` and on."""

    domain: str
    iova: int
    pieces: list[Piece]
    prot: Prot

    @property
    def size(self) -> int:
        return sum(piece.size for piece in self.pieces)

    def address(self, offset: int) -> int:
        """Where a byte of it is in memory."""
        for piece in self.pieces:
            if offset < piece.size:
                return piece.address + offset
            offset -= piece.size
        raise IndexError(offset)


@dataclass(slots=True)
class DomainState:
    """A domain as the operations know it: it can be freed when nothing is in it, and nobody is about to use it."""

    users: int = 0
    buffers: list[Buffer] = field(default_factory=list)
    devices: set[str] = field(default_factory=set)

    @property
    def idle(self) -> bool:
        return not (self.users or self.buffers or self.devices)


class Holdings:
    """`domains`, `devices` (with the IOMMU of each) and `iommus` are there; `unplugged` and `removed` gone for now."""

    def __init__(self, plan: Plan) -> None:
        self.domains: dict[str, DomainState] = {}
        self.devices = {device.name: device for device in plan.devices}
        self.iommus = {hardware.name: hardware for hardware in plan.iommus}
        self.unplugged: set[str] = set()
        self.removed: set[str] = set()
        self.dead: list[Buffer] = []
        """Buffers that were unmapped last."""
        self.leaving: list[Buffer] = []
        """Buffers that are being unmapped."""
        self.busy: dict[str, str] = {}
        """Operations of CPUs that are under way."""

    def buffers(self) -> list[Buffer]:
        """What is mapped, and not being unmapped."""
        return [buffer for state in self.domains.values() for buffer in state.buffers]

    def recent(self) -> list[Buffer]:
        """What is being unmapped, or was last."""
        return [*self.leaving, *self.dead]

    def plugged(self) -> list[str]:
        """The devices that are there."""
        return [name for name in self.devices if name not in self.unplugged]

    def pluggable(self) -> list[str]:
        """The devices that can come back."""
        return [name for name in sorted(self.unplugged) if self.devices[name].iommu not in self.removed]

    def working(self) -> list[str]:
        """The IOMMUs that are in service."""
        return [name for name in self.iommus if name not in self.removed]

    def idle_domains(self) -> list[str]:
        """Domains that can be freed, and that no device comes back to."""
        homes = {plan.domain for plan in self.devices.values()}
        return [name for name, state in self.domains.items() if state.idle and name not in homes]

    def rebuilding(self) -> bool:
        """Whether an IOMMU is just going into service, or out of it."""
        return any(what.startswith(("probe", "remove")) for what in self.busy.values())
