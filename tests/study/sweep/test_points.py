"""Points of the axes become topologies; an axis that nothing of is left at a point is told."""

from __future__ import annotations

from cosim.config.source import Source
from cosim.study.sweep.axes import Axis
from cosim.study.sweep.plan import Plan
from cosim.study.sweep.points import Subject
from cosim.system.load import load
from tests.study.pool.systems import TINY


def test_how_many_parts_there_are_may_be_an_axis() -> None:
    plan = Plan(Subject(load(Source.parse(TINY))), (Axis.parse("dev0.count=1,3"),))
    *_, loaded, _ = plan.checked()
    assert [list(topology.parts)[2:] for topology in loaded.values()] == [["dev00"], ["dev00", "dev01", "dev02"]]
