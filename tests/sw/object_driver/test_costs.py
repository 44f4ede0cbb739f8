"""The instructions of a compiled driver take their time before what comes of them."""

from __future__ import annotations

import pytest

pytest.importorskip("elftools", reason="objects are read with pyelftools: pip install 'cosim[kernel]'")

from cosim.events import LineReached, ReadSectionBegun, ReadSectionEnded
from cosim.sw.driver.costs import DriverCosts
from cosim.sw.iommu_ops import Hardware
from cosim.sw.object_driver import hart
from cosim.units.quantities import MS, NS
from tests.sw.object_driver.test_running import Loaded


@pytest.mark.parametrize("reads", ["checks_reads", "checks_reads_with_preemption_off"])
def test_what_is_executed_before_a_call_of_the_kernel_takes_its_time_before_it(reads: str) -> None:
    loaded = Loaded()
    loaded.driver.costs = DriverCosts(instruction="1 ms")
    reached: list[int] = []
    told: list[int] = []
    loaded.machine.sim.probe(LineReached).watch(lambda event: reached.append(event.time))
    loaded.machine.sim.probe(ReadSectionBegun).watch(lambda event: told.append(event.time))
    loaded.machine.sim.probe(ReadSectionEnded).watch(lambda event: told.append(event.time))
    loaded.call(reads, loaded.word)
    begun, ended = told
    assert begun >= reached[0] >= 1 * MS, "the line is told of when the call is made"
    assert ended >= begun + 2 * MS, "at least a load and a jump"


def test_a_loop_that_reads_a_register_is_not_taken_for_an_endless_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many instructions it has executed in all."""
    monkeypatch.setattr(hart, "PATIENCE", 100)
    monkeypatch.setattr(hart, "LOOKS", 0)
    loaded, at = Loaded(), 0x0300_0020
    loaded.driver.registers[at >> 12] = Hardware("iommu0", at & -4096, (), "cpu0")
    loaded.machine.registers[at] = 5
    loaded.machine.sim.at(250 * NS, 1 << 62, lambda: loaded.machine.registers.update({at: 9}))
    assert loaded.call("trouble_polls", at, 5) == 9
    assert loaded.machine.operations["MmioRead"] > 20
