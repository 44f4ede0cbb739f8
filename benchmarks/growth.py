"""How the cost of a request grows with what there is, in bare SimPy timeouts: `make bench`.

Masters and IOMMUs, requests under way, and the reads of a walk. Where a thing is varied all else is as in the row *hit*
or *miss* of `bench.py`; what watches is told by `oracles.py --each`, and devices at boot by docs/performance.md.
"""

from __future__ import annotations

import argparse
from typing import Any

from bench import MASTERS, measure

from cosim import compiled
from cosim.spec.pagetable import SV39, SV48, SV57

DEVICES = 4096


def cases() -> list[tuple[str, int, int, int, dict[str, Any]]]:
    """Name, masters, percentage of misses, at least so many transactions, and what else the rig is told."""
    alone = {"outstanding": 1, "nonleaf_entries": 0}
    return [
        *((f"hit, {masters} masters", masters, 0, 0, {}) for masters in MASTERS),
        *(
            (f"hit, {DEVICES:,} masters behind {iommus} IOMMUs", DEVICES, 0, 16 * DEVICES, {"iommus": iommus})
            for iommus in (1, 16, 64)
        ),
        *((f"hit, 8 masters, {slots} under way each", 8, 0, 0, {"outstanding": slots}) for slots in (1, 4, 16, 64)),
        *(
            (f"miss of {scheme.levels} reads ({scheme.name}), alone", 1, 100, 0, {"scheme": scheme, **alone})
            for scheme in (SV39, SV48, SV57)
        ),
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--transactions", type=int, default=8000, help="in each measurement, at least (%(default)s)")
    parser.add_argument("--repetitions", type=int, default=3, help="of which the cheapest counts (%(default)s)")
    asked = parser.parse_args()
    print(f"timeouts: how many bare SimPy timeouts a request costs, {'compiled' if compiled.runs() else 'interpreted'}")
    print(f"{'':38} timeouts events")
    for name, masters, misses, least, rig in cases():
        cost = measure("agenda", masters, misses, max(asked.transactions, least), asked.repetitions, **rig)
        print(f"{name:38} {cost.timeouts:8.1f} {cost.events:6.1f}", flush=True)


if __name__ == "__main__":
    main()
