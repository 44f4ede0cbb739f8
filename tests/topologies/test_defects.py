"""The topologies that show a defect of the hardware: each by itself, clean without it, and at no tuned latency."""

from __future__ import annotations

from functools import cache

import pytest

import cosim
from cosim.hw.iommu.options import DefectOptions
from cosim.system.load import shipped
from tests.topologies.latencies import latencies, scaled

DEFECTS = tuple(DefectOptions.model_fields)
SCALINGS = 20
SEEDS = 5


def sound(defect: str) -> dict[str, object]:
    """What takes a defect away, and with it what is expected to be seen."""
    return {f"iommu0.defects.{defect}": DefectOptions.model_fields[defect].default, "expect.signatures": []}


@cache
def failures(
    defect: str, *, there: bool, scaling: int | None = None, seed: int = 1, driver: str | None = None
) -> tuple[str, ...]:
    """What fails in a defect's topology: with the defect, that it is not seen; without it, that something is."""
    changes: dict[str, object] = {} if there else sound(defect)
    if scaling is not None:
        changes |= scaled(cosim.load(defect), scaling)
    return cosim.run(defect, set=changes, seed=seed, driver=driver).failures


def test_every_defect_has_a_topology_of_its_name_and_no_other_defect_in_it() -> None:
    assert {name for name, path in shipped().items() if path.parent.name == "defects"} == set(DEFECTS)
    for name in DEFECTS:
        (iommu,) = cosim.load(name).of_kind("iommu").values()
        assert iommu.defects.model_fields_set == {name}


def test_no_two_topologies_have_the_same_name() -> None:
    folder = shipped()["quickstart"].parent
    assert sorted(shipped().values()) == sorted(folder.rglob("*.yaml"))


@pytest.mark.parametrize("defect", DEFECTS)
def test_its_opening_comment_names_the_oracles_that_see_it_and_how_to_take_it_away(defect: str) -> None:
    comment = shipped()[defect].read_text(encoding="utf-8").partition("\nparts:")[0]
    expect = cosim.load(defect).expect
    assert expect
    assert expect.signatures
    assert expect.violations is None, "what is seen is said by signature"
    for signature in expect.signatures:
        assert f"`{signature.partition(':')[0]}`" in comment
    (path, value), _ = sound(defect).items()
    assert f"  -s {path}={str(value).lower()} -s 'expect.signatures=[]'" in comment


@pytest.mark.slow
@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_shows_by_itself_and_nothing_is_wrong_without_it(defect: str) -> None:
    assert failures(defect, there=True) == ()
    assert failures(defect, there=False) == ()


@pytest.mark.slow
@pytest.mark.parametrize("driver", ["current", "latest", "ideal"])
@pytest.mark.parametrize("defect", DEFECTS)
def test_it_does_so_under_later_drivers_too(defect: str, driver: str) -> None:
    assert failures(defect, there=True, driver=driver) == ()
    assert failures(defect, there=False, driver=driver) == ()


@pytest.mark.slow
@pytest.mark.parametrize("defect", DEFECTS)
def test_no_latency_and_no_seed_is_tuned_to_show_it(defect: str) -> None:
    for number in range(SCALINGS):
        seed = 1 + number % SEEDS
        assert failures(defect, there=True, scaling=number, seed=seed) == (), number
        assert failures(defect, there=False, scaling=number, seed=seed) == (), number


@pytest.mark.slow
def test_a_defect_that_is_not_there_is_missed() -> None:
    failed = cosim.run("skip_permissions", set={"iommu0.defects.skip_permissions": False}).failures
    (missed,) = failed
    assert missed.startswith("signatures: no violation of foreign-dma: write of a page without that permission was")


def test_every_latency_of_the_hardware_is_scaled() -> None:
    topology = cosim.load("early_fence")
    before = dict(latencies(topology))
    assert {"dram0.latency", "cxl0.latency", "cpu0.timing.drain", "iommu0.timing.fence", "nic0.link"} <= before.keys()
    after = dict(latencies(cosim.load(topology, set=scaled(topology, 0))))
    assert after.keys() == before.keys()
    factors = [after[path] / before[path] for path in before]
    assert len({round(factor, 3) for factor in factors}) > len(factors) / 2
    assert all(0.799 <= factor <= 1.251 for factor in factors)
