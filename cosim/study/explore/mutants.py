"""Drivers with one step taken out: a search that finds nothing in the whole one shows by them that it could have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cosim.sw.driver.axes import AXES
from cosim.sw.driver.compiled import WITHOUT, name_of, paths_of
from cosim.sw.driver.variants import variant
from cosim.sw.steps import steps
from cosim.system.driver_options import DriverOptions


def mutants(driver: DriverOptions) -> Iterator[tuple[str, DriverOptions]]:
    """Each step of a driver as ``AXIS: STEP``, and the driver without it.

    Of objects it is each line that makes order or sends commands.
    """
    if objects := paths_of(driver.variant):
        from cosim.sw.object_driver.loading import orders_of  # what is not asked for is not paid for

        for line in orders_of(objects):
            yield line, DriverOptions(variant=name_of([*objects, WITHOUT + line]))
        return
    row = variant(driver.variant, driver.cells)
    for axis in AXES:
        for name in steps(getattr(row, axis)):
            cell = driver.cells.get(axis, {})
            options: dict[str, Any] = dict(cell) if isinstance(cell, Mapping) else {"policy": cell}
            before = options.get("without", ())
            without = [*([before] if isinstance(before, str) else before), name]
            cells = {**driver.cells, axis: {**options, "without": without}}
            yield f"{axis}: {name}", DriverOptions.model_validate({"variant": driver.variant, **cells})
