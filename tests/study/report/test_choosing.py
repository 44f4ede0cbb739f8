"""Which of a few steps are drawn beside a violation."""

from __future__ import annotations

from cosim.oracles import Violation
from cosim.study.report.ordering.choosing import chosen
from cosim.study.report.ordering.memory import Subject
from cosim.study.report.ordering.steps import PAGE_HERE, Step, Weight


def test_reads_are_drawn_of_the_page_that_was_violated_and_of_no_other() -> None:
    x, y, x_of_another = Subject("shared", 1), Subject("shared", 2), Subject("own", 1)
    steps = [
        Step(time, "nic0", f"reads {PAGE_HERE}", Weight.EFFECT, subject)
        for time, subject in enumerate((y, x, x_of_another, x, y, x))
    ]
    violation = Violation("freed-memory", "freed-memory: read", "nic0 reads IOVA 0x1000, a freed page", 5, 5)
    picture = chosen(steps, violation, held=(), times=[5])
    assert picture.subjects == (x,)
    assert [step.time for step in picture.steps] == [1, 3, 5]
    assert picture.left_out == 0
