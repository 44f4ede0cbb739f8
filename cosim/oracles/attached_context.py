"""A device's contexts say in memory what the device is attached to."""

from __future__ import annotations

from typing import ClassVar

from cosim.events import ContextSeen
from cosim.oracles.in_service import InService
from cosim.oracles.oracle import Oracle, exact
from cosim.oracles.translations import IDENTITY
from cosim.spec.pagetable import FIRST_STAGE, PAGE_LG2
from cosim.spec.registers import Capabilities
from cosim.spec.translation import Dc, Fsc, IohgatpMode, IosatpMode


class AttachedContext(Oracle):
    """Holds each context of a device against its domain when an attach, or a release, has returned.

    The device need make no request for that. In a paging domain the context is valid, has no reserved bit set, and its
    `fsc` leads to the domain's page table, in the mode of that. In the identity domain it is valid, has no reserved bit
    set, and is Bare. That of a device that is blocked, or has been released, lets nothing pass: it is not valid, or it
    leads to no leaf. That of an attached device asks for nothing that its IOMMU does not have: for no mode of the first
    stage, and not for SADE. When a probe has returned, each device that a kernel before had found is blocked.

    What CPUs have stored by then counts as if it had taken hold: `FlushPromises` tells of an old context that is left.
    Where `ddtp` is Off or Bare no context counts. Of one with a process directory or a second stage it is not judged
    where it leads.

    Source: `attach_dev` and `release_device` of iommu_ops (include/linux/iommu.h); "Device-Context" and
    "Device-context configuration checks" (2.1) of the specification.
    """

    name = "attached-context"
    watches: ClassVar = {ContextSeen: "seen"}

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self._iommus = self.book(InService)

    def seen(self, event: ContextSeen) -> None:
        if event.who in self._iommus.without_directory:
            return
        context = Dc.from_words(event.words)
        kind, text = _blocked(event, context) if not event.domain else _attached(event, context)
        capabilities = self.bounds.capabilities.get(event.who)
        if event.domain and not kind and capabilities is not None and (text := _refused(context, capabilities)):
            kind = "a context that its IOMMU refuses"
        if kind:
            state = f"is in {event.domain}" if event.domain else "is to be blocked"
            self.violated(
                f"{event.device} {state} since {exact(event.time)}, and the context of device {event.device_id} of "
                f"{event.who} {text}",
                event.time,
                event.time,
                signature=kind,
            )


def _attached(event: ContextSeen, context: Dc) -> tuple[str, str]:
    """Of what kind the violation is, and what to say of the context; "" for none."""
    domain = "the identity domain" if event.domain == IDENTITY else "a paging domain"
    if not context.tc.v:
        return f"in {domain} with a context that is not valid", "is not valid"
    if reserved := context.reserved():
        words = ", ".join(
            f"{bits:#x} of {name}"
            for number, name in enumerate(("tc", "iohgatp", "ta", "fsc"))
            if (bits := reserved >> 64 * number & (1 << 64) - 1)
        )
        return "a context with reserved bits set", f"has reserved bits set: {words}"
    if not _first_stage_alone(context):
        return "", ""
    bare = context.fsc.mode == IosatpMode.BARE
    if event.domain == IDENTITY:
        text = f"names the table {_table(context.fsc)}"
        return ("", "") if bare else ("in the identity domain with a context that names a table", text)
    if bare:
        return "in a paging domain with a context that is Bare", "is Bare: its requests reach all of memory"
    wanted = None if event.fsc is None else Fsc(event.fsc)
    if wanted is None or (context.fsc == wanted and not context.tc.sxl):
        return "", ""
    text = f"names {_table(context.fsc)}{' with SXL' if context.tc.sxl else ''}, and its table is {_table(wanted)}"
    what = "table" if context.fsc.ppn != wanted.ppn else "mode"
    return f"a context with another {what} than its domain has", text


def _refused(context: Dc, capabilities: Capabilities) -> str:
    """What a valid context says that takes a capability which its IOMMU does not have; "" for nothing."""
    if context.tc.sade and not capabilities.amo_hwad:
        return "has SADE, and the IOMMU no AMO_HWAD"
    mode = context.fsc.mode
    scheme = FIRST_STAGE[context.tc.sxl].get(mode) if mode != IosatpMode.BARE and _first_stage_alone(context) else None
    if scheme is not None and not scheme.supported(capabilities):
        return f"names {_table(context.fsc)}, a mode that the IOMMU does not have"
    return ""


def _blocked(event: ContextSeen, context: Dc) -> tuple[str, str]:
    """The same of a device whose requests are to be refused."""
    if not context.tc.v or context.reserved() or not _first_stage_alone(context):
        return "", ""
    if context.fsc.mode == IosatpMode.BARE:
        return "blocked with a context that is Bare", "is valid and Bare: its requests reach all of memory"
    if event.leads:
        return "blocked with a context that leads to leaves", f"is valid, and leaves are in {_table(context.fsc)}"
    return "", ""


def _first_stage_alone(context: Dc) -> bool:
    """Whether all requests go through `fsc`, and through nothing else."""
    return not context.tc.pdtv and context.iohgatp.mode == IohgatpMode.BARE


def _table(fsc: Fsc) -> str:
    """Where a page table is, and of which mode."""
    mode = IosatpMode(fsc.mode).name.title() if fsc.mode in set(IosatpMode) else f"mode {fsc.mode}"
    return f"{fsc.ppn << PAGE_LG2:#x} ({mode})"
