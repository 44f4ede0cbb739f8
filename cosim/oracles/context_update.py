"""A device context changes only while no IOMMU can use it: invalid in memory, and forgotten."""

from __future__ import annotations

from typing import ClassVar

from cosim.events import ContextChanged, KernelEnded
from cosim.oracles.flushes import NEVER, Flushes
from cosim.oracles.in_service import InService
from cosim.oracles.oracle import Oracle, exact
from cosim.oracles.tags import BARE, Context, Tags, V


class ContextUpdate(Oracle):
    """Reports each word of a device context that changes while `tc.V` is set, or before the old one is forgotten.

    An IOMMU may read a context in pieces, in any order: of a valid one that changes word by word it may take the new
    table with the old PSCID. So it is made invalid first, and an IODIR.INVAL_DDT and a fence are executed before any
    other word changes, or V is set again. A store to `tc` that leaves V as it is, is allowed: it is one word. So is one
    to `fsc` of a valid context that is Bare before or after it, and one to `ta` while it is Bare, since `ta` counts for
    nothing then; but IODIR.INVAL_DDT and fence are executed before the next word changes. An IOMMU that is Off or Bare
    reads no context: what changes then is to be forgotten before it has a directory again, which `FlushPromises` judges
    of a probe.

    Source: "Updating in-memory data structure entries" (2.8) and "Changing device-directory table entry" (software
    guidelines) of the specification; the driver's defects C1 and C4.
    """

    name = "context-update"
    watches: ClassVar = {ContextChanged: "changed", KernelEnded: "kernel_ended"}

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self._tags = self.book(Tags)
        self._flushes = self.book(Flushes)
        self._valid: dict[tuple[str, int], bool] = {}
        self._told: set[tuple[str, int]] = set()
        """The contexts whose present change has been reported: it is one, however many words it has."""
        self._iommus = self.book(InService)

    def kernel_ended(self, event: KernelEnded) -> None:
        """The next one has a directory of its own, with no valid context."""
        self._valid.clear()
        self._told.clear()

    def changed(self, event: ContextChanged) -> None:
        place = event.who, event.device_id
        was_valid = self._valid.get(place, False)
        if event.field == "tc":
            valid = self._valid[place] = bool(event.value & V)
            if valid == was_valid or not valid:
                return
        context = self._tags.contexts[place]
        old = context.old
        if was_valid and event.field in ("fsc", "ta") and _alone(context):
            return
        if event.who in self._iommus.without_directory:
            return
        kind = "is changed while it is valid" if was_valid else "is changed while it may be cached"
        if not was_valid and not old:
            self._told.discard(place)
        elif place not in self._told or was_valid:
            self._told.add(place)
            what = "V is set again" if event.field == "tc" else f"{event.field} becomes {event.value:#x}"
            self.violated(
                f"the context of device {event.device_id} of {event.who} {kind.removeprefix('is ')}: {what} at "
                f"{exact(event.time)}{'' if was_valid else self._why(event, old[0].since)}",
                event.time,
                event.time,
                signature=f"a context {kind}",
            )

    def _why(self, event: ContextChanged, since: int) -> str:
        """Why the context that has left memory then may be cached."""
        place = event.who, event.device_id
        state = self._flushes.of_context(*place, since, event.time)
        text = f": {state} since the old one left memory at {exact(since)}"
        others = self._flushes.other_contexts(*place, since, event.time) if state == NEVER else []
        if others:
            named = " and ".join(f"device {other}" for other in others)
            text += f"; meanwhile IODIR.INVAL_DDT was executed for {named}"
        return text


def _alone(context: Context) -> bool:
    """Whether the word that has just changed is the only one since the last fence, and agrees with all others."""
    now = context.names
    return len(context.old) == 1 and now is not None and (now[0] == BARE or context.old[0].pscid == BARE)
