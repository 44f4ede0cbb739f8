"""From the paths of objects to an image that the kernel can run: everything that is unknown is said at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cosim.object.errors import ObjectError
from cosim.object.image import Image, load
from cosim.sw.object_driver.functions.table import DATA, FUNCTIONS
from cosim.sw.object_driver.layout import NEEDED

PREFIX = "object:"
"""What begins the name of a driver that is compiled."""


def paths_of(name: str) -> tuple[Path, ...]:
    """The objects that the name of a driver lists; none if it is the name of another driver."""
    return tuple(Path(part.strip()) for part in name.removeprefix(PREFIX).split(",")) if name.startswith(PREFIX) else ()


def load_objects(paths: Sequence[Path]) -> Image:
    """The image of a driver's objects. ObjectError."""
    if Path() in paths:
        raise ObjectError([f"a path is missing; write {PREFIX}PATH[,PATH...], such as {PREFIX}iommu.o"])
    image = load(paths, FUNCTIONS.keys(), DATA, NEEDED)
    for structure in ("iommu_ops", "platform_driver"):
        found = {one.address for one in image.info.variables if one.kind == structure}
        if len(found) != 1:
            named = ", ".join(map(str, paths))
            number = len(found) or "no"
            raise ObjectError([f"{named}: {number} variables of struct {structure}; name the objects of one driver"])
    return image
