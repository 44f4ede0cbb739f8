"""Stalls begin so long after the end of boot, or after reset, and last as long as they are to."""

from __future__ import annotations

from pathlib import Path

import pytest

from cosim.sim.chooser import Chooser
from cosim.spec.register_map import FQT
from cosim.system.build import build
from cosim.system.load import load
from cosim.units.quantities import US

TINY = Path(__file__).parents[1] / "tiny.yaml"
NO_INDEX = 0xFFFF_FFFF


@pytest.mark.parametrize(("origin", "at"), [("boot", 3 * US), ("reset", 200 * US), ("reset", 3 * US)])
def test_a_register_stalls_at_its_time_from_the_origin_for_as_long_as_is_asked_for(origin: str, at: int) -> None:
    stall = {"part": "iommu0.fqt", "at": f"{at} ps", "for": "5 us"}
    changes = {"stalls": [stall], "run": {"origin": origin, "until": "230 us"}, "threads": []}
    system = build(load(TINY, set=changes), Chooser())
    registers = system.iommus["iommu0"].registers
    shown: list[tuple[int, int]] = []
    registers.watch(FQT.offset, lambda: shown.append((system.sim.now, registers.read(FQT.offset, 4))))
    system.start()
    system.sim.env.run(until=230 * US)
    booted = system.runtime.origin.time_ps
    system.close()
    begin = at if origin == "reset" else booted + at
    assert shown == [(begin, NO_INDEX), (begin + 5 * US, 0)]
