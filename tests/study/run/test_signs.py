"""In which order a run is said to have shown what it did."""

from __future__ import annotations

from cosim.oracles import Violation
from cosim.study.explore.row import told
from cosim.study.pool.record import Record
from cosim.study.run.signs import first_of_each


def violation(time: int, signature: str) -> Violation:
    return Violation(signature.partition(":")[0], signature, f"at {time}", time, time)


SHOWN = (
    violation(30, "command-ring: a slot was published that was not filled"),
    violation(90, "command-ring: cqt moved back"),
    violation(20, "command-ring: cqt moved back"),
    violation(20, "a: what was told later of the same time"),
)
"""As oracles have reported them: one of them only knew of its violation later."""


def test_what_was_first_in_time_comes_first_and_not_what_is_first_in_the_alphabet() -> None:
    """What comes later may only have followed from it, and a finding is named for the first."""
    record = Record("failed", ("violations: 4, expected 0", "threads: cpu0.t has not finished"), violations=SHOWN)
    signs = ["command-ring: cqt moved back", SHOWN[3].signature, SHOWN[0].signature]
    assert list(record.signs) == [*signs, "threads: cpu0.t has not finished"]
    assert told(record) == (
        "command-ring: cqt moved back: at 20",
        f"{SHOWN[3].signature}: at 20",
        f"{SHOWN[0].signature}: at 30",
        *record.failures,
    )


def test_the_first_violation_of_a_signature_is_the_first_in_time() -> None:
    assert [each.time_ps for each in first_of_each(SHOWN).values()] == [20, 20, 30]
