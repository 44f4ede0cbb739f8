"""Every ordering rule is there for a reason: without any one of them, a forbidden outcome is reached."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cosim import compiled
from cosim.hw.cpu.hart import Hart
from cosim.hw.cpu.ordering import MODELS
from cosim.study.conform.litmus import Test
from cosim.study.conform.litmus.search import Search
from tests.litmus.cases import by_name

RVWMO = MODELS["rvwmo"]


def without(rule: str) -> dict[str, Any]:
    return {rule: False}


def without_fence(pair: str) -> dict[str, Any]:
    return {"fences": RVWMO.fences - {pair}}


MUTATIONS: list[tuple[str, dict[str, Any], str]] = [
    ("rvwmo", without("stores_overlap"), "CoWW"),
    ("rvwmo", without("loads_coherent"), "CoRR"),
    ("rvwmo", without("loads_follow_stores"), "CoWR0"),
    ("rvwmo", without("atomic_result"), "MP+fence.rw.rw+amoswap-rfi-addr"),
    ("rvwmo", without_fence("rr"), "MP+poprl+fence.r.rw"),
    ("rvwmo", without_fence("wr"), "R+poprl+fence.rw.rw"),
    ("rvwmo", without_fence("ww"), "MP+fence.rw.w+addr"),
    ("rvwmo", without_fence("wo"), "pte-doorbell+fence.w.o"),
    ("rvwmo", without_fence("ow"), "mmiowb+fence.o.w.swap.rl+ctrl"),
    ("rvwmo", without_fence("oo"), "mmio-two-devices+fence.o.o"),
    ("rvwmo", without_fence("ir"), "dma-completion+fence.i.r"),
    ("rvwmo", without_fence("or"), "SB.io+fence.o.r"),
    ("rvwmo", without_fence("wi"), "SB.memory-register+fence.w.i"),
    ("rvwmo", without_fence("oi"), "SB.two-devices+fence.o.i"),
    ("rvwmo", {"fence_tso": frozenset({"ww"})}, "MP+fence.tsos"),
    ("rvwmo", {"fence_tso": frozenset({"rr"})}, "2+2W+fence.tsos"),
    ("rvwmo", without("load_acquire"), "MP+poprl+poaqaq"),
    ("rvwmo", without("atomic_acquire"), "MP+poarps+NEW"),
    ("rvwmo", without("store_release"), "2+2W+poprls"),
    ("rvwmo", without("atomic_release"), "MP+popars+NEW"),
    ("rvwmo", without("address"), "MP+poprl+addr"),
    ("rvwmo", without("address"), "dma-completion+addr"),
    ("rvwmo", without("forwarded_address"), "MP+fence.rw.rw+addr-rfi-addr"),
    ("rvwmo", without("forwarded_data"), "MP+fence.rw.rw+data-rfi-addr"),
    ("rvwmo", without("forwarded_data"), "dma-completion+data-rfi-addr"),
    ("rvwmo", without("device_in_order"), "SB.one-device+po"),
    ("rvwmo", without("device_in_order"), "mmio-same-device"),
    ("tso", without("total_order"), "2+2W"),
    ("tso", without_fence("wr"), "gen:SB+w.rw+w.rw"),
    ("sequential", {"buffer": True}, "SB"),
]


@pytest.mark.parametrize(
    ("model", "change", "name"), MUTATIONS, ids=[f"{model}-{name}" for model, _, name in MUTATIONS]
)
def test_without_the_rule_a_forbidden_outcome_is_reached(model: str, change: dict[str, Any], name: str) -> None:
    test = by_name()[name]
    assert Search(test, MODELS[model]).outcomes() <= test.allowed[model]
    assert not Search(test, replace(MODELS[model], **change)).outcomes() <= test.allowed[model]


STRUCTURAL = [
    ("data dependency", "LB+datas"),
    ("control dependency", "LB+ctrls"),
    ("address dependency of a store", "LB+addr+ctrl"),
    ("fence r,w", "LB+fence.rw.ws"),
    ("load acquire", "LB+poaqps"),
    ("store release", "LB+poprls"),
]


@pytest.mark.parametrize(("rule", "name"), STRUCTURAL, ids=str)
def test_what_blocking_loads_keep_is_lost_when_a_store_goes_first(rule: str, name: str) -> None:
    """These orders need no rule as long as a thread waits for its loads; a program in another order does not."""
    test = by_name()[name]
    assert Search(test, RVWMO).outcomes() <= test.allowed["rvwmo"]
    first, *others = test.threads
    load, store = first[0], first[-1]
    assert (load.op, store.op) == ("load", "store")
    free = replace(store, value=1, address_from=(), data_from=(), control_from=())
    swapped: Test = replace(test, threads=((free, load), *others))
    assert not Search(swapped, RVWMO).outcomes() <= test.allowed["rvwmo"]


class ForgetsWhatHasLeft(Hart):
    """Its fences order later loads behind what is pending, not behind what has taken hold already."""

    def _order(self, pairs: frozenset[str]) -> None:
        super()._order(pairs - {"wr", "or"})
        self.writes.fence(pairs)


@pytest.mark.skipif(compiled.runs(), reason="derives a hart")
@pytest.mark.parametrize("name", ["ISA13+BIS", "rcu-sync+fence.rw.rw", "SB.io+fence.o.r"])
def test_a_fence_behind_writes_that_have_left_orders_loads_as_one_before_does(name: str) -> None:
    """The search issues each fence early and late: a hart that is wrong only in the latter case is seen as well."""
    test = by_name()[name]
    assert Search(test, RVWMO).outcomes() <= test.allowed["rvwmo"]
    assert not Search(test, RVWMO, ForgetsWhatHasLeft).outcomes() <= test.allowed["rvwmo"]


@pytest.mark.parametrize("pair", ["ri", "ro", "rw", "ii", "io", "iw"])
def test_a_hart_that_blocks_on_its_reads_needs_no_rule_to_order_them_first(pair: str) -> None:
    """The other pairs of a fence: dropping them changes nothing in any of the tests about registers."""
    for test in by_name().values():
        if any("." in location for location in test.initial):
            weaker = replace(RVWMO, fences=RVWMO.fences - {pair})
            assert Search(test, weaker).outcomes() <= test.allowed["rvwmo"]


def test_every_rule_is_dropped_by_one_of_these_tests() -> None:
    dropped = {rule for _, change, _ in MUTATIONS for rule in change}
    assert set(type(RVWMO).__dataclass_fields__) - dropped == {"past"}
