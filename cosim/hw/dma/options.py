"""The options of devices that make DMA requests: frozen, and the topology file's schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, field_validator, model_validator

from cosim.hw.dma.patterns import PATTERNS, Pattern, Space
from cosim.spec.pagetable import PAGE
from cosim.units.field_types import Address, PositiveSize, PositiveTime, Rate, Size, Time
from cosim.units.options import Options
from cosim.units.quantities import NS, format_size

if TYPE_CHECKING:
    PatternName = str
else:
    PatternName = Literal[tuple(PATTERNS)]


DeviceId = Annotated[int, Field(ge=0, lt=1 << 24)]
"""A `device_id`, as wide as the specification has it."""


class PaceOptions(Options):
    """How many requests a device makes, how large and how fast."""

    outstanding: int = Field(default=1, ge=1, le=4096)
    """Requests under way at the same time."""
    interval: PositiveTime | None = None
    """Mean time between two requests; as fast as `outstanding` allows, if absent."""
    arrivals: Literal["regular", "poisson"] = "regular"
    """How `interval` is meant."""
    burst_requests: int | None = Field(default=None, ge=1)
    """Requests of a burst, after which it makes none for `burst_off`."""
    burst_on: PositiveTime | None = None
    """How long a burst lasts, after which it makes none for `burst_off`; `interval` is that within a burst."""
    burst_off: PositiveTime | None = None
    """How long it makes no request between two bursts; there are no bursts, if absent."""
    burst_times: Literal["fixed", "exponential"] = "fixed"
    """Whether `burst_on` and `burst_off` are each time the same, or means of an exponential distribution."""
    requests: int | None = Field(default=None, ge=1)
    """How many requests it makes; without end, if absent."""

    @model_validator(mode="after")
    def _has_whole_bursts(self) -> PaceOptions:
        if self.burst_off is None and (self.burst_on or self.burst_requests):
            raise ValueError("bursts need a time between them: give `burst_off`, such as `burst_off: 10 us`")
        if self.burst_off is not None and (self.burst_on is None) == (self.burst_requests is None):
            raise ValueError("give either the length of a burst, `burst_on: 5 us`, or `burst_requests: 32`")
        return self

    @property
    def always(self) -> bool:
        """Whether it makes a request whenever it has a slot."""
        return self.interval is None and self.burst_off is None


class TrafficOptions(PaceOptions):
    """What a DMA device does once it is started, in a window of addresses."""

    pattern: PatternName = "sequential"
    """Where in the window its requests go."""
    read: Annotated[float, Field(ge=0, le=1)] = 1.0
    """The fraction of requests that read."""
    size: PositiveSize = 64
    """Bytes of a request; one that crosses a 4 KiB boundary is made in pieces."""
    sizes: dict[PositiveSize, Annotated[int, Field(ge=1)]] = Field(default_factory=dict)
    """Bytes of requests, and how often each occurs among them: `{64 B: 7, 576 B: 4, 1500 B: 1}`; in place of `size`.
    Each begins where one of the largest could."""
    window: PositiveSize = 65536
    """Bytes of IOVA space that are mapped for the device and that it uses."""
    page: Literal["4 KiB", "2 MiB"] = "4 KiB"
    """The blocks of memory that its window is made of, which is also the largest page that can map it."""
    node: int | None = Field(default=None, ge=0, le=63)
    """NUMA node of the memory that its window is made of; that of the IOMMU, whose tables are there, if absent."""
    stride: PositiveSize = PAGE
    """Bytes between the starts of two requests of the strided pattern."""
    hot: PositiveSize = PAGE
    """Bytes at the start of the window that the hot_cold pattern uses most."""
    hot_share: Annotated[float, Field(ge=0, le=1)] = 0.9
    """The fraction of its requests that go there."""
    file: str | None = None
    """CSV file that the replay pattern reads, with a first line `time_ns,device,iova,size,access` (docs/traffic.md), in
    the current folder, or else beside the topology file that names it."""
    queue: int = Field(default=65536, ge=1, le=1 << 24)
    """Replayed requests that wait in the device at most; while so many do, the recording stands still."""
    exponent: Annotated[float, Field(ge=0, le=10)] = 1.0
    """Of the zipf pattern: 0 is uniform, the larger, the more go to the first pages."""
    start: Time = 0
    """When it starts, after the origin of the run."""

    @field_validator("pattern", mode="before")
    @classmethod
    def _is_no_kind(cls, value: object) -> object:
        if value == "ring":
            raise ValueError(
                "a ring is a kind of device: write `kind: ring`, with `size`, `interval` and the like beside it, "
                "without `traffic:`"
            )
        return value

    @model_validator(mode="after")
    def _fits(self) -> TrafficOptions:
        if self.pattern == "replay":
            if self.file is None:
                raise ValueError("pattern: replay needs the file that is replayed: `file: requests.csv`")
            return self
        if self.how.begins and self.largest > self.window:
            raise ValueError(
                f"a request of {format_size(self.largest)} does not fit in a window of {format_size(self.window)}"
            )
        if self.pattern == "strided" and self.stride > max(self.window, PAGE):
            raise ValueError(
                f"a `stride` of {format_size(self.stride)} leads out of a window of {format_size(self.window)}, and "
                f"every request would be at its start; make it smaller, or the window larger"
            )
        if self.pattern == "hot_cold" and self.space(self.window).hot_places >= self.space(self.window).places:
            raise ValueError(
                f"`hot` is all of the window, and nothing is cold: {format_size(self.hot)} of "
                f"{format_size(self.window)}; make it smaller, or use pattern: random"
            )
        return self

    @property
    def how(self) -> Pattern:
        """What `pattern` names."""
        return PATTERNS[self.pattern]

    @property
    def always(self) -> bool:
        """Whether it makes a request whenever it has a slot."""
        return self.pattern != "replay" and super().always

    @property
    def largest(self) -> int:
        """Bytes of the largest request."""
        return max(self.sizes, default=self.size)

    @property
    def mean_size(self) -> int:
        """Bytes of a request on average."""
        if not self.sizes:
            return self.size
        return round(sum(size * weight for size, weight in self.sizes.items()) / sum(self.sizes.values()))

    def space(self, window: int) -> Space:
        """What the pattern works in, in a window of so many bytes."""
        return Space(self.largest, window, self.stride, self.hot, self.hot_share, self.exponent)

    @property
    def page_size(self) -> int:
        """`page` in bytes."""
        return {"4 KiB": PAGE, "2 MiB": 1 << 21}[self.page]

    @property
    def mapped(self) -> int:
        """Bytes that are mapped for the device: its window in whole pages; none where boot gives it no window."""
        return -(-self.window // self.page_size) * self.page_size if self.how.begins else 0


class DeviceOptions(Options):
    """A device, its way to memory, and its registers."""

    through: str | None = None
    """The IOMMU its requests go through; directly to memory, if absent (name one or say `direct: true`)."""
    direct: bool = False
    """Bypass every IOMMU on purpose."""
    device_id: DeviceId | Annotated[tuple[DeviceId, ...], Field(min_length=1)] | None = None
    """The `device_id` of its requests; the next free one from 1, if absent. Several are used in turn, one for each
    request: such a device has a device context for each of them, and all are attached together."""
    plugged: bool = True
    """Whether boot finds it; else a `plug` thread does."""
    link: Time = 50 * NS
    """A hop between the device and the IOMMU, one way."""
    bandwidth: Rate | None = None
    """What its link carries in each direction; unlimited, if absent."""
    header: Size = 24
    """Bytes that a request, or its completion, takes on the link besides data (of a PCIe TLP: 12 to 28)."""
    base: Address | None = None
    """Where its registers are; at a free place, if absent."""
    register_access: Time = 5 * NS
    """An access of these registers, at the device itself."""
    posted: bool = False
    """A write frees its slot when the IOMMU has accepted it, not when it has taken hold."""

    @model_validator(mode="after")
    def _has_a_way(self) -> DeviceOptions:
        if (self.through is None) == (not self.direct):
            raise ValueError("a device needs either `through: <iommu>` or `direct: true`")
        if self.direct and not self.plugged:
            raise ValueError("`plugged: false` is for a device behind an iommu, of which the iommu's driver is told")
        return self

    @property
    def ids(self) -> tuple[int, ...]:
        """What `device_id` says; empty, if absent."""
        given = self.device_id
        return (given,) if isinstance(given, int) else given or ()


class DmaOptions(DeviceOptions):
    """A device that reads and writes a window of memory in a pattern, through an IOMMU or directly."""

    kind: Literal["dma"]
    traffic: TrafficOptions = TrafficOptions()

    @model_validator(mode="after")
    def _has_a_window_if_found(self) -> DmaOptions:
        if not self.plugged and self.traffic.how.begins:
            raise ValueError(
                "a device that boot does not find has no window from boot; with `plugged: false`, let a thread tell it "
                "of one: `traffic: {pattern: told}`"
            )
        return self

    @property
    def pace(self) -> PaceOptions:
        """How many requests it makes, and how fast."""
        return self.traffic

    @property
    def mean_size(self) -> int:
        """Bytes of a request on average."""
        return self.traffic.mean_size

    @property
    def writes(self) -> bool:
        """Whether requests of it may be writes; what a recording or a thread says may be either."""
        return self.traffic.read < 1 or self.traffic.pattern in ("replay", "told")


class RingOptions(DeviceOptions, PaceOptions):
    """A device that moves packets to and from buffers which a thread posts in a ring of descriptors.

    An `interval` is that between packets, and one that finds no descriptor is dropped; without it each descriptor is
    worked on as soon as it is posted. `requests` counts packets.
    """

    kind: Literal["ring"]
    size: PositiveSize = 64
    """Bytes of a packet that is received, or as many as its buffer takes."""

    @property
    def pace(self) -> PaceOptions:
        """How many packets it moves, and how fast."""
        return self

    @property
    def mean_size(self) -> int:
        """Bytes of a request on average."""
        return self.size

    @property
    def writes(self) -> bool:
        """Whether requests of it may be writes, as those of its status are."""
        return True
