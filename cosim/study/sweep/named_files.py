"""What a topology says by naming a file: recordings, drivers of one's own, objects. A run is one of what is in them,
and in what a file of Python imports from others of the user's own."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from cosim.hw.dma.options import DmaOptions
from cosim.sw.driver.compiled import paths_of
from cosim.sw.driver.imported import imported
from cosim.system.topology import Topology


def contents(topology: Topology) -> dict[str, str]:
    """A digest of each file that a topology names, by its name; of one that cannot be read, none.

    What a file of Python imports is there by both names, wherever it lies: ``my_driver.py: helper``.
    """
    found = {}
    for name in dict.fromkeys(_names(topology)):
        try:
            found[name] = _digest(name)
            if Path(name).suffix == ".py":
                found |= {f"{name}: {module}": _digest(str(file)) for module, file in imported(Path(name)).items()}
        except OSError:
            continue  # who runs it says so
    return found


def _names(topology: Topology) -> Iterator[str]:
    for device in topology.devices().values():
        if isinstance(device, DmaOptions) and device.traffic.file:
            yield device.traffic.file
    driver = topology.driver
    yield from map(str, paths_of(driver.variant))
    for cell in (driver.variant, *driver.cells.values()):
        policy = cell.get("policy") if isinstance(cell, dict) else cell
        file, _, name = str(policy).rpartition(":")
        if name and Path(file).suffix == ".py":
            yield file


def _digest(name: str) -> str:
    stat = os.stat(name)
    return _digest_then(name, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=256)
def _digest_then(name: str, _changed_ns: int, _size: int) -> str:
    """Of a file as it was at that time: it is not read again for every point."""
    with open(name, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
