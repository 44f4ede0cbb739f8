"""What `cosim explore` looks for in a topology, as the topology's own file says it: an experiment."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from cosim.system.driver_options import DriverOptions
from cosim.units.field_types import PositiveTime, Time
from cosim.units.options import Options

Entry = Literal["dma-api", "iommufd", "hot-remove", "boot", "direct"]
"""By which way into Linux something is reached; `direct` is a call of the driver that nothing in Linux makes."""


class DefectRow(Options):
    """A driver in which something has to be found."""

    driver: str | DriverOptions
    """The driver, by the name of a variant, or as in `driver:`."""
    signature: str = Field(min_length=1)
    """What has to be found: how its signature begins, such as `stale-dma`."""
    schedule: tuple[str, ...] | None = None
    """A schedule that shows it, with the first of `holds` and of `starts`; empty, if it shows without any. A search
    does not look at this."""

    @property
    def options(self) -> DriverOptions:
        """The driver as options."""
        return driver_options(self.driver)


class ExploreOptions(Options):
    """What is searched if nothing else is asked for, in which drivers, and what has to come out."""

    remark: str = ""
    """What the experiment is about: a remark of a review, or a defect, by its name."""
    reached_by: tuple[Entry, ...] = ()
    """By which ways into Linux it is reached."""
    deviations: int = Field(default=1, ge=0)
    """How many answers of a schedule are not 0, at most."""
    holds: tuple[PositiveTime, ...] = ()
    """The values of `run.hold` that are tried; only that one, if absent."""
    starts: dict[str, tuple[Time, ...]] = Field(default_factory=dict)
    """The values of `start` that are tried for a thread, which is named as in a trace: `cpu1.attach`. With several
    threads, all combinations are."""
    allocations: bool = False
    """Whether an allocation that fails is a deviation, too; always, with `--allocations`."""
    defects: tuple[DefectRow, ...] = ()
    """The drivers in which something has to be found."""
    clean: tuple[str | DriverOptions, ...] = ()
    """The drivers in which nothing may be found."""


def driver_options(driver: str | DriverOptions) -> DriverOptions:
    """A driver that may be given by its name alone, as options."""
    return DriverOptions(variant=driver) if isinstance(driver, str) else driver
