"""What every run comes to is what is written down; if another outcome is meant, `make reference` writes it anew."""

from __future__ import annotations

import pytest

import cosim
from tests.reference.runs import PARTS, firsts, runs, written

WRITTEN = written()


@pytest.mark.parametrize("name", WRITTEN)
def test_a_run_comes_to_what_is_written_down(name: str) -> None:
    first = name.partition(",")[0]
    if first == "in C":
        pytest.importorskip("elftools", reason="objects are read with pyelftools: pip install 'cosim[kernel]'")
    assert runs(first)[name]() == WRITTEN[name], "if that is meant: make reference"


def test_something_is_written_of_every_topology() -> None:
    assert {name.partition(",")[0] for name in WRITTEN} == set(firsts())


@pytest.mark.slow
def test_every_run_is_written_down() -> None:
    assert [name for first in firsts() for name in runs(first)] == list(WRITTEN)


def test_all_of_a_result_but_what_names_the_run_is_written_down() -> None:
    """`idle_steps` is of what was taken out of the driver, and follows from what the run did."""
    told = set(cosim.run("c2_nothing_unmaps").as_json())
    seen = {part for parts in PARTS.values() for part in parts} | {"events", "simulated_ps", "digest"}
    assert told - seen == {
        *("cosim", "model", "topology", "driver", "seed", "schedule", "samples", "series", "idle_steps")
    }
