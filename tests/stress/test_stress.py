"""Random operations over small random systems: nothing raises, hangs, leaks or violates (`make stress`)."""

import pytest

from cosim.hw.iommu.options import DefectOptions
from tests.stress.stress import DEFECTS, NOT_DRAWN, defective, machine, search, sound


def test_a_few_operations_leave_a_system_in_order():
    kind = machine()
    search(kind, 0, systems=3, steps=12)
    assert kind.tally.operations >= 24


@pytest.mark.slow
def test_nothing_breaks_over_thousands_of_operations_and_the_executors_agree():
    tally = sound(4_000)
    assert tally.twins
    assert not tally.oracles


@pytest.mark.slow
@pytest.mark.parametrize("driver", ["current", "latest", "ideal"])
def test_other_drivers_are_as_sound_with_and_without_range_invalidation(driver):
    assert not sound(1_000, driver=driver).oracles


@pytest.mark.slow
@pytest.mark.parametrize("defect", DEFECTS)
def test_the_same_operations_show_each_defect_to_its_oracle(defect):
    tally = defective(defect, 20_000)
    assert DEFECTS[defect][1] & tally.oracles.keys()


def test_every_defect_is_among_them():
    assert DEFECTS.keys() | NOT_DRAWN == DefectOptions.model_fields.keys()
    assert not DEFECTS.keys() & NOT_DRAWN
