"""The options of hardware parts: frozen models that are the topology file's schema. An IOMMU's are in `hw.iommu`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from cosim.spec.pagetable import PAGE
from cosim.units.field_types import Address, PositiveSize, PositiveTime, Rate, Size, Time
from cosim.units.options import Options
from cosim.units.quantities import NS, format_size

# --- DMA masters -----------------------------------------------------------------------------------------------------


class TrafficOptions(Options):
    """What a DMA master does once its device is attached."""

    pattern: Literal["none", "sequential", "strided", "random", "ring"] = "sequential"
    """Addresses one after the other, at a stride, uniform over the window, or from descriptors that a thread posts."""
    read: Annotated[float, Field(ge=0, le=1)] = 1.0
    """The fraction of requests that read."""
    size: PositiveSize = 64
    """Bytes of a request; one that crosses a 4 KiB boundary is made in pieces."""
    window: PositiveSize = 65536
    """Bytes of IOVA space that are mapped for the master and that it uses."""
    page: Literal["4 KiB", "2 MiB"] = "4 KiB"
    """The blocks of memory that its window is made of, which is also the largest page that can map it."""
    stride: PositiveSize = PAGE
    """Bytes between the starts of two requests of the strided pattern."""
    outstanding: int = Field(default=1, ge=1, le=4096)
    """Requests under way at the same time."""
    interval: PositiveTime | None = None
    """Mean time between two requests; as fast as `outstanding` allows, if absent."""
    arrivals: Literal["regular", "poisson"] = "regular"
    """How `interval` is meant."""
    requests: int | None = Field(default=None, ge=1)
    """How many requests it makes; without end, if absent."""
    start: Time = 0
    """When it starts, after boot."""

    @model_validator(mode="after")
    def _fits(self) -> TrafficOptions:
        if self.pattern not in ("none", "ring") and self.size > self.window:
            raise ValueError(
                f"a request of {format_size(self.size)} does not fit in a window of {format_size(self.window)}"
            )
        return self

    @property
    def page_size(self) -> int:
        """`page` in bytes."""
        return {"4 KiB": PAGE, "2 MiB": 1 << 21}[self.page]

    @property
    def mapped(self) -> int:
        """Bytes that are mapped for the master: its window in whole pages; none where it needs no window."""
        return 0 if self.pattern in ("none", "ring") else -(-self.window // self.page_size) * self.page_size


class DmaOptions(Options):
    """A device that reads and writes memory through an IOMMU, or directly."""

    kind: Literal["dma"]
    through: str | None = None
    """The IOMMU its requests go through; directly to memory, if absent (name one or say `direct: true`)."""
    direct: bool = False
    """Bypass every IOMMU on purpose."""
    device_id: int | None = Field(default=None, ge=0, lt=1 << 24)
    """The `device_id` of its requests; the next free one from 1, if absent."""
    link: Time = 50 * NS
    """A hop between the device and the IOMMU, one way."""
    bandwidth: Rate | None = None
    """What its link carries in each direction; unlimited, if absent."""
    header: Size = 24
    """Bytes that a request, or its completion, takes on the link besides data (of a PCIe TLP: 12 to 28)."""
    base: Address | None = None
    """Where the registers of its descriptor ring are (pattern `ring`); at a free place, if absent."""
    register_access: Time = 5 * NS
    """An access of these registers, at the device itself."""
    posted: bool = False
    """A write frees its slot when the IOMMU has accepted it, not when it has taken hold."""
    traffic: TrafficOptions = TrafficOptions()

    @model_validator(mode="after")
    def _has_a_way(self) -> DmaOptions:
        if (self.through is None) == (not self.direct):
            raise ValueError("a device needs either `through: <iommu>` or `direct: true`")
        return self
