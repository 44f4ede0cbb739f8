"""Which driver runs, as a topology says it."""

from __future__ import annotations

from typing import Any

from cosim.units.options import Options


class DriverOptions(Options):
    """Which driver runs: a variant, of which single policies may be replaced."""

    model_config = Options.model_config | {"extra": "allow"}

    variant: str = "merged"
    """The row of the table of variants, or `FILE.py:NAME` for one of your own."""

    @property
    def cells(self) -> dict[str, Any]:
        """The policies that replace the variant's own, by axis."""
        return dict(self.model_extra or {})
