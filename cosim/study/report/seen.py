"""What a run without violations could have shown: whether any device came back to what was unmapped."""

from __future__ import annotations

from collections.abc import Mapping

BLIND = "no device could show a stale translation"


def seen(counts: Mapping[str, int]) -> str:
    """One sentence on the unmapped buffers of a run (`Result.seen`); empty if there was none."""
    unmapped, touched, unflushed = (counts.get(name, 0) for name in ("unmapped", "touched", "unflushed"))
    if not unmapped and not unflushed:
        return ""
    if not unmapped:
        return f"no flush has ended for any of {_buffers(unflushed)}: {BLIND}"
    text = f"{touched:,} of {_buffers(unmapped)} {'was' if unmapped == 1 else 'were'} touched by a device afterwards"
    if unflushed:
        text += f", and {unflushed:,} more waited for a flush at the end"
    return text if touched else f"{text}: {BLIND}"


def _buffers(number: int) -> str:
    return f"{number:,} unmapped buffer{'s' * (number != 1)}"


def effects(counts: Mapping[str, int]) -> str:
    """One sentence on what invalidations and readers had to do with; empty if there were no invalidations."""
    invalidations, dropping, removals, overlapped = (
        counts.get(name, 0) for name in ("invalidations", "dropping", "removals", "overlapped")
    )
    if not invalidations:
        return ""
    text = f"{dropping:,} of {invalidations:,} invalidation{'s' * (invalidations != 1)} had something to drop"
    if removals:
        text += f", and {overlapped:,} of {removals:,} removal{'s' * (removals != 1)} of a device a reader beside it"
    return text
