"""Which driver runs, as a topology says it."""

from __future__ import annotations

from typing import Any

from pydantic import model_validator

from cosim.sw.driver.compiled import COMPILED, name_of
from cosim.units.options import Options


class DriverOptions(Options):
    """Which driver runs: a variant, of which single policies may be replaced, or the objects of a compiled one."""

    model_config = Options.model_config | {"extra": "allow"}

    variant: str = "merged"
    """The row of the table of variants, `FILE.py:NAME` for one of your own, or `object:PATH,PATH` for objects that the
    tree of a kernel has compiled. Files are looked for in the current folder, or else beside the topology file that
    names them."""

    @model_validator(mode="before")
    @classmethod
    def _objects_in_a_list(cls, data: Any) -> Any:
        """``object: [a.o, b.o]`` is short for ``variant: object:a.o,b.o``."""
        if isinstance(data, dict) and isinstance(data.get("object"), list):
            rest = {name: value for name, value in data.items() if name not in ("object", "variant")}
            return rest | {"variant": name_of(data["object"])}
        return data

    @property
    def cells(self) -> dict[str, Any]:
        """The policies that replace the variant's own, by axis."""
        return dict(self.model_extra or {})


def with_functions(driver: str | None, file: str | None) -> str | None:
    """The name of a compiled driver with the kernel's functions that a file adds. ValueError for another driver."""
    if not file:
        return driver
    if driver is None or not driver.startswith(COMPILED):
        raise ValueError(f"--kernel adds functions to the kernel that objects call: give --driver {COMPILED}PATH,...")
    if not file.endswith(".py"):
        raise ValueError(f"--kernel {file}: a file of Python is wanted, such as mine.py")
    return f"{driver},{file}"
