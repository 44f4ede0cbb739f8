"""What hatchling asks while it makes a wheel: `make fast-wheel` has the compiled core put into it, nothing else has."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CompiledCore(BuildHookInterface[Any]):
    """Puts `cosim/_compiled` into the wheel if ``COSIM_WHEEL`` is ``compiled``."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called before the files of the wheel are gathered. RuntimeError if there is no core."""
        if version != "standard" or os.environ.get("COSIM_WHEEL") != "compiled":
            return
        folder = Path(self.root) / "cosim" / "_compiled"
        if not folder.is_dir():
            raise RuntimeError(f"{folder} is not there; make fast compiles it")
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        build_data["force_include"][str(folder)] = "cosim/_compiled"
