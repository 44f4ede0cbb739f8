"""The rules of a topology that no single field can break: names that refer, ranges that meet, ids that must fit."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import combinations

from cosim.config.problems import Complaint, Path
from cosim.hw.dma.options import DeviceOptions, DmaOptions
from cosim.hw.iommu.in_memory_queue import error_names
from cosim.hw.iommu.options import IommuOptions
from cosim.hw.iommu.parts import shadowed
from cosim.hw.memory.options import MemoryOptions
from cosim.oracles import ORACLES, SEEN
from cosim.spec.pagetable import PAGE
from cosim.spec.register_map import FQT
from cosim.sw.iommu_ops import IDENTITY
from cosim.sw.kernel.buddy import MAX_ORDER
from cosim.sw.workloads import thread_paths
from cosim.sw.workloads.references import DOMAINS, Role
from cosim.system import hardwired_rules
from cosim.system.address_map import given
from cosim.system.device_rules import (
    device_ids_fit,
    recordings_fit,
    requests_take_time,
    what_is_plugged_in_was_not_there,
    windows_have_memory,
)
from cosim.system.devices import matching, patterns, starts_in, untranslated
from cosim.system.driver_rules import unknown_driver
from cosim.system.effects import ineffective
from cosim.system.explore_rules import what_is_explored_can_be
from cosim.system.number_names import Names
from cosim.system.preparation import (
    buffers,
    buffers_are_there_in_time,
    what_follows_has_something_before_it,
    what_is_waited_for_ends,
    what_prepares_ends,
)
from cosim.system.topology import Topology
from cosim.units.nearest import nearest
from cosim.units.quantities import format_size, format_time

Broken = tuple[Path, str]

LARGEST_BLOCK = PAGE << MAX_ORDER
"""Bytes of the largest block that the kernel gives out."""

EXAMPLES = {"cpu": "cpu0: {kind: cpu}", "memory": "dram0: {kind: memory, base: 0x8000_0000, size: 256 MiB}"}


def check(topology: Topology, unknown: Collection[str] = ()) -> list[Complaint]:
    """Every broken rule of `topology`, with the path of the value at fault.

    `unknown` names parts that are in the file but could not be understood; no rule complains about them again.
    """
    checker = _Checker(topology, frozenset(unknown))
    broken = [Complaint(path, message) for rule in RULES for path, message in rule(checker)]
    return [*broken, *([] if unknown else ineffective(topology))]


class _Checker:
    """A topology with the look-ups that several rules need."""

    def __init__(self, topology: Topology, unknown: frozenset[str]) -> None:
        self.topology = topology
        self.unknown = unknown
        self.memories: dict[str, MemoryOptions] = topology.of_kind("memory")
        self.cpus = topology.of_kind("cpu")
        self.iommus: dict[str, IommuOptions] = topology.of_kind("iommu")
        self.devices: Mapping[str, DeviceOptions] = topology.devices()

    def refers(self, path: Path, name: str, among: Collection[str], what: str) -> Iterator[Broken]:
        """`name` must be one of `among`."""
        if name in among or name in self.unknown:
            return
        if name in self.topology.parts:
            kind = self.topology.parts[name].kind
            yield path, f"{name} is of kind {kind}, not {what}; {nearest(name, among)}"
        else:
            yield path, f"{name} is not {what}; {nearest(name, among)}"


def _something_to_run_on(this: _Checker) -> Iterator[Broken]:
    if this.unknown:
        return
    for kind, parts in (("cpu", this.cpus), ("memory", this.memories)):
        if not parts:
            yield ("parts",), f"there is no part of kind {kind}, and one is needed, such as `{EXAMPLES[kind]}`"


def _parts_can_be_named(this: _Checker) -> Iterator[Broken]:
    """An override names what is in a part by the part's name, after which it goes on with a dot."""
    for name in this.topology.parts:
        if name in Topology.model_fields:
            yield ("parts", name), f"{name} is a section of the file, and no part's name; use another, such as {name}0"
        elif not re.fullmatch(r"[\w-]+", name):
            near = re.sub(r"[^\w-]+", "_", name).strip("_") or "part0"
            yield ("parts", name), f"a part's name is of letters, digits, _ and -; use another, such as {near}"


def _ranges_are_apart(this: _Checker) -> Iterator[Broken]:
    places = given(this.topology)
    for (one, _, base, size), (other, field, base2, size2) in combinations(places, 2):
        if base < base2 + size2 and base2 < base + size:
            yield (
                ("parts", other, field),
                f"{base2:#x}..{base2 + size2 - 1:#x} overlaps with {one} at {base:#x}..{base + size - 1:#x}",
            )
    for name, field, base, size in places:
        if base % PAGE or size % PAGE:
            yield ("parts", name, field), f"{base:#x} of {size:#x} bytes is not a whole number of 4 KiB pages"
        if (base + size - 1).bit_length() > 56:
            yield ("parts", name, field), f"{base + size - 1:#x} needs more than the 56 bits of a physical address"


def _memory_is_within_reach(this: _Checker) -> Iterator[Broken]:
    """Memory that is given out lies where each IOMMU with devices can name it."""
    used = dict.fromkeys(device.through for device in this.devices.values())
    for name, memory in this.memories.items():
        last = memory.base + memory.size - 1
        for path in used:
            if path in this.iommus and not memory.reserved and last >> (pas := this.iommus[path].capabilities.pas):
                field = "base" if memory.base >> pas else "size"
                yield (
                    ("parts", name, field),
                    f"{last:#x} needs more than the {pas} bits of a physical address of {path}; raise its "
                    f"capabilities.pas",
                )


def _devices_reach_an_iommu(this: _Checker) -> Iterator[Broken]:
    for name, device in this.devices.items():
        if device.through is not None:
            yield from this.refers(("parts", name, "through"), device.through, this.iommus, "an iommu")


def _devices_without_mappings_have_memory(this: _Checker) -> Iterator[Broken]:
    for name in sorted(untranslated(this.topology)):
        device = this.devices[name]
        if isinstance(device, DmaOptions) and device.traffic.mapped > LARGEST_BLOCK:
            where = "without an iommu" if device.direct else "in identity"
            yield (
                ("parts", name, "traffic", "window"),
                f"{where} a window is one block of memory, and none is larger than {format_size(LARGEST_BLOCK)}; this "
                f"one is {format_size(device.traffic.window)}",
            )


def _interrupts_reach_a_cpu(this: _Checker) -> Iterator[Broken]:
    for name, iommu in this.iommus.items():
        yield from this.refers(("parts", name, "interrupts_to"), iommu.interrupts_to, this.cpus, "a cpu")


def _driver_is_known(this: _Checker) -> Iterator[Broken]:
    yield from unknown_driver(this.topology.driver, ("driver",))


def _driver_finds_what_it_needs(this: _Checker) -> Iterator[Broken]:
    for name, iommu in this.iommus.items():
        capabilities = iommu.capabilities
        if not (capabilities.sv39 or capabilities.sv48 or capabilities.sv57):
            yield (
                ("parts", name, "capabilities"),
                "the driver needs a first stage of 64-bit entries, and this IOMMU has none of sv39, sv48, sv57",
            )


def _domains_are_used(this: _Checker) -> Iterator[Broken]:
    topology = this.topology
    owner: dict[str, str] = {}
    named = {
        reference.name
        for _, thread in topology.workloads()
        for reference in thread.references()
        if reference.role in DOMAINS
    }
    translated = [name for name, device in this.devices.items() if device.through is not None]
    for name, domain in topology.domains.items():
        for index, pattern in enumerate(patterns(domain.devices)):
            path: Path = ("domains", name, "devices")
            if not isinstance(domain.devices, str):
                path = (*path, index)
            found = matching(pattern, translated)
            if not found and not matching(pattern, this.unknown):
                if matching(pattern, this.devices):
                    yield path, f"{pattern} goes through no iommu, so it can be in no domain"
                elif "," in pattern:
                    several = ", ".join(part.strip() for part in pattern.split(","))
                    yield path, f"{pattern} matches no device; several are a list: [{several}]"
                else:
                    yield path, f"{pattern} matches no device; {nearest(pattern, translated)}"
            for device in found:
                if device in owner and owner[device] != name:
                    yield path, f"{device} is in the domain {owner[device]} already"
                owner.setdefault(device, name)
        if domain.alloc_for:
            path = ("domains", name, "alloc_for")
            yield from this.refers(path, domain.alloc_for, translated, "a device behind an iommu")
            if patterns(domain.devices):
                yield path, "a domain with `devices` is made for the first of them, or, with null, for none"
        if not patterns(domain.devices) and name not in named:
            yield ("domains", name), "no device and no thread uses this domain; name its `devices:`"
        if name in this.devices and patterns(domain.devices) != (name,):
            yield ("domains", name), f"{name} is a device, and its own domain has this name; call it something else"
    if IDENTITY in this.devices:
        yield ("parts", IDENTITY), "a domain has this name, which is there without being made; call it something else"


def _threads_name_what_there_is(this: _Checker) -> Iterator[Broken]:
    topology = this.topology
    begins = starts_in(topology)
    own = [name for name, begin in begins.items() if begin == name]
    paging = list(dict.fromkeys(name for name in [*topology.domains, *own] if name != IDENTITY))
    among: Mapping[Role, Collection[str]] = {
        Role.CPU: this.cpus,
        Role.IOMMU: this.iommus,
        Role.DEVICE: this.devices,
        Role.ATTACHABLE: begins,
        Role.RING: this.topology.of_kind("ring"),
        Role.DMA_DOMAIN: [*paging, *sorted(untranslated(topology)), IDENTITY],
        Role.PAGING_DOMAIN: paging,
        Role.ANY_DOMAIN: [*paging, IDENTITY],
        Role.BUFFER: {buffer: None for _, buffer in buffers(topology)},
        Role.THREAD: thread_paths(topology.threads),
    }
    for place, thread in topology.workloads():
        for field, name, role, several in thread.references():
            path: Path = (*place, field)
            if role is Role.NEW_BUFFER:
                continue
            matched = matching(name, among[role])
            if name in matched or (several and matched):
                continue
            if matched:
                yield path, f"{name} stands for several, and one is named here; name one of {', '.join(matched)}"
                continue
            if role is Role.PAGING_DOMAIN and name == IDENTITY:
                yield path, f"nothing is mapped in {name}; name a paging domain, such as a device's own"
            elif role in DOMAINS and name in begins:
                yield path, f"{name} has no domain of its own, since it begins in {begins[name]}"
            else:
                yield from this.refers(path, name, among[role], role.words)


def _departures_are_for_parts_of_their_own(this: _Checker) -> Iterator[Broken]:
    """Of two latitudes or defects that are for one part of an IOMMU, only one can be there."""
    for name, options in this.iommus.items():
        for (group, field), other in shadowed(options):
            why = f"has no effect beside {'.'.join(other)}, which is for the same part of the IOMMU; set one of them"
            yield ("parts", name, group, field), why


def _stalls_name_a_consumer(this: _Checker) -> Iterator[Broken]:
    consumers = [f"{name}.{what}" for name in this.iommus for what in ("commands", FQT.name)]
    for index, stall in enumerate(this.topology.stalls):
        path: Path = ("stalls", index)
        if stall.part.split(".")[0] not in this.unknown:
            yield from this.refers(
                (*path, "part"), stall.part, consumers, "a command consumer, nor a register that stalls"
            )
        if stall.at >= this.topology.run.latest_ps:
            yield (*path, "at"), f"{format_time(stall.at)} is not before the end of the run at {_until(this)}"


def _expected_errors_can_be(this: _Checker) -> Iterator[Broken]:
    """A queue can stand only in the errors that its register has."""
    names = [name for iommu in this.iommus for name in error_names(iommu)]
    expect = this.topology.expect
    for index, name in enumerate(expect.queue_errors if expect else ()):
        if name not in names and name.split(".")[0] not in this.unknown:
            yield ("expect", "queue_errors", index), f"{name} is no error of a queue; {nearest(name, names)}"


def _expected_not_to_start_can_start(this: _Checker) -> Iterator[Broken]:
    """Only a device that is found, or given a window, can be without."""
    dma = this.topology.of_kind("dma").items()
    traffic = [name for name, device in dma if device.through or (device.plugged and device.traffic.mapped)]
    expect = this.topology.expect
    for index, name in enumerate(expect.not_started if expect else ()):
        if name not in traffic and name not in this.unknown:
            yield ("expect", "not_started", index), f"{name} is no device that is started; {nearest(name, traffic)}"


def _expected_signatures_can_be(this: _Checker) -> Iterator[Broken]:
    """A signature begins with the name of its oracle."""
    expect = this.topology.expect
    for index, signature in enumerate(expect.signatures if expect else ()):
        name = signature.partition(":")[0]
        if name not in ORACLES:
            yield ("expect", "signatures", index), f"{name} is no oracle; {nearest(name, ORACLES)}"


def _expected_to_be_seen_can_be(this: _Checker) -> Iterator[Broken]:
    expect = this.topology.expect
    for name in expect.seen if expect else ():
        if name not in SEEN:
            yield ("expect", "seen", name), f"{name} is nothing that is counted; {nearest(name, SEEN)}"


def _expected_numbers_can_be(this: _Checker) -> Iterator[Broken]:
    """A run can have each of them, by its parts and threads; or one at least that a glob matches."""
    expect = this.topology.expect
    if expect and expect.scalars and not this.unknown:
        names = Names([this.topology])
        for name in expect.scalars:
            if why := names.wrong(name):
                yield ("expect", "scalars", name), why


def _hardwired_addresses_are_in_memory(this: _Checker) -> Iterator[Broken]:
    if not this.unknown:
        yield from hardwired_rules.broken(this.topology)


def _until(this: _Checker) -> str:
    return format_time(this.topology.run.latest_ps)


RULES: tuple[Callable[[_Checker], Iterator[Broken]], ...] = (
    _something_to_run_on,
    _parts_can_be_named,
    _ranges_are_apart,
    _memory_is_within_reach,
    _hardwired_addresses_are_in_memory,
    _devices_reach_an_iommu,
    _devices_without_mappings_have_memory,
    _interrupts_reach_a_cpu,
    lambda this: device_ids_fit(this.topology),
    lambda this: windows_have_memory(this.topology),
    lambda this: recordings_fit(this.topology),
    lambda this: requests_take_time(this.topology),
    lambda this: what_is_plugged_in_was_not_there(this.topology),
    _driver_is_known,
    _driver_finds_what_it_needs,
    _domains_are_used,
    _threads_name_what_there_is,
    lambda this: buffers_are_there_in_time(this.topology),
    lambda this: what_prepares_ends(this.topology),
    lambda this: what_is_waited_for_ends(this.topology),
    lambda this: what_follows_has_something_before_it(this.topology),
    _stalls_name_a_consumer,
    _departures_are_for_parts_of_their_own,
    _expected_errors_can_be,
    _expected_not_to_start_can_start,
    _expected_signatures_can_be,
    _expected_to_be_seen_can_be,
    _expected_numbers_can_be,
    lambda this: what_is_explored_can_be(this.topology),
)
