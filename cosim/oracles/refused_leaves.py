"""Which leaves an IOMMU refuses the devices of a domain: by its capabilities, and by the contexts that lead there."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final, NamedTuple

from cosim.events.domains import SeenLeaf
from cosim.oracles.tags import Tags
from cosim.spec.bits import ONES
from cosim.spec.pagetable import NON_LEAF_RESERVED, SV57, Pte
from cosim.spec.registers import Capabilities
from cosim.spec.translation import Tc

KEPT: Final = tuple(
    ONES & ~Pte.ppn.mask | (1 << max(SV57.index_bits * level, 4)) - 1 << Pte.ppn.shift for level in range(SV57.levels)
)
"""The bits of a leaf of each level that say anything of its validity: of its address the lowest, which may encode."""


class Reader(NamedTuple):
    """As whom a device reads a page table: through which IOMMU, and whether that sets A and D itself."""

    iommu: str
    capabilities: Capabilities
    updates: bool


def readers(tags: Tags, domain: str, capabilities: Mapping[str, Capabilities]) -> list[Reader]:
    """The readers of a domain's table, each once, by contexts that are valid in memory; of IOMMUs that are known."""
    found: dict[Reader, None] = {}
    for key in sorted(tags.of.get(domain, ())):
        iommu, holder = key[0], tags.tags[key].holder(domain)
        known = capabilities.get(iommu)
        if known is None or holder is None:
            continue
        for device_id in holder.users:
            context = tags.contexts[iommu, device_id]
            if context.holder is holder:
                updates = known.amo_hwad and Tc.sade.get(context.words["tc"])
                found[Reader(iommu, known, bool(updates))] = None
    return list(found)


def refusal(reader: Reader, leaf: SeenLeaf, *, write: bool) -> str:
    """In words, why a device is refused a page by its leaf, which has the permission; "" if it is not."""
    return _refusal(leaf.pte & KEPT[leaf.level], leaf.level, leaf.above, reader.capabilities, reader.updates, write)


@lru_cache(maxsize=4096)
def _refusal(pte: int, level: int, above: int, capabilities: Capabilities, updates: bool, write: bool) -> str:
    if pointers := above & (NON_LEAF_RESERVED | Pte.reserved(capabilities)):
        return f"an entry that leads to its leaf has reserved bits, {pointers:#x}"
    # Entries of a level are alike in Sv39, Sv48 and Sv57.
    if flaw := SV57.flaw(Pte(pte), level, capabilities):
        return f"its leaf {flaw}"
    if not updates and not pte & Pte.a.mask:
        return "its leaf has A=0, which the IOMMU does not set"
    if not updates and write and not pte & Pte.d.mask:
        return "its leaf has D=0, which the IOMMU does not set"
    return ""
