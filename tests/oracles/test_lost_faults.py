"""The oracle of faults: what is not recorded leaves a sign in fqcsr."""

from __future__ import annotations

import pytest

from cosim.events import FaultRecorded
from cosim.oracles import Bounds, LostFaults, Violation
from cosim.spec.registers import Fqcsr

ON = Fqcsr.of(fqen=1, fie=1, fqon=1)


def judged(fqcsr: int, *, recorded: bool = False, reported: bool = True) -> list[Violation]:
    found: list[Violation] = []
    (listener,) = dict(LostFaults(found.append, Bounds()).listeners()).values()
    listener(FaultRecorded(5_000_000, "iommu0", 1, 13, 0x1000, 2, recorded, reported, fqcsr))
    return found


def test_a_fault_that_is_lost_though_the_queue_is_on_is_reported():
    (violation,) = judged(ON)
    assert violation.message == (
        "iommu0 recorded no fault 13 of device 1 at IOVA 0x1000, by 5 us, though its fault queue was on and no error "
        "bit is set"
    )
    assert violation.signature == "lost-faults: read_page_fault has no record"


@pytest.mark.parametrize("bits", [{"fqof": 1}, {"fqmf": 1}, {"fqon": 0}, {"fqen": 0}])
def test_one_that_the_queue_could_not_take_is_excused(bits):
    assert not judged(ON.replace(**bits))


def test_one_that_is_recorded_or_kept_back_by_dtf_is_right():
    assert not judged(ON, recorded=True)
    assert not judged(ON, reported=False)
