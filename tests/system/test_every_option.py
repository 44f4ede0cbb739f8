"""No option of a topology is left out: each is in the table of what can be idle, or is felt always, and says why."""

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from cosim.config.shape import alternatives, fields_of, is_mapping, is_model
from cosim.system.effects import TABLE
from cosim.system.topology import Topology

ALWAYS_FELT = {
    "parts.*.kind": "says what the part is",
    "parts.*.base": "where it answers",
    "parts.*.node": "the allocator looks there first",
    "parts.*.through": "the way of its requests",
    "parts.*.direct": "the way of its requests",
    "parts.*.plugged": "whether boot finds it",
    "parts.*.register_access": "boot, threads and drivers access registers",
    "parts.dma.traffic": "the group",
    "parts.dma.posted": "a pattern of reads alone is a matter of chance near read: 1, and no contradiction",
    "parts.dma.traffic.pattern": "what the table's rows depend on",
    "parts.memory.*": "each access takes its latency; more ports than can be busy are a size, as 64 entries are",
    "parts.cpu.timing": "the group",
    "parts.cpu.timing.*": "each operation costs its time whenever it is executed",
    "parts.cpu.memory_model": "what rows depend on",
    "parts.cpu.store_buffer": "register writes take entries under every model",
    "parts.cpu.preempt": "any two threads of a CPU meet it",
    "parts.cpu.slice": "any two threads of a CPU meet it, where they yield too",
    "parts.cpu.interrupt_file": "the page answers at this address whether something is sent there or not",
    "parts.iommu.capabilities": "the group",
    "parts.iommu.capabilities.*": "software reads each one",
    "parts.iommu.geometry": "the group",
    "parts.iommu.geometry.*_entries": "how many; 0 is what rows depend on",
    "parts.iommu.geometry.walkers": "bounds walks",
    "parts.iommu.geometry.in_flight": "bounds requests",
    "parts.iommu.geometry.arbitration": "whenever in_flight is full, which any number of requests can make it",
    "parts.iommu.geometry.place_until": "whenever a request waits for its turn and another one for its place",
    "parts.iommu.geometry.order": "whenever a request misses and another is behind it",
    "parts.iommu.geometry.fill_refused": "whenever a page refuses a request",
    "parts.iommu.geometry.fault_buffer": "whenever a request faults",
    "parts.iommu.geometry.ddt_levels": "the depth of the directory",
    "parts.iommu.geometry.command_burst": "whenever a command waits behind another",
    "parts.iommu.geometry.*_log2": "the length of a queue that software reads",
    "parts.iommu.geometry.icvec_bits": "how many vectors software finds",
    "parts.iommu.hardwired": "the group",
    "parts.iommu.hardwired.*": "where the driver finds its queues and directory",
    "parts.iommu.timing": "the group",
    "parts.iommu.timing.*": "each step takes its time whenever it is taken",
    "parts.iommu.latitude": "the group",
    "parts.iommu.latitude.*": "on acts by itself; explore leaves it to a schedule, which is no option of a topology",
    "parts.iommu.defects": "the group",
    "parts.iommu.defects.*": "acts on every invalidation, fence and fill",
    "parts.iommu.interrupts_to": "the CPU that handles them",
    "domains": "makes domains; one that nothing uses is an error of its own",
    "domains.devices": "one that names no device is an error of its own",
    "driver": "the group",
    "driver.variant": "which driver runs",
    "threads": "the group",
    "prepare*": "what is prepared is done by the same threads, for which the same rows hold",
    "threads.*.on": "where it runs",
    "threads.*.does": "what it does",
    "threads.*.start": "delays it",
    "threads.*.count": "ends it",
    "threads.*.gap": "spaces rounds",
    "threads.*.gaps": "spaces them by chance, where they have a gap",
    "threads.*.after": "what it waits for; a row says where that is of no matter",
    "threads.*.beside": "when what is prepared begins; a row says where that is of no matter",
    "threads.*.for": "how long it takes",
    "threads.*.domain": "where it maps",
    "threads.*.device": "the ring that it drives, or the device that it tells",
    "threads.*.devices": "what it moves",
    "threads.*.domains": "where to",
    "threads.*.iommu": "what it takes away",
    "threads.*.pages": "how much it maps",
    "threads.*.free": "which pages come next",
    "threads.*.hold": "time between two calls",
    "threads.*.stay": "time between two calls",
    "threads.*.detach": "a call more or less",
    "threads.*.use": "rows depend on it",
    "threads.*.order": "which call is first",
    "threads.*.entries": "the size of the ring",
    "threads.*.buffer": "the size of a buffer, or its name",
    "threads.*.iova": "which window it tells of",
    "threads.*.stop": "a call more or less",
    "threads.*.wait": "what a row depends on",
    "threads.*.leave": "how much it takes",
    "threads.*.most": "how much it takes",
    "threads.*.what": "which call it makes",
    "threads.*.words": "which command it sends",
    "threads.*.or_else": "which call it makes after another has failed",
    "threads.*.interrupts": "who waits for it",
    "stalls*": "one that begins after the end, or names no consumer, is an error of its own",
    "domains.alloc_for": "the IOMMU whose scheme and node the domain has; with one IOMMU, what a driver makes of none",
    "kernel": "the group",
    "kernel.*": "grace periods, timers and allocations are made in every run",
    "iova": "the group",
    "costs*": "every call of the driver costs its time",
    "run*": "what is run; a schedule, no option of a topology, asks for hold",
    "expect*": "what must come out",
    "explore*": "what a search looks for, which no run feels",
}
"""The options that no other makes idle, and why; a row for the same field goes first."""


def options() -> Iterator[str]:
    """Every option of the schema: its path, with the kind of a part in place of its name, and what a thread does."""
    yield from _below((Topology,), "")


def _below(types: tuple[Any, ...], prefix: str) -> Iterator[str]:
    for type_ in types:
        if is_model(type_):
            yield from _of_model(type_, prefix)
        elif is_mapping(type_) or get_origin(type_) is tuple:
            for inner in alternatives(get_args(type_)[1 if is_mapping(type_) else 0]):
                yield from _below((inner,), _tagged(inner, prefix))


def _of_model(model: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, field in fields_of((model,)).items():
        if prefix or name != "parts":
            yield prefix + name
        yield from _below(alternatives(field.annotation), f"{prefix}{name}.")


def _tagged(model: Any, prefix: str) -> str:
    for tag in ("kind", "does"):
        if is_model(model) and tag in model.model_fields:
            return f"{prefix}{get_args(model.model_fields[tag].annotation)[0]}."
    return prefix


def in_table() -> set[str]:
    """The options of the rows, as `options` spells them."""
    found = set()
    for row in TABLE:
        section = f"{row.place}." if row.place in {"kernel", "iova", "costs", "run", "expect"} else ""
        prefix = section or (f"parts.{row.place}." if row.place in PART_KINDS else f"threads.{row.place}.")
        found |= {prefix + field for field in row.fields}
    return found


PART_KINDS = {"memory", "cpu", "iommu", "dma", "ring"}


def test_every_option_is_in_the_table_or_has_a_reason_to_be_felt_always():
    known = in_table()
    missing = [
        option
        for option in options()
        if option not in known and not any(fnmatchcase(option, pattern) for pattern in ALWAYS_FELT)
    ]
    assert not missing


def test_every_field_of_the_table_is_an_option_and_every_reason_is_needed():
    every = set(options())
    threads = {option.split(".", 2)[2] for option in every if option.startswith("threads.") and option.count(".") > 1}
    for option in in_table():
        assert option in every or (option.startswith("threads.thread.") and option.split(".", 2)[2] in threads), option
    for pattern in ALWAYS_FELT:
        assert any(fnmatchcase(option, pattern) for option in every), pattern
