"""How many of a test's seeds every run tries; the others are slow and run by name."""

from collections.abc import Iterable
from typing import Any

import pytest


def seeds(every: Iterable[int], always: int) -> list[Any]:
    """All seeds of `every`, of which those behind the first `always` carry the slow marker."""
    return [seed if n < always else pytest.param(seed, marks=pytest.mark.slow) for n, seed in enumerate(every)]
