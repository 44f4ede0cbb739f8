"""Both executors do the same in systems full of ties, and so does the compiled core (all of them: `make stress`)."""

from __future__ import annotations

import pytest

from tests.compiled.test_equal import needs_a_core
from tests.stress.equal import compared, differences, told
from tests.stress.ties import LARGE, tied

SYSTEMS = [number for number in range(204) if number % LARGE < LARGE - 1]


@pytest.mark.parametrize("number", SYSTEMS)
def test_the_executors_do_the_same_to_the_last_number_and_cache_entry(number: int) -> None:
    assert not differences({executor: told(number, executor) for executor in ("agenda", "plain")})


@needs_a_core
def test_the_compiled_core_does_the_same_as_its_source() -> None:
    assert [what for _, what in compared(range(2), "01", 1)] == [[], []]


@pytest.mark.slow
@pytest.mark.parametrize("number", range(LARGE - 1, 10 * LARGE, LARGE))
def test_so_they_do_with_64_devices(number: int) -> None:
    assert not differences({executor: told(number, executor) for executor in ("agenda", "plain")})
    assert len(tied(number).devices()) == 64


def test_what_differs_is_named_and_what_does_not_is_not() -> None:
    one = told(0, "agenda")
    assert differences({"agenda": one, "plain": one}) == []
    other = one | {"digest": "", "iommu0.iotlb": ""}
    assert differences({"agenda": one, "plain": one, "compiled": other}) == [
        "agenda and compiled: digest, iommu0.iotlb"
    ]


def test_systems_are_full_of_ties_and_of_what_is_awkward() -> None:
    drawn = [tied(number) for number in SYSTEMS[:25]]
    assert all(tied(number) == topology for number, topology in zip(SYSTEMS[:25], drawn, strict=True))
    assert {len(topology.of_kind("iommu")) for topology in drawn} == {1, 2, 3}
    assert {thread.does for topology in drawn for thread in topology.threads} == {
        *("map-unmap", "attach-detach", "domain-cycle"),
    }
    assert any(len({thread.on for thread in topology.threads}) < len(topology.threads) for topology in drawn)
