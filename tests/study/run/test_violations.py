"""Violations of a run: all are counted, by signature; enough are kept to show one of each."""

from __future__ import annotations

from unittest.mock import Mock

import pytest

from cosim.oracles import Bounds, Violation
from cosim.sim.chooser import Chooser
from cosim.sim.simulation import Sim
from cosim.study.run import violations
from cosim.study.run.violations import Violations


def found(signature: str) -> Violation:
    return Violation("stale-dma", signature, "nic0 ...", 2, 1)


def test_all_are_counted_and_the_first_of_each_signature_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(violations, "KEPT", 2)
    kept = Violations(Sim(Chooser()), Bounds())
    for signature in ("read", "read", "read", "write", "write"):
        kept._violated(found(signature))
    assert kept.count == 5
    assert kept.signatures == {"read": 3, "write": 2}
    assert [violation.signature for violation in kept.kept] == ["read", "read", "write"]


def test_each_that_is_kept_says_where_in_the_source_it_came() -> None:
    source = Mock()
    source.stands.side_effect = lambda message, since: f" at line {since}"
    kept = Violations(Sim(Chooser()), Bounds(), (), source=source)
    for signature in ("read", "read", "write"):
        kept._violated(found(signature))
    assert [violation.message for violation in kept.kept] == ["nic0 ... at line 1"] * 3
