"""A choice that a run never came to is answered with those that there were."""

from __future__ import annotations

import pytest

from cosim.study.run.nearest_choice import nearest_choice

COUNTS = {"nic0.fill": 254, "nic0.issue": 1, "cpu0.unmap.st": 7, "cpu0.unmap.ld": 3}


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ("nic0.fill#99999:2", "nic0.fill ended with #253"),
        ("nic0.fil#1:2", "did you mean nic0.fill#0 to #253?"),
        ("nic0.isue#3:1", "did you mean nic0.issue#0?"),
        ("nic0.issue#3:1", "nic0.issue has only #0"),
        ("cpu0.unmap.st#3.1:2", "cpu0.unmap.st#3 never asked as .1"),
        ("cpu0.unmap.ld#2.past:1", "cpu0.unmap.ld#2 never asked as .past"),
        ("cpu0.unmap.membarrier#0:1", "of cpu0.unmap there are cpu0.unmap.st, cpu0.unmap.ld"),
        ("gpu7.walk#0:1", "nobody is called gpu7.walk"),
    ],
)
def test_the_nearest_is_named(choice: str, words: str) -> None:
    assert nearest_choice(choice, COUNTS) == words
