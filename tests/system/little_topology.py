"""The smallest schema with all that a topology's has: unions by kind and by type, groups, lists, free names, rules."""

from collections.abc import Collection, Iterator
from enum import Enum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from cosim.config.source import Override, Path, Source, TopologyError, legal_names, nearest, validate
from cosim.units.field_types import Address, PositiveCount, PositiveTime, Rate, Size, Time


class Options(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Colour(Enum):
    RED = "red"
    GREEN = "green"


class Memory(Options):
    kind: Literal["memory"]
    base: Address
    size: Size
    latency: Time = 80_000
    bandwidth: Rate | None = None


class Geometry(Options):
    iotlb_entries: PositiveCount = 64
    walkers: int = Field(default=4, ge=1, le=64)
    levels: Literal[1, 2, 3] = 3
    replacement: Literal["lru", "plru", "random"] = "lru"


class Iommu(Options):
    kind: Literal["iommu"]
    base: Address
    geometry: Geometry = Geometry()
    bypass: bool = False


class Traffic(Options):
    pattern: Literal["ring", "random"] = "ring"
    size: Annotated[Size, Field(gt=0, le=4096, multiple_of=4)] = 64
    read: float = Field(default=1.0, lt=2.0)


class Dma(Options):
    kind: Literal["dma"]
    through: str | None = None
    direct: bool = False
    colour: Colour | None = None
    traffic: Traffic = Traffic()

    @model_validator(mode="after")
    def _has_a_way(self) -> "Dma":
        if (self.through is None) == (not self.direct):
            raise ValueError("a device needs either `through` or `direct: true`")
        return self


class Domain(Options):
    devices: str | tuple[str, ...] = ()


class Driver(Options):
    model_config = ConfigDict(frozen=True, extra="allow")
    variant: str = Field(default="merged", min_length=2)


class Loop(Options):
    does: Literal["map-unmap"]
    on: str
    pages: PositiveCount = 1


class Receive(Options):
    does: Literal["receive"]
    on: str
    buffers: tuple[PositiveCount, ...] = Field(default=(1,), min_length=1, max_length=3)


class Stall(Options):
    part: str
    for_: Annotated[Time | tuple[Time, ...], Field(alias="for")]


class Run(Options):
    until: PositiveTime = 1_000_000_000
    seed: int = Field(default=0, ge=0)


class Bound(Options):
    max: float | None = None


class Expect(Options):
    faults: int | Bound | None = None
    scalars: dict[str, float | Bound] = Field(default_factory=dict)


class Topology(Options):
    parts: dict[str, Annotated[Memory | Iommu | Dma, Field(discriminator="kind")]]
    domains: dict[str, Domain] = Field(default_factory=dict)
    driver: Driver = Driver()
    threads: tuple[Annotated[Loop | Receive, Field(discriminator="does")], ...] = ()
    stalls: tuple[Stall, ...] = ()
    run: Run = Run()
    expect: Expect | None = None

    @model_validator(mode="before")
    @classmethod
    def _driver_by_name(cls, data: Any) -> Any:
        return data | {"driver": {"variant": data["driver"]}} if isinstance(data.get("driver"), str) else data


def check(topology: Topology, unusable: Collection[str] = ()) -> Iterator[tuple[Path, str]]:
    """Devices go through parts that there are, and no two threads share a CPU."""
    iommus = [name for name, part in topology.parts.items() if part.kind == "iommu"]
    for name, part in topology.parts.items():
        if part.kind == "dma" and part.through and part.through not in {*iommus, *unusable}:
            yield ("parts", name, "through"), f"{part.through} is not an iommu; {nearest(part.through, iommus)}"
    cpus = [thread.on for thread in topology.threads]
    for index, cpu in enumerate(cpus):
        if cpu in cpus[:index]:
            yield ("threads", index, "on"), f"{cpu} has a thread already"


TEXT = """\
# Ten devices of one IOMMU share a domain.
parts:
  dram0:  {kind: memory, base: 0x8000_0000, size: 256 MiB, latency: 80 ns}
  iommu0: {kind: iommu, base: 0x0300_0000, geometry: {iotlb_entries: 32, walkers: 4}}
  nic:
    kind: dma
    count: 10
    through: iommu0
    traffic: {pattern: ring, size: 1500 B}
domains:
  shared: {devices: nic*}
driver: merged
threads:
  - {on: cpu0, does: map-unmap, pages: 256}
  - {on: cpu1, does: receive, buffers: [1, 2]}
stalls:
  - {part: iommu0.commands, for: [0, 200 ms]}
run: {until: 1 ms, seed: 1}
expect: {faults: 0, scalars: {iommu0.walks: {max: 5}}}
"""

LEGAL = legal_names(Topology)
NICS = [f"nic{index}" for index in range(10)]


def resolved(*overrides: str, text: str = TEXT, overlays: Collection[str] = ()) -> Source:
    """The topology with options `-s` and overlays, the latter called `overlay1.yaml` and so on."""
    others = [Source.parse(overlay, f"overlay{index}.yaml") for index, overlay in enumerate(overlays, 1)]
    return Source.parse(text, "ten.yaml").resolved(others, map(Override.parse, overrides), LEGAL, {"driver": "variant"})


def load(*overrides: str, text: str = TEXT, overlays: Collection[str] = ()) -> Topology:
    """The model of all that."""
    return validate(Topology, resolved(*overrides, text=text, overlays=overlays), check)


def problems(*overrides: str, text: str = TEXT, overlays: Collection[str] = ()) -> list[str]:
    """The errors of all that, line by line."""
    try:
        load(*overrides, text=text, overlays=overlays)
    except TopologyError as error:
        return str(error).splitlines()
    return []


def edited(*changes: tuple[str, str]) -> str:
    """The topology with each first text in place of the second."""
    text = TEXT
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return text
