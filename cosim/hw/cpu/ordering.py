"""Memory models as data: which orderings a hart keeps (RISC-V Unprivileged: RVWMO, Ztso; sequential consistency)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_FENCES = frozenset(a + b for a in "iorw" for b in "iorw")


@dataclass(frozen=True, slots=True)
class Rules:
    """The orderings that a hart keeps. Every field is one rule, and a model without it allows what it forbids.

    A hart issues in order and blocks on its loads, so that whatever follows a load (by a fence r,w, a control, address
    or data dependency of a store, an acquire) and takes hold later is ordered behind it without a rule.
    """

    buffer: bool = True
    """Stores wait in a buffer while the hart goes on; without it everything waits for its predecessor."""
    past: bool = True
    """Loads may return past states of memory."""
    total_order: bool = False
    """Ztso: loads in order, stores in order, atomics behind and before everything, all in main memory."""

    stores_overlap: bool = True
    """PPO 1: stores to overlapping addresses take hold in order."""
    loads_coherent: bool = True
    """PPO 2: a load is not older than what this hart has read there before."""
    loads_follow_stores: bool = True
    """A load is not older than this hart's own latest store there, be it in the buffer or in memory."""
    atomic_result: bool = True
    """PPO 3: a load that returns the value of this hart's own atomic does so no earlier than the atomic."""
    fences: frozenset[str] = _FENCES
    """PPO 4: the pairs of a predecessor and a successor, such as ``wr``, that FENCE orders."""
    fence_tso: frozenset[str] = frozenset({"rr", "ww"})
    """PPO 4: the pairs that FENCE.TSO orders, besides ``rw``."""
    load_acquire: bool = True
    """PPO 5: what follows a load with acquire is no earlier than it."""
    atomic_acquire: bool = True
    """PPO 5: what follows an atomic with acquire is no earlier than it."""
    store_release: bool = True
    """PPO 6: a store with release takes hold behind all earlier stores."""
    atomic_release: bool = True
    """PPO 6: an atomic with release takes hold behind all earlier stores."""
    address: bool = True
    """PPO 9: a load is no earlier than the loads that its address comes from."""
    forwarded_address: bool = True
    """PPO 12: a load that returns a buffered store's value is no earlier than the source of that store's address."""
    forwarded_data: bool = True
    """PPO 12: nor than the source of its data."""
    device_in_order: bool = True
    """Accesses of one hart to one device's registers take hold in order (strongly ordered I/O region)."""


MODELS: Mapping[str, Rules] = {
    "sequential": Rules(buffer=False, past=False),
    "tso": Rules(total_order=True),
    "rvwmo": Rules(),
}
"""The models by their names in a topology."""
