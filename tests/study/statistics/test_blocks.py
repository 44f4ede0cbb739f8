"""Blocks of samples: whatever comes in whichever portions, nothing is lost and the order stays."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.study.statistics import blocks as module
from cosim.study.statistics.blocks import Blocks


@settings(max_examples=20)
@given(st.lists(st.integers(0, 300), min_size=1, max_size=5), st.integers(0, 10**9))
def test_the_means_of_blocks_are_those_of_the_samples_that_are_in_them(portions: list[int], seed: int) -> None:
    samples = np.random.default_rng(seed).integers(0, 10**12, sum(portions))
    most, module.MOST = module.MOST, 64
    try:
        blocks = Blocks()
        for portion in np.split(samples, np.cumsum(portions)[:-1]):
            blocks.take(portion)
        assert len(blocks) <= 64
        size = blocks.size
        assert len(blocks) == len(samples) // size
        whole = samples[: len(blocks) * size].reshape(-1, size).sum(axis=1)
        for number in {1, 3, len(blocks)} - {0}:
            if number <= len(blocks):
                each = len(blocks) // number
                wanted = whole[len(blocks) - each * number :].reshape(number, each).sum(axis=1) / (each * size)
                assert np.allclose(blocks.means(number), wanted, rtol=1e-14)
    finally:
        module.MOST = most
