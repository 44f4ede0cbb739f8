"""The rules of a driver that a topology names."""

from __future__ import annotations

from collections.abc import Iterator

from cosim.config.problems import Path
from cosim.sw.driver.own import VariantError
from cosim.sw.driver.variants import check_cell, variant
from cosim.system.driver_options import DriverOptions


def unknown_driver(driver: DriverOptions, path: Path) -> Iterator[tuple[Path, str]]:
    """What is wrong with the driver that stands at `path`: no such variant, policy or step, or cells that clash."""
    try:
        variant(driver.variant)
    except VariantError as error:
        yield (*path, "variant"), str(error).removeprefix("driver ")
        return
    known = True
    for axis, cell in driver.cells.items():
        try:
            check_cell(driver.variant, axis, cell)
        except VariantError as error:
            known = False
            yield (*path, axis), str(error).removeprefix("driver: ").removeprefix(f"{axis}: ")
    try:
        if known:
            variant(driver.variant, driver.cells)
    except VariantError as error:
        yield (*path, next(iter(driver.cells), "variant")), str(error).removeprefix("driver: ")
