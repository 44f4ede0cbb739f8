"""Named parts of a model."""

from __future__ import annotations

from mypy_extensions import mypyc_attr

from cosim.sim.simulation import Sim


@mypyc_attr(allow_interpreted_subclasses=True)
class Component:
    """A named part of the modelled system, created complete: partners are constructor arguments.

    `path` is its place in the topology, such as ``iommu0.iotlb``; seeds and names of actions derive from it.
    """

    def __init__(self, sim: Sim, path: str) -> None:
        self.sim = sim
        self.path = path

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.path}>"
