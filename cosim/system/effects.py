"""Options that have no effect because of another one: a table, of which each row names fields and what makes them idle.

Nothing that a file says is silently ignored. A field that differs from its default and is idle is an error at its line,
unless what makes it idle came later than the field itself: `-s nic0.traffic.pattern=none` silences a device whose file
gives it requests, and what is idle then is left out of the topology that runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from pydantic import BaseModel

from cosim.config.problems import Complaint, Path
from cosim.hw.dma.options import TrafficOptions
from cosim.hw.dma.patterns import PATTERNS
from cosim.hw.iommu.options import GeometryOptions
from cosim.system.setting import Place, Row, Setting
from cosim.system.thread_effects import THREADS
from cosim.system.topology import Topology
from cosim.units.run_end import AfterThreads


def _requests_of_none(place: Place) -> str:
    wanted = "use pattern: told" if place.name in place.setting.told else "use another, such as pattern: sequential"
    return f"has no effect, since a device of pattern: none never makes a request; {wanted}"


def _pattern(place: Place) -> str:
    pattern: str = place.options.traffic.pattern
    return pattern


def _untold(place: Place) -> bool:
    return _pattern(place) == "told" and place.name not in place.setting.told


def _undriven(place: Place) -> bool:
    return place.name not in place.setting.driven


def _heeding(field: str) -> str:
    return " or ".join(f"pattern: {name}" for name, pattern in PATTERNS.items() if field in pattern.heeds)


_BURSTS = ("burst_requests", "burst_on", "burst_off", "burst_times")
_REQUESTS = ("outstanding", "interval", "arrivals", "requests", "size", *_BURSTS)
_TRANSPORT = ("link", "bandwidth", "header", "posted")
_TRAFFIC = tuple(f"traffic.{name}" for name in TrafficOptions.model_fields if name != "pattern")
_HEEDED = sorted({field for pattern in PATTERNS.values() for field in pattern.heeds})


def _choices(geometry: GeometryOptions, cache: str) -> int:
    """Among how many entries the replacement of a cache chooses."""
    entries: int = getattr(geometry, f"{cache}_entries")
    ways: int = getattr(geometry, f"{cache}_ways", 0)
    return min(ways or entries, entries)


def _has_no_plru(place: Place) -> bool:
    geometry: GeometryOptions = place.options.geometry
    return not any(
        getattr(geometry, f"{cache}_replacement") == "plru" and _choices(geometry, cache) > 1
        for cache in ("iotlb", "ddtc", "nonleaf")
    )


def _cache(cache: str, entries: str, fields: tuple[str, ...]) -> Row:
    return Row(
        "iommu",
        tuple(f"{group}.{name}" for group, name in (field.split(".") for field in fields)),
        lambda place: not getattr(place.options.geometry, entries),
        (f"geometry.{entries}",),
        f"has no effect, since {entries} is 0 and there is no {cache}; raise geometry.{entries}",
    )


def _one_way(cache: str) -> Row:
    ways = f"{cache}_ways"
    because = (f"geometry.{cache}_entries",) + ((f"geometry.{ways}",) if ways in GeometryOptions.model_fields else ())
    return Row(
        "iommu",
        (f"geometry.{cache}_replacement",),
        lambda place: _choices(place.options.geometry, cache) == 1,
        because,
        f"has no effect, since a set of {cache}_entries has one entry and leaves no choice; leave it out or give more",
    )


TABLE: tuple[Row, ...] = (
    # --- Devices -------------------------------------------------------------------------------------------------
    Row(
        "dma",
        (*_TRAFFIC, *_TRANSPORT),
        lambda place: _pattern(place) == "none",
        ("traffic.pattern",),
        _requests_of_none,
    ),
    Row(
        "dma",
        ("traffic.window", "traffic.page", "traffic.node", "traffic.start"),
        lambda place: _pattern(place) == "told",
        ("traffic.pattern",),
        "has no effect with pattern: told, since threads tell the device of buffers, and when; set `pages`, `start` or "
        "`gap` of the thread",
    ),
    Row(
        "dma",
        (*_TRAFFIC, *_TRANSPORT),
        _untold,
        ("traffic.pattern", "/threads", "/prepare"),
        "has no effect, since no thread tells the device of a buffer; name it as the `device` of a map-unmap thread or "
        "of a step `does: tell`, or use another pattern, such as sequential",
    ),
    *(
        Row(
            "dma",
            (f"traffic.{field}",),
            lambda place, field=field: field not in PATTERNS[_pattern(place)].heeds,  # type: ignore[misc]
            ("traffic.pattern",),
            lambda place, field=field: f"has no effect with pattern: {_pattern(place)}; use {_heeding(field)}",  # type: ignore[misc]
        )
        for field in _HEEDED
    ),
    Row(
        "dma",
        ("traffic.arrivals",),
        lambda place: place.options.traffic.interval is None,
        ("traffic.interval",),
        "has no effect without an interval; give one, such as `interval: 1 us`",
    ),
    Row(
        "dma",
        tuple(f"traffic.{name}" for name in ("size", "sizes", "read", "interval", "arrivals", *_BURSTS)),
        lambda place: _pattern(place) == "replay",
        ("traffic.pattern",),
        "has no effect with pattern: replay, since the recording says where requests go, how large they are and when "
        "they come; leave it out",
    ),
    Row(
        "dma",
        ("traffic.size",),
        lambda place: bool(place.options.traffic.sizes),
        ("traffic.sizes",),
        "has no effect, since `sizes` says how large requests are; leave it out",
    ),
    Row(
        "dma",
        ("traffic.burst_times",),
        lambda place: place.options.traffic.burst_off is None,
        ("traffic.burst_off",),
        "has no effect, since there are no bursts; give burst_off, and burst_on or burst_requests",
    ),
    Row(
        "ring",
        ("burst_times",),
        lambda place: place.options.burst_off is None,
        ("burst_off",),
        "has no effect, since there are no bursts; give burst_off, and burst_on or burst_requests",
    ),
    Row(
        "ring",
        (*_REQUESTS, *_TRANSPORT),
        _undriven,
        ("/threads", "/prepare"),
        "has no effect, since no thread drives the ring; name it as the `device` of a receive-ring thread",
    ),
    Row(
        "ring",
        ("arrivals", *_BURSTS),
        lambda place: place.options.interval is None,
        ("interval",),
        "has no effect without an interval; give one, such as `interval: 1 us`",
    ),
    *(
        Row(
            kind,
            ("header",),
            lambda place: place.options.bandwidth is None,
            ("bandwidth",),
            "has no effect on a link of unlimited bandwidth; give one, such as `bandwidth: 16 GB/s`",
        )
        for kind in ("dma", "ring")
    ),
    *(
        Row(
            kind,
            ("device_id",),
            lambda place: place.options.direct,
            ("direct", "through"),
            "has no effect on a device that bypasses every IOMMU; use `through:` or leave it out",
        )
        for kind in ("dma", "ring")
    ),
    # --- Memories and CPUs ---------------------------------------------------------------------------------------
    Row(
        "memory",
        ("node",),
        lambda place: place.options.reserved,
        ("reserved",),
        "has no effect, since no page is given out of a reserved memory; leave it out",
    ),
    Row(
        "memory",
        ("cache_latency",),
        lambda place: not place.options.cache_lines,
        ("cache_lines",),
        "has no effect, since cache_lines is 0 and there is no cache; raise cache_lines",
    ),
    Row(
        "memory",
        ("remote",),
        lambda place: all(
            iommu.node == place.options.node for iommu in place.setting.topology.of_kind("iommu").values()
        ),
        ("node", "/parts"),
        "has no effect, since no IOMMU is of another node; set its `node`",
    ),
    Row(
        "cpu",
        ("history",),
        lambda place: place.options.memory_model != "rvwmo",
        ("memory_model",),
        "has no effect, since only under rvwmo past states can be read; use memory_model: rvwmo",
    ),
    Row(
        "cpu",
        ("timing.drain",),
        lambda place: place.options.memory_model == "sequential",
        ("memory_model",),
        "has no effect, since a sequential hart buffers no store; use memory_model: rvwmo or tso",
    ),
    # --- IOMMUs --------------------------------------------------------------------------------------------------
    _cache(
        "IOTLB",
        "iotlb_entries",
        (
            *(f"geometry.iotlb_{what}" for what in ("ways", "replacement", "allocation", "napot")),
            "timing.fill",
        ),
    ),
    _cache(
        "context cache",
        "ddtc_entries",
        ("geometry.ddtc_ways", "geometry.ddtc_replacement", "timing.context_fill"),
    ),
    _cache("cache of non-leaf entries", "nonleaf_entries", ("geometry.nonleaf_replacement",)),
    *(_one_way(cache) for cache in ("iotlb", "ddtc", "nonleaf")),
    Row(
        "iommu",
        ("geometry.plru_free_first",),
        _has_no_plru,
        tuple(
            f"geometry.{cache}_{what}" for cache in ("iotlb", "ddtc", "nonleaf") for what in ("entries", "replacement")
        ),
        "has no effect, since no cache is replaced by plru; use iotlb_replacement: plru, or ddtc's or nonleaf's",
    ),
    Row(
        "iommu",
        ("geometry.iotlb_napot",),
        lambda place: not place.setting.makes_napot,
        ("/driver",),
        "has no effect, since the driver makes no page of 64 KiB; use driver: current",
    ),
    Row(
        "iommu",
        ("timing.interrupt",),
        lambda place: place.options.capabilities.igs == "msi",
        ("capabilities.igs",),
        "has no effect, since this IOMMU has no wires; use igs: wsi",
    ),
    Row(
        "iommu",
        ("defects.lose_buffered",),
        lambda place: not place.options.geometry.fault_buffer,
        ("geometry.fault_buffer",),
        "has no effect, since no fault is buffered; raise geometry.fault_buffer",
    ),
    *THREADS,
    # --- The kernel ----------------------------------------------------------------------------------------------
    Row(
        "kernel",
        ("dma_direct_cost",),
        lambda place: not place.setting.maps_untranslated,
        ("/threads", "/prepare", "/parts", "/domains"),
        "has no effect, since no thread maps a buffer where nothing translates; use a map-unmap thread in identity",
    ),
    Row(
        "iova",
        ("magazine", "trim", "cache_cost"),
        lambda place: not place.options.classes,
        ("classes",),
        "has no effect, since no size is cached; raise iova.classes",
    ),
    Row(
        "iova",
        ("magazine", "classes", "prefer_32bit", "trim", "cache_cost", "search_cost", "align"),
        lambda place: not place.setting.has_iovas,
        ("/threads", "/prepare", "/parts", "/domains"),
        "has no effect, since there is no paging domain and no IOVA is given out; put a device behind an iommu",
    ),
    Row(
        "costs",
        ("instruction",),
        lambda place: not place.setting.compiled,
        ("/driver",),
        "has no effect, since a driver of policies has no instructions; set other costs, or use driver: object:PATH",
    ),
    Row(
        "iova",
        ("flush_entries", "flush_timeout"),
        lambda place: not place.setting.is_lazy,
        ("/threads", "/prepare", "/driver"),
        "has no effect, since no unmap waits for a flush; give a thread `mode: lazy`",
    ),
    # --- The run -------------------------------------------------------------------------------------------------
    Row(
        "run",
        ("limit",),
        lambda place: not isinstance(place.options.until, AfterThreads),
        ("until",),
        "has no effect, since the run ends at a time; use until: threads, or leave it out",
    ),
    Row(
        "expect",
        ("threads", "calls"),
        lambda place: not place.setting.topology.threads,
        ("/threads",),
        "expects nothing, since there are no `threads`; give some, or leave it out",
    ),
)
"""Everything that can be idle because of another option."""


def ineffective(topology: Topology) -> Iterator[Complaint]:
    """Every field that is set to other than its default and has no effect, with what makes it so."""
    setting = Setting(topology)
    found: set[Path] = set()
    for place, kinds in _places(setting):
        given = {".".join(path): (*place.path, *path) for path in _given(place.options)}
        for row in _rows(kinds):
            said = [path for field in row.fields if (path := given.get(field)) and path not in found]
            if said and row.idle(place):
                message = row.says if isinstance(row.says, str) else row.says(place)
                because = tuple(
                    tuple(one[1:].split(".")) if one[0] == "/" else (*place.path, *one.split("."))
                    for one in row.because
                )
                found.update(said)
                yield from (Complaint(path, message, because) for path in said)


@cache
def _rows(kinds: tuple[str, ...]) -> Sequence[Row]:
    return [row for row in TABLE if row.place in kinds]


def _places(setting: Setting) -> Iterator[tuple[Place, tuple[str, ...]]]:
    topology = setting.topology
    for name, part in topology.parts.items():
        yield Place(setting, ("parts", name), part), (part.kind,)
    for path, thread in topology.workloads():
        yield Place(setting, path, thread), ("thread", thread.does)
    names = ("kernel", "iova", "costs", "run", "expect")
    sections: Mapping[str, BaseModel | None] = {name: getattr(topology, name) for name in names}
    for name, options in sections.items():
        if options is None:
            continue
        yield Place(setting, (name,), options), (name,)


def _given(options: BaseModel, groups: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The paths of the fields that were given a value which is not their default, also of those within groups."""
    for name in options.model_fields_set & type(options).model_fields.keys():
        value = getattr(options, name)
        if value != _default(type(options), name):
            yield (*groups, name)
        if isinstance(value, BaseModel):
            yield from _given(value, (*groups, name))


@cache
def _default(options: type[BaseModel], name: str) -> Any:
    return options.model_fields[name].get_default(call_default_factory=True)
