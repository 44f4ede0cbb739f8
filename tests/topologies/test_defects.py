"""The topologies that show a defect of the hardware: each by itself, clean without it, and at no tuned latency."""

from __future__ import annotations

from collections import Counter
from functools import cache

import pytest

import cosim
from cosim.hw.iommu.options import DefectOptions
from cosim.system.load import shipped
from tests.topologies.latencies import latencies, scaled

STALE = {"stale-dma", "freed-memory"}
SEEN: dict[str, set[str]] = {
    "cache_invalid": {"refused-dma"},
    "lose_invalidation": STALE,
    "early_fence": STALE,
    "stale_fill": STALE,
    "keep_nonleaf": {"freed-memory", "refused-dma"},
    "keep_context": {"stale-dma"},
    "lose_buffered": {"lost-faults"},
}
"""The oracles that see each defect."""
SCALINGS = 20
SEEDS = 5


def sound(defect: str) -> dict[str, object]:
    """What takes a defect away, and with it what is expected to be seen."""
    without = DefectOptions.model_fields[defect].default
    return {f"iommu0.defects.{defect}": without, "expect.violations": 0}


@cache
def found(defect: str, *, there: bool, scaling: int | None = None, seed: int = 1) -> tuple[str, Counter[str]]:
    """The outcome of a defect's topology, with the defect or without, and how many violations each oracle reported."""
    changes: dict[str, object] = {} if there else sound(defect)
    if scaling is not None:
        changes |= scaled(cosim.load(defect), scaling)
    result = cosim.run(defect, set=changes, seed=seed)
    return result.outcome, Counter(violation.oracle for violation in result.violations)


def test_every_defect_has_a_topology_of_its_name_and_no_other_defect_in_it() -> None:
    there = {name for name, path in shipped().items() if path.parent.name == "defects"}
    assert there == set(SEEN) == set(DefectOptions.model_fields)
    for name in there:
        (iommu,) = cosim.load(name).of_kind("iommu").values()
        assert iommu.defects.model_fields_set == {name}


def test_no_two_topologies_have_the_same_name() -> None:
    folder = shipped()["quickstart"].parent
    assert sorted(shipped().values()) == sorted(folder.rglob("*.yaml"))


def test_its_opening_comment_names_the_oracles_that_see_it_and_how_to_take_it_away() -> None:
    for defect, oracles in SEEN.items():
        comment = shipped()[defect].read_text(encoding="utf-8").partition("\nparts:")[0]
        assert all(f"`{oracle}`" in comment for oracle in oracles), defect
        for path, value in sound(defect).items():
            assert f"-s {path}={str(value).lower()}" in comment, defect


@pytest.mark.slow
@pytest.mark.parametrize("defect", SEEN)
def test_a_defect_shows_by_itself_and_nothing_is_wrong_without_it(defect: str) -> None:
    outcome, oracles = found(defect, there=True)
    assert outcome == "ok"
    assert SEEN[defect] <= oracles.keys()
    assert found(defect, there=False) == ("ok", Counter())


@pytest.mark.slow
@pytest.mark.parametrize("defect", SEEN)
def test_no_latency_and_no_seed_is_tuned_to_show_it(defect: str) -> None:
    for number in range(SCALINGS):
        seed = 1 + number % SEEDS
        outcome, oracles = found(defect, there=True, scaling=number, seed=seed)
        assert outcome == "ok", number
        assert SEEN[defect] <= oracles.keys(), number
        assert found(defect, there=False, scaling=number, seed=seed) == ("ok", Counter()), number


def test_every_latency_of_the_hardware_is_scaled() -> None:
    topology = cosim.load("early_fence")
    before = dict(latencies(topology))
    assert {"dram0.latency", "cxl0.latency", "cpu0.timing.drain", "iommu0.timing.fence", "nic0.link"} <= before.keys()
    after = dict(latencies(cosim.load(topology, set=scaled(topology, 0))))
    assert after.keys() == before.keys()
    factors = [after[path] / before[path] for path in before]
    assert len({round(factor, 3) for factor in factors}) > len(factors) / 2
    assert all(0.799 <= factor <= 1.251 for factor in factors)
