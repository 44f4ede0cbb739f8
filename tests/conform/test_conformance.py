"""The modelled IOMMU answers as the specification's reference model does, whatever its geometry and latencies."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from cosim.hw.iommu.options import UNIMPLEMENTED, DefectOptions
from cosim.study.conform.conform import EXECUTORS, ScenarioMachine, ScenarioVerdict, replay
from cosim.study.conform.steps import ExpectSync, MemRead, RegRead, Response, Sync, Translate
from cosim.study.conform.vectors import Scenario
from tests.conform.scenarios import GROUPS, scenarios

# How many pass; that grows with every capability that is implemented.
PASSING = {
    "regs_reset": 15,
    "regs_warl": 54,
    "ddtp_modes": 16,
    "ddt_faults": 42,
    "dc_misconfig": 133,
    "s1_walk": 163,
    "perms": 0,
    "ad_bits": 46,
    "cmd": 53,
    "iofence": 14,
    "fq": 11,
    "interrupts": 4,
    "gxl": 0,
    "txn_type": 4,
    "caching": 23,
    "pbmt": 4,
    "endian": 5,
    "random_walk": 77,
    "random_fault": 179,
    "random_inval": 54,
    "spec_text": 9,
}


def failures(verdicts: list[ScenarioVerdict]) -> list[str]:
    return [str(verdict) for verdict in verdicts if verdict.outcome == "failed"]


def check_skips(verdicts: list[ScenarioVerdict]) -> None:
    """A scenario is skipped only for a capability that a topology may not ask for either."""
    for verdict in verdicts:
        assert (verdict.outcome == "skipped") == bool(verdict.capability)
        assert not verdict.capability or verdict.capability.lower() in UNIMPLEMENTED, verdict


def test_the_page_on_correctness_has_the_numbers() -> None:
    """Of the eighteen groups that are to run; `test_every_scenario` sees that they do."""
    recorded = [group for group in GROUPS if group not in ("pbmt", "endian", "spec_text")]
    total, passing = sum(len(scenarios(group)) for group in recorded), sum(PASSING[group] for group in recorded)
    text = (Path(__file__).parents[2] / "docs" / "correctness.md").read_text()
    assert f"{passing} of {total:,} scenarios run and pass, none fails; {total - passing:,} exercise" in text


@pytest.mark.parametrize("group", GROUPS)
def test_a_few_scenarios_of_each_group(group: str) -> None:
    verdicts = [replay(scenario) for scenario in scenarios(group, 20)]
    assert not failures(verdicts)
    check_skips(verdicts)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_few_scenarios_on_random_machines(executor: str) -> None:
    some = [scenario for group in GROUPS for scenario in scenarios(group, 1)]
    machines = (ScenarioMachine.drawn(seed, EXECUTORS[executor]) for seed in range(len(some)))
    assert not failures([replay(scenario, machine) for scenario, machine in zip(some, machines, strict=True)])


@pytest.mark.slow
@pytest.mark.parametrize("group", GROUPS)
def test_every_scenario(group: str) -> None:
    verdicts = [replay(scenario) for scenario in scenarios(group)]
    assert not failures(verdicts)
    check_skips(verdicts)
    assert Counter(verdict.outcome for verdict in verdicts)["passed"] == PASSING[group]


@pytest.mark.slow
@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("group", GROUPS)
def test_every_scenario_on_a_random_machine_of_its_own(group: str, executor: str) -> None:
    """The same scenarios pass, and the same ones are skipped, as on the machine without latencies."""
    for seed, scenario in enumerate(scenarios(group)):
        assert replay(scenario, ScenarioMachine.drawn(seed, EXECUTORS[executor])) == replay(scenario)


# --- The other side: differences are seen -------------------------------------------------------------------------


def altered(scenario: Scenario, op: str) -> tuple[int, Scenario]:
    """The scenario with the last expectation of its kind changed, and where that is."""
    steps = list(scenario.steps)
    at = max(index for index, step in enumerate(steps) if step.op == op)
    step = steps[at]
    change: dict[str, Any] = {}
    match step:
        case RegRead():
            assert step.val is not None
            change = {"val": step.val ^ step.mask & -step.mask}
        case MemRead():
            change = {"data": bytes([step.data[0] ^ ((step.mask or b"\1")[0] & 1), *step.data[1:]])}
        case Translate():
            assert step.rsp is not None
            change = {"rsp": Response(status="success" if step.rsp.status == "ur" else "ur")}
        case ExpectSync():
            change = {"syncs": [*step.syncs, Sync(pr=1, pw=1)]}
    steps[at] = step.model_copy(update=change)
    return at, scenario.model_copy(update={"steps": steps})


@pytest.mark.parametrize(
    ("group", "op", "field"),
    [
        ("regs_reset", "reg_read", "register"),
        ("fq", "mem_read", "memory at"),
        ("s1_walk", "translate", "status"),
        ("iofence", "expect_sync", "syncs"),
    ],
)
def test_an_expectation_that_is_wrong_fails_at_its_step(group: str, op: str, field: str) -> None:
    passing = next(
        scenario
        for scenario in scenarios(group)
        if any(step.op == op and getattr(step, "val", 0) is not None for step in scenario.steps)
        and replay(scenario).outcome == "passed"
    )
    at, wrong = altered(passing, op)
    verdict = replay(wrong)
    assert (verdict.outcome, verdict.step) == ("failed", at)
    assert verdict.field.startswith(field)
    assert str(verdict).startswith(f"{group}/{passing.name}: failed at step {at}, {verdict.field}: expected ")


def test_an_address_that_is_wrong_is_told_with_both_values() -> None:
    scenario, at = next(
        (scenario, at)
        for scenario in scenarios("s1_walk")
        for at, step in enumerate(scenario.steps)
        if isinstance(step, Translate) and step.rsp is not None and step.rsp.status == "success"
    )
    steps = list(scenario.steps)
    steps[at] = steps[at].model_copy(update={"rsp": Response(status="success", pa=0x123)})
    verdict = replay(scenario.model_copy(update={"steps": steps}))
    assert (verdict.step, verdict.field, verdict.expected) == (at, "pa", "0x123")
    assert int(verdict.got, 0) != 0x123


@pytest.mark.parametrize("defects", [{"cache_invalid": True}, {"lose_invalidation": 1}])
def test_hardware_with_a_defect_fails(defects: dict[str, int]) -> None:
    machine = ScenarioMachine(defects=DefectOptions.model_validate(defects))
    verdicts = [replay(scenario, machine) for scenario in scenarios("caching")]
    assert failures(verdicts)
