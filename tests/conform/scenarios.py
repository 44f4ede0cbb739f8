"""The conformance scenarios that the tests replay.

All but the group `spec_text` were recorded from the specification's reference model (riscv-non-isa/riscv-iommu,
iommu_ref_model, commit 14fd391); `spec_text` is a reading of the text where that model departs from it.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

from cosim.study.conform.json_lines import lines
from cosim.study.conform.vectors import Scenario, parse

FILE = Path(__file__).parent / "data" / "vectors.jsonl.gz"

GROUPS = (
    *("regs_reset", "regs_warl", "ddtp_modes", "ddt_faults", "dc_misconfig", "s1_walk", "perms", "ad_bits"),
    *("cmd", "iofence", "fq", "interrupts", "gxl", "txn_type", "caching", "pbmt", "endian"),
    *("random_walk", "random_fault", "random_inval", "spec_text"),
)


@cache
def _lines() -> dict[str, list[tuple[int, str]]]:
    found: dict[str, list[tuple[int, str]]] = {group: [] for group in GROUPS}
    for n, text in lines(FILE):
        group = re.search('"group":"([^"]*)"', text)
        assert group is not None
        found[group[1]].append((n, text))
    return found


def scenarios(group: str, count: int | None = None) -> list[Scenario]:
    """The scenarios of a group, or about `count` of them, spread evenly."""
    members = _lines()[group]
    return [parse(json.loads(text)) for _, text in members[:: max(1, len(members) // (count or len(members)))]]
