"""From the paths of objects to an image that the kernel can run: everything that is unknown is said at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cosim.object.errors import ObjectError
from cosim.object.image import Image, load
from cosim.sw.driver.compiled import COMPILED, WITHOUT
from cosim.sw.object_driver.call import Function
from cosim.sw.object_driver.functions.own import FILE, read_own
from cosim.sw.object_driver.functions.table import DATA, FUNCTIONS
from cosim.sw.object_driver.layout import NEEDED
from cosim.units.looked_for import looked_for
from cosim.units.nearest import nearest

OPERATIONS, BUS = "iommu_ops", "platform_driver"
"""The structures by which a driver is entered; it has one of each."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A driver's image, and the kernel's functions that it is given."""

    image: Image
    functions: Mapping[str, Function]


def load_objects(paths: Sequence[Path]) -> Loaded:
    """A driver's objects; files of Python among the paths add functions of the kernel. ObjectError."""
    if Path() in paths:
        raise ObjectError([f"a path is missing; write {COMPILED}PATH[,PATH...], such as {COMPILED}iommu.o"])
    lines = [str(path).removeprefix(WITHOUT) for path in paths if str(path).startswith(WITHOUT)]
    files = [path for path in paths if not str(path).startswith(WITHOUT)]
    if missing := [path for path in files if not path.exists()]:
        raise ObjectError(f"{path}: no such file{looked_for(path)}" for path in missing)
    own = read_own([path for path in files if path.suffix == FILE])
    objects = [path for path in files if path.suffix != FILE]
    if not objects:
        raise ObjectError([f"{', '.join(map(str, paths))}: there is no object beside it; name those of the driver"])
    functions = {**FUNCTIONS, **own.functions}
    image = load(objects, functions.keys(), {**DATA, **own.data}, NEEDED)
    if problems := list(own.unasked({*image.linked.outside.values(), *image.linked.given})):
        raise ObjectError(problems)
    for structure in (OPERATIONS, BUS):
        the_only(image, structure)
    return Loaded(_without(image, lines), functions)


def _without(image: Image, lines: Sequence[str]) -> Image:
    """The image without the order that is made at these lines, and what they send."""
    if not lines:
        return image
    orders = image.orders()
    if unknown := [line for line in lines if line not in orders]:
        raise ObjectError(
            f"{WITHOUT}{line}: no order is made there, and no command is sent; {nearest(line, orders)}"
            for line in unknown
        )
    return image.without([address for line in lines for address in orders[line]])


def orders_of(paths: Sequence[Path]) -> list[str]:
    """The lines of a driver that make order or send a command, but those that were taken out. ObjectError."""
    return [line for line in load_objects(paths).image.orders() if Path(WITHOUT + line) not in paths]


def the_only(image: Image, structure: str) -> int:
    """The address of the driver's only variable of a kind. ObjectError if there is none, or several."""
    found = {one.address for one in image.info.variables if one.kind == structure}
    if len(found) != 1:
        named, number = ", ".join(map(str, image.paths)), len(found) or "no"
        raise ObjectError([f"{named}: {number} variables of struct {structure}; name the objects of one driver"])
    return found.pop()
