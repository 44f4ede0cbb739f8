"""The patterns of a device's addresses: where each goes first, and that every pattern is told here and in the docs."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest

from cosim.hw.dma.options import TrafficOptions
from cosim.hw.dma.patterns import PATTERNS, Space
from cosim.sim.chooser import Chooser

FIRST: dict[str, list[int] | None] = {
    "none": None,
    "replay": None,
    "sequential": [0, 64, 128, 0],
    "strided": [0, 128, 0, 128],
    "random": [128, 128, 128, 0],
    "hot_cold": [64, 0, 64, 0],
    "zipf": [0, 0, 64, 0],
    "told": [0, 64, 128, 0],
}
"""The first offsets of requests of 64 bytes in a window of 192, at a stride of 128."""

DOCS = Path(__file__).parents[3] / "docs" / "topology-reference.md"


def test_each_pattern_goes_where_it_says() -> None:
    assert FIRST.keys() == PATTERNS.keys(), "a pattern has no row in FIRST: where do its first requests go?"
    for name, first in FIRST.items():
        offsets = PATTERNS[name].offsets
        if offsets is None or first is None:
            assert offsets is first is None, name
            continue
        found = list(islice(offsets(Space(64, 192, 128, hot=64, hot_share=0.3), Chooser(0).stream("nic0.traffic")), 4))
        assert found == first, name


def test_a_stride_is_a_whole_number_of_words() -> None:
    strided = PATTERNS["strided"].offsets
    assert strided is not None
    assert list(islice(strided(Space(8, 64, 12), Chooser(0).stream("nic0.traffic")), 5)) == [0, 16, 32, 48, 0]


@pytest.mark.parametrize("name", PATTERNS)
def test_each_pattern_is_in_the_reference(name: str) -> None:
    assert f"| `{name}` | {PATTERNS[name].says} |" in DOCS.read_text(encoding="utf-8"), "run `make docs`"


@pytest.mark.parametrize("name", PATTERNS)
def test_what_a_pattern_heeds_is_an_option_of_traffic(name: str) -> None:
    assert PATTERNS[name].heeds <= TrafficOptions.model_fields.keys()
