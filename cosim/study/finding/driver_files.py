"""The files of a driver that is the user's own: a finding names them with a hash of what was in them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cosim.sw.driver.compiled import WITHOUT, name_of, paths_of
from cosim.system.driver_options import DriverOptions


def names_of(driver: DriverOptions) -> list[str]:
    """The paths in ``FILE.py:NAME`` of a driver and of its cells, as they are written, each once; or its objects."""
    if objects := paths_of(driver.variant):
        return [str(path) for path in objects if not str(path).startswith(WITHOUT)]
    cells = (cell.get("policy") if isinstance(cell, Mapping) else cell for cell in driver.cells.values())
    paths = (str(named).rpartition(":")[0] for named in (driver.variant, *cells))
    return [path for path in dict.fromkeys(paths) if path]


def hash_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal. Raises OSError."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def moved(driver: DriverOptions, places: Mapping[str, str]) -> DriverOptions:
    """The same driver, with each file that `places` names where it says."""

    def named(text: Any) -> Any:
        path, colon, name = str(text).rpartition(":")
        return f"{places[path]}:{name}" if colon and path in places else text

    if objects := paths_of(driver.variant):
        return DriverOptions(variant=name_of(places.get(str(path), path) for path in objects))

    def changed() -> Iterator[tuple[str, Any]]:
        yield "variant", named(driver.variant)
        for axis, cell in driver.cells.items():
            known = isinstance(cell, Mapping) and "policy" in cell
            yield axis, {**cell, "policy": named(cell["policy"])} if known else named(cell)

    return DriverOptions(**dict(changed())) if places else driver
