"""Packages that come with an extra: imported where they are used, and their absence is a sentence that names it."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from cosim.config.problems import Position, Problem, TopologyError

EXTRAS: Mapping[str, str] = {
    "pandas": "data",
    "pyarrow": "data",
    "scipy.stats.qmc": "samples",
    "scipy.optimize": "fit",
    "distributed": "cluster",
}
"""The extra of `pip install 'cosim[...]'` that each package, or module of one, comes with."""


def needed(module: str, wanted: str) -> Any:
    """The module, which is for `wanted`. Raises TopologyError (exit code 2) if its package is not installed."""
    package = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ImportError:
        extra = EXTRAS.get(module) or EXTRAS[package]
        why = f"needs {package}, which is not installed; it comes with an extra: pip install 'cosim[{extra}]'"
        raise TopologyError([Problem(Position(wanted), (), why)]) from None
