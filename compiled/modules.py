"""Which modules the compiled core has: all in some places but those named here, each with its reason."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PLACES = ("cosim/sim", "cosim/hw", "cosim/events/dma.py", "cosim/study/gather")
"""Clock and hardware; the records of DMA requests, and what gathers from each of them."""

INTERPRETED = {
    "__init__.py": "packages are folders of Python's",
    "options.py": "pydantic makes these classes, and software reads them",
    "sim/operations": "software makes operations, and awaits them",
    "sim/chooser.py": "searches derive choosers",
    "sim/environment.py": "its class is one of SimPy's",
    "sim/loaded.py": "its class is an int",
    "sim/probe.py": "its class is a list",
    "sim/spent.py": "its class is a mapping",
    "sim/plain.py": "the twin that all else is compared with",
    "sim/places.py": "looks at frames of Python's",
    "hw/cpu/ordering.py": "data, with copies that differ in a field",
    "hw/iommu/registers.py": "sets its attributes by name",
    "hw/iommu/parts.py": "a table of classes",
    "hw/iommu/queue_error.py": "results hold it, and a frozen object of a compiled class cannot be unpickled",
}
"""What stays as it is: a file by its name, a file or a folder by its place."""


def modules() -> Iterator[Path]:
    """The files that are compiled, from the root, in the order of their names."""
    for place in PLACES:
        for path in sorted((ROOT / place).rglob("*.py")) or [ROOT / place]:
            whole = path.relative_to(ROOT / "cosim").as_posix()
            if path.name not in INTERPRETED and not any(
                whole == each or whole.startswith(f"{each}/") for each in INTERPRETED
            ):
                yield path.relative_to(ROOT)


def module_name(path: Path) -> str:
    """What a file from the root is imported as."""
    return ".".join(path.with_suffix("").parts)
