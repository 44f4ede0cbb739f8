"""Events of a device's context and of the commands that an IOMMU executes, given by hand."""

from __future__ import annotations

from cosim.events import CacheFilled, CommandExecuted, ContextChanged
from cosim.spec.queues import Command, Iofence
from cosim.spec.translation import DcTa, Fsc, IosatpMode
from tests.oracles.judging import judged

FSC = Fsc.of(mode=IosatpMode.SV39, ppn=0x80)


def named(time: int, pscid: int, device_id: int = 1, fsc: int = FSC) -> list[ContextChanged]:
    """The context of a device names a PSCID."""
    words = (("ta", DcTa.of(pscid=pscid)), ("fsc", fsc), ("tc", 1))
    return [ContextChanged(time, "iommu0", device_id, field, value) for field, value in words]


def invalid(time: int, device_id: int = 1) -> ContextChanged:
    return ContextChanged(time, "iommu0", device_id, "tc", 0)


def executed(time: int, command: Command) -> CommandExecuted:
    kind = "iofence" if isinstance(command, Iofence) else "other"
    return CommandExecuted(time, "iommu0", 0, (command[0], command[1]), kind)


def fence(time: int) -> CommandExecuted:
    return executed(time, Iofence.c(pr=1, pw=1))


def filled(time: int, pscid: int, iova: int = 0x1000, address: int = 0x8000_0000) -> CacheFilled:
    return CacheFilled(time, "iommu0.iotlb", (-1, pscid, 12, iova >> 12), False, address)


def found(oracle: type, *events: object) -> list[str]:
    return [violation.signature.partition(": ")[2] for violation in judged(oracle, *events)]
