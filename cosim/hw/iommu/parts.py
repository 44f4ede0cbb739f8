"""Of which classes an IOMMU is made: the straight ones, or what stands in their place by a latitude or a defect.

The straight classes read as the specification. Whatever departs from them is a class of its own, and a row here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from cosim.hw.iommu.command_defects import EarlyFence, KeepsContexts, LosesInvalidation
from cosim.hw.iommu.command_order import InOrder, OutOfOrder, OutOfOrderAsExplored
from cosim.hw.iommu.commands import CommandQueue, TranslationSide
from cosim.hw.iommu.fault_buffer import FaultBuffer, LosingBuffer
from cosim.hw.iommu.fault_queue import FaultQueue
from cosim.hw.iommu.options import IommuOptions
from cosim.hw.iommu.translate.directory import Directory, Registers
from cosim.hw.iommu.translate.eviction import EvictingDirectory, EvictingIotlb, Eviction, EvictionAsExplored
from cosim.hw.iommu.translate.iotlb import Iotlb
from cosim.hw.iommu.translate.iotlb_defects import PermitsAll, ShortTags
from cosim.hw.iommu.translate.overtaking import FillsStale, GoesOn, GoesOnAsExplored, StartsAgain
from cosim.hw.iommu.translate.page_table import PageTable
from cosim.hw.iommu.translate.pointers import KeepsPointers, Pointers
from cosim.hw.iommu.translate.resolve import CachesInvalid, Resolver
from cosim.hw.iommu.translate.widening import AsNamed, Widened, WidenedAsExplored

if TYPE_CHECKING:
    from cosim.sim.simulation import Sim

Caches = Callable[["Sim", str, IommuOptions, Registers, Mapping[str, PageTable]], tuple[Iotlb, Directory]]


def keeping(
    sim: Sim, path: str, options: IommuOptions, registers: Registers, tables: Mapping[str, PageTable]
) -> tuple[Iotlb, Directory]:
    """Caches that keep what they have room for."""
    return Iotlb(sim, path, options), Directory(sim, path, options, registers, tables)


def with_iotlb(kind: Callable[[Sim, str, IommuOptions], Iotlb]) -> Caches:
    """Caches of which the IOTLB is another one."""

    def make(
        sim: Sim, path: str, options: IommuOptions, registers: Registers, tables: Mapping[str, PageTable]
    ) -> tuple[Iotlb, Directory]:
        return kind(sim, path, options), Directory(sim, path, options, registers, tables)

    return make


def evicting(kind: type[Eviction]) -> Caches:
    """Caches that lose entries at will, as `kind` says."""

    def make(
        sim: Sim, path: str, options: IommuOptions, registers: Registers, tables: Mapping[str, PageTable]
    ) -> tuple[Iotlb, Directory]:
        eviction = kind(sim, path)
        directory = EvictingDirectory(sim, path, options, registers, tables, eviction)
        return EvictingIotlb(sim, path, options, eviction), directory

    return make


@dataclass(frozen=True, slots=True)
class Parts:
    """The classes, or what makes their objects; by default the straight ones."""

    caches: Caches = keeping
    pointers: type[Pointers] = Pointers
    resolver: type[Resolver] = Resolver
    overtaking: type[StartsAgain] = StartsAgain
    widening: type[AsNamed] = AsNamed
    commands: type[CommandQueue] = CommandQueue
    commanded: Callable[[TranslationSide], TranslationSide] = lambda translation: translation
    """What stands between the command queue and the translation."""
    order: type[InOrder] = InOrder
    fault_buffer: Callable[[FaultQueue, int], FaultBuffer] = FaultBuffer


LATITUDE: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "out_of_order": {"on": {"order": OutOfOrder}, "explore": {"order": OutOfOrderAsExplored}},
    "walk_across_invalidation": {"on": {"overtaking": GoesOn}, "explore": {"overtaking": GoesOnAsExplored}},
    "evict": {"on": {"caches": evicting(Eviction)}, "explore": {"caches": evicting(EvictionAsExplored)}},
    "invalidate_more": {"on": {"widening": Widened}, "explore": {"widening": WidenedAsExplored}},
}
"""What each setting of each option of `LatitudeOptions` puts in the place of what."""

DEFECTS: Mapping[str, Callable[[Any], Mapping[str, Any]]] = {
    "cache_invalid": lambda _: {"resolver": CachesInvalid},
    "lose_invalidation": lambda number: {"commanded": partial(LosesInvalidation, number=number)},
    "early_fence": lambda _: {"commands": EarlyFence},
    "stale_fill": lambda _: {"overtaking": FillsStale},
    "keep_nonleaf": lambda _: {"pointers": KeepsPointers},
    "keep_context": lambda _: {"commanded": KeepsContexts},
    "pscid_bits": lambda bits: {"caches": with_iotlb(partial(ShortTags, bits=bits))},
    "skip_permissions": lambda _: {"caches": with_iotlb(PermitsAll)},
    "lose_buffered": lambda lose_ps: {"fault_buffer": partial(LosingBuffer, lose_ps=lose_ps)},
}
"""What each option of `DefectOptions` that is on (with this value) puts in the place of what; defects come last."""


Departure = tuple[str, str]
"""The group and the name of an option that puts something in the place of something."""


def parts_of(options: IommuOptions) -> Parts:
    """What an IOMMU with these options is made of."""
    chosen: dict[str, Any] = {}
    for _, parts in _departures(options):
        chosen |= parts
    return replace(Parts(), **chosen)


def shadowed(options: IommuOptions) -> Iterator[tuple[Departure, Departure]]:
    """Each option without effect, since a later one is for the same part, and that one."""
    taken: dict[str, Departure] = {}
    for departure, parts in _departures(options):
        yield from ((taken[part], departure) for part in parts if part in taken)
        taken |= dict.fromkeys(parts, departure)


def _departures(options: IommuOptions) -> Iterator[tuple[Departure, Mapping[str, Any]]]:
    for name, settings in LATITUDE.items():
        if parts := settings.get(getattr(options.latitude, name)):
            yield ("latitude", name), parts
    for name, of in DEFECTS.items():
        if value := getattr(options.defects, name):
            yield ("defects", name), of(value)
