"""The rules of a driver that a topology names."""

from __future__ import annotations

from collections.abc import Iterator

from cosim.config.problems import Path
from cosim.object.errors import ObjectError
from cosim.sw.driver.compiled import paths_of
from cosim.sw.driver.own import VariantError
from cosim.sw.driver.variants import check_cell, variant
from cosim.system.driver_options import DriverOptions


def unknown_driver(driver: DriverOptions, path: Path) -> Iterator[tuple[Path, str]]:
    """What is wrong with the driver that stands at `path`: no such variant, policy or step, or cells that clash."""
    if objects := paths_of(driver.variant):
        from cosim.sw.object_driver.loading import load_objects  # what is not asked for is not paid for

        for axis in driver.cells:
            text = "an object has no policies that could be set; compile the driver that you mean, and name its objects"
            yield (*path, axis), text
        try:
            load_objects(objects)
        except ObjectError as error:
            for problem in error.problems:
                yield (*path, "variant"), problem
        return
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
