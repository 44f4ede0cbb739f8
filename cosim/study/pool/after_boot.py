"""What of a topology takes effect after boot: points that differ in nothing else share their boot."""

from __future__ import annotations

from collections.abc import Mapping

from cosim.system.topology import Topology

NOT_ASKED: Mapping[str, object] = {"seed": 0, "until": 1, "limit": 1, "warmup": 0, "hold": 1}
"""Fields of `run` that boot does not ask for, and values that all of them have in a key.

Of the seed it is seen in the process that has booted whether boot has drawn anything. Where times count from reset, the
window may open in boot, and the rest is not as it would have been.
"""
PATHS = (*(f"run.{name}" for name in NOT_ASKED), "stalls")
"""The paths that begin so can differ between points that share their boot, where times count from its end."""


def boot_key(topology: Topology) -> str:
    """Equal for topologies that boot alike, but perhaps for the seed."""
    from_boot = topology.run.origin == "boot"
    run = topology.run.model_copy(update=NOT_ASKED if from_boot else {"seed": 0})
    return topology.model_copy(update={"run": run, **({"stalls": ()} if from_boot else {})}).model_dump_json()


def takes_effect_later(path: str) -> bool:
    """Whether what an axis changes takes effect after boot."""
    return any(path == each or path.startswith(f"{each}.") for each in PATHS)
