"""What hardware yields, threads await and a CPU's steps yield stands on one page, and each of it is carried out."""

from __future__ import annotations

from typing import get_args

import pytest

from cosim.hw.cpu.instructions import INSTANT, INSTRUCTIONS
from cosim.sim import operations
from cosim.sim.demand import Demand
from cosim.sim.operations import Load, Op, Poll, PollEither, Step, Store, StoreBlock
from cosim.sim.places import place_of

PAGE = operations.__doc__ or ""


def kinds_of(base: type) -> set[type]:
    """All classes of the product below `base`."""
    found = {kind for direct in base.__subclasses__() for kind in ({direct} | kinds_of(direct))}
    return {kind for kind in found if kind.__module__.startswith("cosim.")}


def test_the_page_has_every_word_of_the_three_vocabularies() -> None:
    assert {kind.__name__ for kind in kinds_of(Demand)} == {"Access", "Server", "Service", "Gate"}
    for kind in (*kinds_of(Demand), *get_args(Step)):
        assert f"\n  {kind.__name__} " in PAGE, kind
    assert {kind.__name__ for kind in kinds_of(Op)} <= set(operations.__all__)


def test_a_cpu_carries_out_every_operation_and_no_other() -> None:
    assert {*INSTRUCTIONS, *INSTANT} == kinds_of(Op)
    assert not INSTRUCTIONS.keys() & INSTANT.keys()


@pytest.mark.parametrize(
    ("op", "size"),
    [
        (Load(0, 4), 4),
        (Store(0, 0), 8),
        (StoreBlock(0, (0,) * 512), 4096),
        (PollEither(Poll(0, 0, timeout_ps=1), Poll(0, 0, 8, timeout_ps=1)), 12),
        (operations.Fence("w", "w"), 0),
        (operations.Now(), 0),
    ],
)
def test_an_operation_knows_how_many_bytes_it_touches(op: Op[object], size: int) -> None:
    assert (op.size, op.place, place_of(op)) == (size, "", "")
