"""Discrete-event co-simulation of the RISC-V IOMMU, its DMA masters and its Linux driver.

``cosim.load`` reads a topology, ``cosim.run`` runs it; both take what the command line takes.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as in `typing`, whose import the command line would wait for
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path
    from typing import Any

    from cosim.study.run.result import Result
    from cosim.system.topology import Topology

__all__ = ["load", "run"]


def load(topology: str | Path | Topology, **changes: Any) -> Topology:
    """The topology of a file, or of one that comes with cosim (``"quickstart"``).

    `changes` are those of `cosim.system.load.load`: ``overlays``, ``set``, ``driver``, ``seed``, ``until``. Raises
    `cosim.config.problems.TopologyError`, which names everything that is wrong, with its place.
    """
    from cosim.system.load import load as load_topology

    return load_topology(topology, **changes)


def run(
    topology: str | Path | Topology,
    *,
    set: Mapping[str, object] | None = None,
    overlays: Iterable[str | Path] = (),
    driver: str | None = None,
    seed: int | None = None,
    until: str | None = None,
    schedule: Iterable[str] = (),
    progress: bool = False,
) -> Result:
    """Run a topology, changed as said, and return its `Result`; equal arguments give equal results in any process.

    `set` maps paths to values (``{"iommu0.geometry.iotlb_entries": 64}``; globs work). Arguments and results can be
    pickled, so that a sweep is a loop or a process pool.
    """
    from pathlib import Path as FilePath

    from cosim.study.run.run import Point, command_line
    from cosim.study.run.run import run as simulate

    changed = load(topology, set=set, overlays=overlays, driver=driver, seed=seed, until=until)
    name = FilePath(topology).stem if isinstance(topology, str | FilePath) else ""
    chosen = tuple(schedule)
    sets = [f"{path}={value}" for path, value in (set or {}).items()]
    command = command_line(
        topology, sets=sets, overlays=overlays, driver=driver, seed=seed, until=until, schedule=chosen
    )
    point = Point(
        changed,
        name=name or "topology",
        schedule=chosen,
        command=command if name else "",
    )
    return simulate(point, progress=progress)
