"""The table of driver variants: every policy that has a name, and the rows that are made of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cosim.sw.driver.policies import (
    attach,
    attach_defects,
    attach_fenced,
    attach_reviewed,
    bonds,
    bonds_counted,
    bringup,
    capable,
    interrupts,
    invalidate,
    invalidate_kept,
    invalidate_ranges,
    pscid,
    queue,
    queue_locked,
    tables,
    tables_kept,
)
from cosim.sw.driver.policies.tables_generic import Generic
from cosim.sw.groups import GroupMutex

CELLS: Mapping[str, Mapping[str, Any]] = {
    "pscid": {
        "shared": pscid.Shared(),
        "tables-first": pscid.TablesFirst(),
        "per-iommu": pscid.PerIommuPscids(),
        "by-bond": pscid.BondPscids(),
    },
    "bonds": {
        "grouped": bonds.Grouped(),
        "ungrouped": bonds.Ungrouped(),
        "unlocked": bonds.Unlocked(),
        "holds-iommu": bonds.HoldsIommu(),
        "freed-at-once": bonds.BondsFreedAtOnce(),
        "waits-in-unlink": bonds.WaitsInUnlink(),
        "one-iommu-pointer": bonds.OneIommu(),
        "counted": bonds_counted.CountedBonds(),
        "v2": bonds.ReviewedBonds(),
    },
    "attach": {
        "bond-first": attach.BondFirst(),
        "no-barrier": attach_defects.NoAttachBarrier(),
        "no-dma-wmb": attach_defects.NoContextDmaWmb(),
        "no-barriers": attach_defects.NoAttachBarriers(),
        "context-first": attach_defects.ContextFirst(),
        "live-update": attach_defects.LiveUpdate(),
        "keeps-invalidated": attach_defects.KeepsInvalidated(),
        "keeps-domain": attach_defects.KeepsDomain(),
        "half-way": attach_defects.HalfWay(),
        "no-old-flush": attach_defects.NoOldFlush(),
        "flushes-contexts": attach.FlushesContexts(),
        "fenced": attach_fenced.FencedAttach(),
        "v2": attach_reviewed.ReviewedAttach(),
    },
    "tables": {
        "per-page": tables.PerPage(),
        "released": tables.Released(),
        "freed-at-once": tables.TablesFreedAtOnce(),
        "root-at-attach": tables.RootAtAttach(),
        "cpu-mode": tables.CpuMode(),
        "inverted-test": tables.InvertedTest(),
        "generic": Generic(),
        "generic-kept": tables_kept.KeptTables(),
        "v2": tables.ReviewedTables(),
        "v2-as-posted": tables.AsPosted(),
    },
    "invalidate": {
        "per-iommu": invalidate.PerIommu(),
        "no-barrier": invalidate.NoBarrier(),
        "per-device": invalidate.PerDevice(),
        "short-fence": invalidate.ShortFence(),
        "with-freelist": invalidate.WithFreelist(),
        "with-freelist-no-barrier": invalidate.WithFreelistNoBarrier(),
        "ranges": invalidate_ranges.Ranges(),
        "ranges-kept": invalidate_kept.KeepsPages(),
        "v2": invalidate.ReviewedInvalidate(),
    },
    "queue": {
        "tickets": queue.Tickets(),
        "no-mmiowb": queue.NoMmiowb(),
        "no-dma-wmb": queue.NoCommandDmaWmb(),
        "stop-on-error": queue.StopOnError(),
        "locked": queue_locked.LockedQueue(),
        "checked": queue_locked.CheckedQueue(),
        "v2": queue.ReviewedQueue(),
    },
    "capable": {
        "none": capable.NONE,
        "deferred-flush": capable.DEFERRED_FLUSH,
        "coherent+deferred": capable.COHERENT,
    },
    "bringup": {
        "hands-over": bringup.HandsOver(),
        "no-hand-over": bringup.NoHandOver(),
        "root-not-probed": bringup.RootNotProbed(),
        "ppn-shifted-twice": bringup.PpnShiftedTwice(),
        "v2": bringup.ReviewedBringup(),
    },
    "interrupts": {
        "prints-and-clears": interrupts.PrintsAndClears(),
        "repairs": interrupts.Repairs(),
        "v2": interrupts.ReviewedInterrupts(),
    },
    "groups": {
        "mutex": GroupMutex(),
    },
}
"""Every named policy: axis, then name. Each keeps the contract of its axis (`axes.CONTRACTS`)."""


def _row(**names: str) -> dict[str, str]:
    return names


ROWS: Mapping[str, Mapping[str, str]] = {
    "merged": (
        merged := _row(
            pscid="shared",
            bonds="grouped",
            attach="bond-first",
            tables="per-page",
            invalidate="per-iommu",
            queue="tickets",
            capable="none",
            bringup="hands-over",
            interrupts="prints-and-clears",
            groups="mutex",
        )
    ),
    "v2": (
        v2 := _row(
            pscid="tables-first",
            bonds="v2",
            attach="v2",
            tables="v2",
            invalidate="v2",
            queue="v2",
            capable="none",
            bringup="v2",
            interrupts="v2",
            groups="mutex",
        )
    ),
    "v2-as-posted": v2 | {"tables": "v2-as-posted"},
    "current": (
        current := merged
        | {
            "attach": "flushes-contexts",
            "tables": "generic",
            "invalidate": "with-freelist",
            "queue": "stop-on-error",
            "capable": "deferred-flush",
        }
    ),
    "latest": (latest := current | {"invalidate": "ranges", "queue": "locked"}),
    "ideal": latest
    | {
        "pscid": "by-bond",
        "bonds": "counted",
        "attach": "fenced",
        "tables": "generic-kept",
        "invalidate": "ranges-kept",
        "queue": "checked",
    },
}
"""`merged`: Linux 6.13 with 6.14's queue reset and shutdown; `current`: Linux 7.1; `latest`: Linux 7.2; `v2`: the
reviewed patch, unmap repaired; `v2-as-posted`: unmap as it was; `ideal`: what the review asked for, and no more trust
in fences and in the order of commands than the specification gives reason for."""

NEEDS: Mapping[tuple[str, str], Mapping[str, str]] = {
    ("pscid", "by-bond"): {"bonds": "counted", "attach": "fenced"},
    ("attach", "fenced"): {"pscid": "by-bond", "bonds": "counted"},
}
"""Policies that work only beside certain policies of other axes, or what derives from them."""

REFERENCE = "merged"
"""The row from which the others are told, and that a single policy of a user's own is put into."""
