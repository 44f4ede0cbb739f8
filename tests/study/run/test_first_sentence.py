"""The first sentence is true: what it names, made larger, makes the requests it speaks of better, in random systems.

`benchmarks/first_sentence.py` looks at many more of them, and says by how much.
"""

from __future__ import annotations

import pytest

from tests.study.run.systems import MARGIN, improvement

SEEDS = range(200, 212)
MORE = (*range(212, 213), *range(214, 260))


def check(seed: int) -> None:
    said, better = improvement(seed)
    assert better is None or better > MARGIN, f"system {seed}: {said!r} made it better by {better:.1%}"


@pytest.mark.parametrize("seed", SEEDS)
def test_what_the_first_sentence_names_is_what_to_enlarge(seed: int) -> None:
    """Slow for a test that is not marked so, since nothing smaller shows it."""
    check(seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", MORE)
def test_what_the_first_sentence_names_is_what_to_enlarge_in_more_systems(seed: int) -> None:
    check(seed)


def test_a_change_that_is_not_named_need_not_help() -> None:
    """What the test measures can tell: a way that no request takes."""
    said, better = improvement(202, sets=["dev0.register_access=1 ns"])
    assert "outstanding" in said
    assert better is not None
    assert better < MARGIN
