"""A topology: the file's schema, which is the tree of the parts' own options, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from cosim.hw.cpu.options import CpuOptions
from cosim.hw.dma.options import DmaOptions, RingOptions
from cosim.hw.iommu.options import IommuOptions
from cosim.hw.memory.options import MemoryOptions
from cosim.sw.driver.costs import DriverCosts
from cosim.sw.iova import IovaOptions
from cosim.sw.kernel.options import KernelOptions
from cosim.sw.workloads import AnyWorkload
from cosim.system.driver_options import DriverOptions
from cosim.system.explore_options import ExploreOptions
from cosim.units.field_types import Figure, PositiveTime, Time
from cosim.units.options import Options
from cosim.units.quantities import MS, US, S, UnitError, parse_time
from cosim.units.run_end import AfterThreads, End
from cosim.units.time_names import is_time

Part = Annotated[MemoryOptions | CpuOptions | IommuOptions | DmaOptions | RingOptions, Field(discriminator="kind")]


class DomainOptions(Options):
    """A paging domain that is made at boot, before any device is attached.

    One of them is there without being made: what is in `identity` reaches memory by physical addresses.
    """

    devices: str | tuple[str, ...] = ()
    """The devices that boot attaches to it: names or globs, such as `nic*`."""
    alloc_for: str | None = ""
    """The device that it is made for, to whose IOMMU it fits; `null` is none, as v2 permitted. If absent, the first of
    `devices`, or of all."""


class StallOptions(Options):
    """What stops for a while: time-outs are studied by naming who stalls, and for how long."""

    part: str
    """What stalls: the command consumer of an IOMMU, `iommu0.commands`; or its register `iommu0.fqt`, of which a read
    shows no index then, but all ones."""
    at: Time
    """From when, after the origin of the run; it stops at the first command that it meets then."""
    for_: Annotated[Time | tuple[Time, ...], Field(alias="for")]
    """How long; several durations are several runs, of which `run` takes the last."""

    @property
    def duration_ps(self) -> int:
        """How long it stalls, in picoseconds."""
        return self.for_[-1] if isinstance(self.for_, tuple) else self.for_


class RunOptions(Options):
    """How long to simulate, and what to measure."""

    until: End = 1 * MS
    """When the run ends: a time, or `threads + 30 us`, so long after the last of `threads` has ended."""
    limit: PositiveTime = 10 * MS
    """With `until: threads`, how long they may take; if they have not ended by then, the run has failed."""
    warmup: Time = 0
    """Before this nothing counts: the measured window begins here, and never before the end of boot."""
    origin: Literal["boot", "reset"] = "boot"
    """What `until`, `limit`, `warmup`, the `at` of stalls and the `start` of threads and devices count from: the end of
    boot and of what is prepared after it, or reset, which is some 70 us and more earlier."""
    boot_limit: PositiveTime = 1000 * S
    """How long boot, and what is prepared after it, may take, from reset; a caller of the driver waits 90 s for a fence
    before it goes on."""
    seed: int = Field(default=0, ge=0)
    """What all chance derives from."""
    hold: PositiveTime = 1 * US
    """How long a schedule can make an action wait, each time that it asks."""
    executor: Literal["agenda", "plain"] = "agenda"
    """What executes hardware and CPUs; both give the same digest."""

    @model_validator(mode="after")
    def _leaves_a_window(self) -> RunOptions:
        if self.warmup >= self.latest_ps:
            which = "limit" if isinstance(self.until, AfterThreads) else "until"
            raise ValueError(f"`warmup` must end before `{which}`, or nothing is measured")
        return self

    @property
    def latest_ps(self) -> int:
        """When the run ends at the latest, however long its threads take."""
        return self.limit if isinstance(self.until, AfterThreads) else self.until


class Bound(Options):
    """Bounds of one number of the result: `min`, `max` or both, or `equals` alone."""

    min: Figure | None = None
    """It is at least this."""
    max: Figure | None = None
    """It is at most this, and not less than `min`."""
    equals: Figure | None = None
    """It is this; without `min` and `max`."""

    @model_validator(mode="after")
    def _can_be_missed_and_met(self) -> Bound:
        if self.equals is not None and (self.min is not None or self.max is not None):
            raise ValueError("`equals` stands alone, without `min` and `max`; leave out one or the other")
        if self.min is None and self.max is None and self.equals is None:
            raise ValueError("bounds nothing, whatever comes out; give `min`, `max` or `equals`, such as `{min: 0}`")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"nothing is at least {self.min:g} and at most {self.max:g}; `min` is not above `max`")
        return self


class ExpectOptions(Options):
    """What must come out, so that the topology is a regression test."""

    violations: int | Bound | None = None
    """How many violations the oracles find; without this and without `signatures`, any is a failure."""
    signatures: tuple[str, ...] = ()
    """What must be violated, by how signatures begin: `stale-dma`, or `foreign-dma: write`. Others may be found too."""
    faults: int | Bound | None = None
    """How many requests the IOMMUs refuse in all, and faults of their own; without this, any is a failure."""
    bus_errors: int | Bound | None = None
    """How many requests fail on the bus in all, at memory or at no memory; without this, any is a failure."""
    queue_errors: tuple[str, ...] = ()
    """Errors in which a queue stands at the end, such as `iommu0.cqcsr.cmd_ill`; any other is a failure."""
    not_started: tuple[str, ...] = ()
    """Devices that cannot be found, or started, such as one whose window has no memory; any other is a failure."""
    scalars: dict[str, Figure | Bound] = Field(default_factory=dict)
    """Numbers of the result by name or glob: scalars, such as `iommu0.commands.total: 257`, and latencies and rates as
    `-m` of a sweep has them, such as `nic0.read.p99_ps: {max: 2 us}`. All that a glob matches have its bound. What ends
    in `_ps`, or is a part of a latency, is bounded by a time, or by a number of picoseconds."""
    seen: dict[str, int | Bound] = Field(default_factory=dict)
    """What the run could have seen, such as `touched: {min: 1}`: `unmapped`, `touched` and `unflushed` buffers,
    `invalidations` and those `dropping` something, `removals` of devices and those `overlapped` by a reader."""
    log: tuple[str, ...] = ()
    """Texts that the kernel log must hold."""
    threads: Literal["finished"] | None = None
    """`finished`: every one of `threads` has ended by the end of the run, and none by an oops."""
    calls: Literal["succeed"] | None = None
    """`succeed`: of what `threads` do, no round has failed with an errno."""

    @field_validator("scalars", mode="before")
    @classmethod
    def _times_in_picoseconds(cls, scalars: Any) -> Any:
        """``p99_ps: {max: 2 us}`` is short for 2,000,000; a time elsewhere, or one that cannot be, stays text."""
        if not isinstance(scalars, dict):
            return scalars
        return {name: _in_picoseconds(bound) if is_time(str(name)) else bound for name, bound in scalars.items()}


def _in_picoseconds(bound: Any) -> Any:
    if isinstance(bound, dict):
        return {name: _in_picoseconds(value) for name, value in bound.items()}
    try:
        return parse_time(bound) if isinstance(bound, str) else bound
    except UnitError:
        return bound


class Topology(Options):
    """A modelled system and what runs on it: what one YAML file says."""

    parts: dict[str, Part]
    """The hardware. A part's name is its path; `count: n` makes `name0` to `name(n-1)`."""
    domains: dict[str, DomainOptions] = Field(default_factory=dict)
    """Domains that devices share; a device in none of them gets one of its own, with its name."""
    driver: DriverOptions = DriverOptions()
    """The driver variant."""
    prepare: tuple[AnyWorkload, ...] = ()
    """What threads do after boot and before the origin of times, one after the other: domains, mappings, attachments,
    what devices are told. Each of them has to end, and what it leaves is there when `threads` begin."""
    threads: tuple[AnyWorkload, ...] = ()
    """What the CPUs do after boot."""
    stalls: tuple[StallOptions, ...] = ()
    """Parts that stop for a while."""
    kernel: KernelOptions = KernelOptions()
    """Limits and costs of the kernel."""
    iova: IovaOptions = IovaOptions()
    """How the DMA API gives out IOVAs, in each paging domain."""
    costs: DriverCosts = DriverCosts()
    """What the driver's own instructions cost."""
    run: RunOptions = RunOptions()
    """How long, and what is measured."""
    expect: ExpectOptions | None = None
    """What must come out."""
    explore: ExploreOptions | None = None
    """What a search looks for: `cosim explore`."""

    @model_validator(mode="before")
    @classmethod
    def _driver_by_name(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("driver"), str):
            return data | {"driver": {"variant": data["driver"]}}
        return data

    def workloads(self) -> Iterator[tuple[tuple[str, int], AnyWorkload]]:
        """Every thread that is prepared with or runs, with its path in the file."""
        for section, threads in (("prepare", self.prepare), ("threads", self.threads)):
            yield from (((section, index), thread) for index, thread in enumerate(threads))

    def of_kind(self, kind: str) -> dict[str, Any]:
        """The parts of one kind, by name, in the order of the file."""
        return {name: part for name, part in self.parts.items() if part.kind == kind}

    def devices(self) -> dict[str, DmaOptions | RingOptions]:
        """The parts that make DMA requests, by name, in the order of the file."""
        return {name: part for name, part in self.parts.items() if isinstance(part, DmaOptions | RingOptions)}
