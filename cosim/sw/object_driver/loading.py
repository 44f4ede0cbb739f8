"""From the paths of objects to an image that the kernel can run: everything that is unknown is said at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cosim.object.errors import ObjectError
from cosim.object.image import Image, load
from cosim.sw.driver.compiled import COMPILED
from cosim.sw.object_driver.functions.table import DATA, FUNCTIONS
from cosim.sw.object_driver.layout import NEEDED

OPERATIONS, BUS = "iommu_ops", "platform_driver"
"""The structures by which a driver is entered; it has one of each."""


def load_objects(paths: Sequence[Path]) -> Image:
    """The image of a driver's objects. ObjectError."""
    if Path() in paths:
        raise ObjectError([f"a path is missing; write {COMPILED}PATH[,PATH...], such as {COMPILED}iommu.o"])
    image = load(paths, FUNCTIONS.keys(), DATA, NEEDED)
    for structure in (OPERATIONS, BUS):
        the_only(image, structure)
    return image


def the_only(image: Image, structure: str) -> int:
    """The address of the driver's only variable of a kind. ObjectError if there is none, or several."""
    found = {one.address for one in image.info.variables if one.kind == structure}
    if len(found) != 1:
        named, number = ", ".join(map(str, image.paths)), len(found) or "no"
        raise ObjectError([f"{named}: {number} variables of struct {structure}; name the objects of one driver"])
    return found.pop()
