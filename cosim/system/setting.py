"""What the rows of `effects` ask of a topology, and what a row is."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple

from cosim.config.problems import Path
from cosim.sw.driver.compiled import paths_of
from cosim.sw.driver.own import VariantError
from cosim.sw.driver.policies.tables import PerPage
from cosim.sw.driver.policies.tables_generic import Generic
from cosim.sw.driver.variants import variant
from cosim.sw.iommu_ops import IDENTITY
from cosim.sw.workloads.references import Role
from cosim.system.devices import matching, starts_in, untranslated
from cosim.system.topology import Topology


class Setting:
    """A topology, with what several rows ask of it."""

    def __init__(self, topology: Topology) -> None:
        self.topology = topology

    @cached_property
    def told(self) -> frozenset[str]:
        """The devices that threads tell of buffers."""
        devices = self.topology.devices()
        patterns = [pattern for _, thread in self.topology.workloads() for pattern in thread.tells()]
        return frozenset(name for pattern in dict.fromkeys(patterns) for name in matching(pattern, devices))

    @cached_property
    def driven(self) -> frozenset[str]:
        """The rings that threads drive."""
        return frozenset(name for role, name in self._named if role is Role.RING)

    @cached_property
    def untranslated(self) -> frozenset[str]:
        """The names that stand for the DMA API without translation."""
        return untranslated(self.topology) | {IDENTITY}

    @cached_property
    def maps_untranslated(self) -> bool:
        """Whether a thread uses the DMA API without translation."""
        return any(name in self.untranslated for role, name in self._named if role in (Role.DMA_DOMAIN, Role.RING))

    @cached_property
    def has_iovas(self) -> bool:
        """Whether there is a paging domain, in which the DMA API gives out IOVAs."""
        begins = {*starts_in(self.topology).values(), *self.topology.domains}
        return bool(begins - {IDENTITY}) or any(
            thread.does == "domain-cycle" for _, thread in self.topology.workloads()
        )

    @property
    def compiled(self) -> bool:
        """Whether the driver is one that a kernel's tree has compiled, and no row of policies."""
        return bool(paths_of(self.topology.driver.variant))

    @cached_property
    def is_lazy(self) -> bool:
        """Whether a thread asks for unmaps that wait for a common flush."""
        return any(getattr(thread, "mode", "strict") == "lazy" for _, thread in self.topology.workloads())

    @cached_property
    def makes_napot(self) -> bool:
        """Whether the driver makes pages of 64 KiB; one whose tables are not known may."""
        driver = self.topology.driver
        try:
            tables = variant(driver.variant, driver.cells).tables
        except VariantError:
            return True
        return isinstance(tables, Generic) or not isinstance(tables, PerPage)

    @cached_property
    def _named(self) -> list[tuple[Role, str]]:
        return [
            (reference.role, reference.name)
            for _, thread in self.topology.workloads()
            for reference in thread.references()
        ]


class Place(NamedTuple):
    """A part, a thread or a section of the topology: its path, and its options."""

    setting: Setting
    path: Path
    options: Any

    @property
    def name(self) -> str:
        """The part's name."""
        return str(self.path[-1])


class Row(NamedTuple):
    """Fields of one kind of place that have no effect if `idle` holds there.

    `place` is a part's kind, what a thread does (`thread` for all), or a section. `because` are the options on which
    `idle` depends: paths from the place, or from the top if they begin with a slash. `says` is the rule, and the
    nearest right answer.
    """

    place: str
    fields: tuple[str, ...]
    idle: Callable[[Place], bool]
    because: tuple[str, ...]
    says: str | Callable[[Place], str]
