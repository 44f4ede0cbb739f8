"""The verdict of a run: every request that failed and every queue that stands in an error is told, and can be expected.

A request that an IOMMU refused is a fault; one that memory refused, or that met no memory, is an error on the bus.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

import cosim
from cosim.config.problems import TopologyError
from cosim.events import KernelLog
from cosim.sim.simulation import Sim
from cosim.study.run.expect import Findings, failures_of
from cosim.study.run.failed_requests import total
from cosim.study.run.kernel_lines import KEPT, KernelLines
from cosim.study.run.result import Result
from cosim.system.topology import ExpectOptions
from cosim.units.quantities import format_time

SWITCH = """
# A running device is moved into the identity domain and back: its IOVAs are no addresses of memory there.
parts:
  dram0:  {kind: memory, base: 0x8000_0000, size: 64 MiB}
  cpu0:   {kind: cpu}
  cpu1:   {kind: cpu}
  iommu0: {kind: iommu, base: 0x0300_0000}
  nic0:   {kind: dma, through: iommu0, traffic: {size: 64 B, window: 16 KiB, interval: 100 ns, outstanding: 16}}
threads:
  - {on: cpu1, does: attach-detach, devices: nic0, domains: [identity], stay: 2 us, count: 1, start: 2 us}
run: {until: 90 us}
"""

ILLEGAL = """
from dataclasses import dataclass

from cosim.spec.queues import Iotinval
from cosim.sw.driver.policies.invalidate import PerIommu


@dataclass(frozen=True)
class Illegal(PerIommu):
    async def page(self, driver, iommu, pscid, iova):
        await driver.send(iommu, Iotinval.of(opcode=1, func3=7))
"""

UNMAP = """
parts:
  dram0:  {kind: memory, base: 0x8000_0000, size: 16 MiB}
  cpu0:   {kind: cpu}
  iommu0: {kind: iommu, base: 0x0300_0000}
  nic0:   {kind: dma, through: iommu0, traffic: {requests: 1}}
threads:
  - {on: cpu0, does: map-unmap, domain: nic0, pages: 1, count: 1}
run: {until: 200 us}
"""

CMD_ILL = "iommu0.cqcsr.cmd_ill"

IDLE = """
# No window of nic0 fits in memory; nic1 needs none, and nic2 is found by a thread.
parts:
  dram0:  {kind: memory, base: 0x8000_0000, size: 4 MiB}
  cpu0:   {kind: cpu}
  iommu0: {kind: iommu, base: 0x0300_0000}
  nic0:   {kind: dma, through: iommu0, traffic: {requests: 1, window: 8 MiB, page: 2 MiB}}
  nic1:   {kind: dma, through: iommu0, traffic: {pattern: none}}
  nic2:   {kind: dma, through: iommu0, plugged: false, traffic: {pattern: none}}
threads:
  - {on: cpu0, does: plug, devices: nic2}
run: {until: 3 us}
"""

NO_WINDOW = "no window of 8 MiB in 4 MiB of memory (-ENOMEM: no block of 512 pages for buffer)"

Run = Callable[..., Result]


@pytest.fixture
def switched(tmp_path: Any) -> Run:
    path = tmp_path / "switch.yaml"
    path.write_text(SWITCH, encoding="utf-8")
    return lambda **changes: cosim.run(path, set=changes)


@pytest.fixture
def stopped(tmp_path: Any) -> Run:
    """A run in which the driver's first command is illegal."""
    path = tmp_path / "unmap.yaml"
    path.write_text(UNMAP, encoding="utf-8")
    (tmp_path / "illegal.py").write_text(ILLEGAL, encoding="utf-8")
    return lambda **changes: cosim.run(path, set=changes, driver=f"{tmp_path}/illegal.py:Illegal")


def test_refusals_and_errors_on_the_bus_are_told_apart_and_fail_the_run(switched: Run) -> None:
    result = switched()
    refused, lost = result.faults["nic0"]["ddt_not_valid"], result.bus_errors["nic0"]["access_fault"]
    assert refused > 0
    assert lost > 0
    scalars, ended = result.scalars, result.requests["nic0"]
    assert (scalars["nic0.refused"], scalars["nic0.bus_errors"]) == (refused, lost)
    assert scalars["nic0.failed"] == refused + lost
    assert scalars["iommu0.faults"] == refused
    assert result.outcome == "failed"
    assert result.failures == (
        f"faults: {refused}, expected 0; "
        f"iommu0 refused {refused} of {ended} requests of nic0 (ddt_not_valid {refused})",
        f"bus_errors: {lost}, expected 0; {lost} of {ended} requests of nic0 failed on the bus (access_fault {lost})",
    )


def test_a_run_fails_whose_requests_failed_on_the_bus_alone(switched: Run) -> None:
    result = switched(**{"driver.attach": "live-update"})
    assert not result.faults
    assert result.exit_code == 1
    assert [failure.partition(":")[0] for failure in result.failures] == ["violations", "bus_errors"]
    assert set(result.signatures) == {"context-update: a context is changed while it is valid"}


def test_both_are_in_the_json_by_device(switched: Run) -> None:
    found = json.loads(json.dumps(switched().as_json()))
    assert found["faults"]["nic0"].keys() == {"ddt_not_valid"}
    assert found["bus_errors"]["nic0"].keys() == {"access_fault"}
    assert found["requests"]["nic0"] > 0
    assert found["queue_errors"] == {}


@pytest.mark.slow
def test_both_can_be_expected_and_bounded(switched: Run) -> None:
    seen = switched()
    faults, bus_errors = total(seen.faults), total(seen.bus_errors)
    assert switched(expect={"faults": faults, "bus_errors": {"min": 1, "max": bus_errors}}).outcome == "ok"
    assert switched(expect={"faults": faults, "bus_errors": bus_errors - 1}).outcome == "failed"
    assert switched(expect={"faults": {"max": faults - 1}, "bus_errors": bus_errors}).outcome == "failed"
    assert switched(expect={"faults": faults + bus_errors}).outcome == "failed"


@pytest.mark.slow
def test_failures_are_of_the_whole_run_whenever_the_window_opens(switched: Run) -> None:
    """A failure in the warm-up is a failure; only the scalars are of the window."""
    whole, late = switched(), switched(**{"run.warmup": "88 us"})
    assert late.scalars["nic0.failed"] == 0
    assert (late.faults, late.bus_errors, late.requests) == (whole.faults, whole.bus_errors, whole.requests)
    assert late.failures == whole.failures


def test_of_many_devices_those_that_lost_most_are_named_and_the_others_counted() -> None:
    lost = {f"nic{n}": {"corrupt": 1, "access_fault": n} for n in range(1, 6)}
    found = Findings(
        numbers={},
        faults={"nic0": {"read_page_fault": 2}, "iommu0": {"msi_write_access_fault": 1}},
        bus_errors=lost,
        requests=dict.fromkeys((f"nic{n}" for n in range(6)), 1000),
        behind=dict.fromkeys((f"nic{n}" for n in range(6)), "iommu0"),
        queue_errors=(),
        signatures={},
        unsaid=(),
    )
    assert failures_of(None, found) == [
        "faults: 3, expected 0; iommu0 refused 2 of 1,000 requests of nic0 (read_page_fault 2); "
        "iommu0 could not do 1 of its own writes (msi_write_access_fault 1)",
        "bus_errors: 20, expected 0; 6 of 1,000 requests of nic5 failed on the bus (corrupt 1, access_fault 5); "
        "5 of 1,000 requests of nic4 failed on the bus (corrupt 1, access_fault 4); "
        "4 of 1,000 requests of nic3 failed on the bus (corrupt 1, access_fault 3); and 5 of 2 other devices",
    ]


NOTHING = Findings({}, {}, {}, {}, {}, (), {}, ())
FREED, STALE = "freed-memory: dma read buffer page", "stale-dma: write, page unmapped"


def test_any_violation_is_a_failure_unless_it_is_expected() -> None:
    seen = replace(NOTHING, signatures={FREED: 2, STALE: 3})
    assert failures_of(None, seen) == ["violations: 5, expected 0"]
    for expected in ({"violations": 5}, {"violations": {"min": 1}}, {"signatures": ["stale-dma", FREED]}):
        assert not failures_of(ExpectOptions.model_validate(expected), seen)
    both = ExpectOptions.model_validate({"signatures": ["stale-dma"], "violations": 4})
    assert failures_of(both, seen) == ["violations: 5, expected 4"]


def test_the_ends_of_an_expected_range_are_in_it() -> None:
    expect = ExpectOptions.model_validate({"scalars": {"nic0.failed": {"min": 2, "max": 5}}})
    held = [not failures_of(expect, replace(NOTHING, numbers={"nic0.failed": value})) for value in range(1, 7)]
    assert held == [False, True, True, True, True, False]


@pytest.mark.parametrize(
    ("bound", "said"),
    [
        ({}, "bounds nothing, whatever comes out; give `min`, `max` or `equals`"),
        ({"min": 1, "max": 0}, "nothing is at least 1 and at most 0"),
        ({"equals": 391, "min": 500}, "`equals` stands alone"),
        ({"equals": 391, "max": 391}, "`equals` stands alone"),
    ],
)
def test_a_bound_that_nothing_misses_or_nothing_meets_is_refused(bound: dict[str, int], said: str) -> None:
    for expect in ({"faults": bound}, {"scalars": {"nic0.reads": bound}}, {"seen": {"touched": bound}}):
        with pytest.raises(TopologyError) as raised:
            cosim.load("quickstart", set={"expect": expect})
        (problem,) = raised.value.problems
        assert said in problem.message
    for fine in ({"min": 1, "max": 1}, {"min": 0}, {"max": 0}, {"equals": 0}):
        assert cosim.load("quickstart", set={"expect": {"faults": fine}})


def test_nothing_is_expected_of_threads_where_there_are_none(switched: Run) -> None:
    """If they were taken away later, nothing of them is expected any more."""
    expect = {"threads": "finished", "calls": "succeed"}
    with pytest.raises(TopologyError) as raised:
        switched(threads=[], expect=expect)
    told = [(problem.path, problem.message) for problem in raised.value.problems]
    assert told == [(("expect", "threads"), told[0][1])]
    assert told[0][1].startswith("expects nothing, since there are no `threads`; ")
    assert told[0][1].endswith("(likewise expect.calls)")
    assert switched(expect=expect, threads=[]).outcome == "ok"


def test_a_latency_or_a_rate_is_expected_by_the_name_that_a_sweep_has_for_it(switched: Run) -> None:
    """And every one that a glob matches; what no request waited for is 0."""
    held = {
        "nic0.read.p99_ps": {"min": 100_000},
        "nic0.read.parts.cq_full": 0,
        "iommu0.*.hit_rate": {"max": 1},
        "simulated_ps": {"min": 1},
    }
    bounds = {"faults": {"min": 0}, "bus_errors": {"min": 0}}
    assert switched(expect={**bounds, "scalars": held}).outcome == "ok"
    late = switched(expect={**bounds, "scalars": {"nic0.*.p99_ps": {"max": "1 ns"}, "*.hit_rate": {"min": 2}}})
    p99 = late.latencies["nic0.read"].p99_ps
    assert late.failures[0] == f"nic0.read.p99_ps: {format_time(p99)}, expected at most 1 ns"
    assert {failure.partition(":")[0] for failure in late.failures} >= {"iommu0.iotlb.hit_rate", "iommu0.ddtc.hit_rate"}


TIMES = ["nic0.read.p99_ps", "nic*.*.max_ps", "nic0.read.parts.walk", "simulated_ps"]


@pytest.mark.parametrize("name", TIMES)
def test_what_is_a_time_is_bounded_by_a_time_or_by_picoseconds(name: str) -> None:
    texts = ExpectOptions.model_validate({"scalars": {name: {"min": "1.5 us", "max": "2ms"}}})
    assert texts == ExpectOptions.model_validate({"scalars": {name: {"min": 1_500_000, "max": 2e9}}})
    assert ExpectOptions.model_validate({"scalars": {name: "80 ns"}}).scalars == {name: 80_000}
    assert ExpectOptions.model_validate(texts.model_dump(mode="json")) == texts


@pytest.mark.parametrize(
    ("scalars", "place"),
    [
        ({"iommu0.commands.total": {"max": "2 us"}}, "iommu0.commands.total.max"),
        ({"nic0.read.*": {"max": "2 us"}}, "nic0.read.*.max"),
        ({"nic0.read.p99_ps": {"max": "2 furlongs"}}, "nic0.read.p99_ps.max"),
        ({"nic0.read.p99_ps": {"max": "0.5 ps"}}, "nic0.read.p99_ps.max"),
    ],
)
def test_a_time_bounds_nothing_else_and_has_to_be_one(scalars: dict[str, Any], place: str) -> None:
    with pytest.raises(TopologyError, match=rf"expect\.scalars\.{re.escape(place)}: expected a number, found "):
        cosim.load("quickstart", set={"expect": {"scalars": scalars}})


def test_a_latency_of_which_nothing_was_measured_is_not_what_was_expected() -> None:
    for name in ("nic0.write.p99_ps", "nic0.write.parts.walk", "iommu0.iotlb.hit_rate"):
        expect = ExpectOptions.model_validate({"scalars": {name: {"min": 0}}})
        assert failures_of(expect, replace(NOTHING, numbers={"nic0.reads": 3})) == [
            f"{name}: nothing of it was measured in the window"
        ]


def test_a_number_that_no_run_has_is_told_before_the_run() -> None:
    for name, near in (("nic0.read.p99", "nic0.read.p99_ps"), ("nic0.raeds", "nic0.reads")):
        with pytest.raises(TopologyError) as raised:
            cosim.load("quickstart", set={"expect": {"scalars": {name: 1}}})
        assert str(raised.value).endswith(f": expect.scalars.{name}: no run has such a number; did you mean {near}?")
    irq = {"expect": {"scalars": {"cpu0.irq5-nic0.unmap.mean_ps": {"max": 5}, "nic*.read.p99_ps": {"max": 5}}}}
    assert cosim.load("quickstart", set=irq)


def test_each_expected_line_of_the_log_has_to_be_there() -> None:
    """Whenever it comes: a result keeps the first thousand lines, and all are held against the expectation."""
    sim = Sim()
    lines = KernelLines(sim, ("oops", "timed out", "timed"))
    for text in [*["fine"] * KEPT, "a fence timed out"]:
        sim.probe(KernelLog)(KernelLog(sim.now, "iommu0", "error", text))
    assert (lines.unsaid, len(lines.kept)) == (["oops"], KEPT)
    said = replace(NOTHING, unsaid=tuple(lines.unsaid))
    assert failures_of(None, said) == ["the kernel log does not say 'oops'"]


@pytest.mark.parametrize(("found", "told"), [({}, "none"), ({FREED: 2}, f"2 of {FREED}")])
def test_a_signature_that_is_expected_has_to_be_found(found: dict[str, int], told: str) -> None:
    expect = ExpectOptions.model_validate({"signatures": ["stale-dma: write", *found]})
    assert failures_of(expect, replace(NOTHING, signatures=found)) == [
        f"signatures: no violation of stale-dma: write was found, and one was expected; found were {told}"
    ]


def test_a_signature_of_no_oracle_is_refused() -> None:
    with pytest.raises(TopologyError, match=r"stale-dme is no oracle; did you mean stale-dma"):
        cosim.load("quickstart", set={"expect.signatures": ["stale-dme: write"]})


def test_what_could_have_been_seen_can_be_expected() -> None:
    seen = replace(NOTHING, seen={"touched": 2, "unmapped": 3})
    for expected in ({"touched": 2}, {"touched": {"min": 1}, "unmapped": 3}, {"overlapped": 0}):
        assert not failures_of(ExpectOptions.model_validate({"seen": expected}), seen)
    expect = ExpectOptions.model_validate({"seen": {"touched": {"min": 3}, "overlapped": {"min": 1}}})
    assert failures_of(expect, seen) == [
        "seen.touched: 2, expected at least 3",
        "seen.overlapped: 0, expected at least 1",
    ]


def test_what_is_not_counted_cannot_be_expected() -> None:
    with pytest.raises(TopologyError, match=r"touch is nothing that is counted; did you mean touched"):
        cosim.load("quickstart", set={"expect.seen.touch": 1})


@pytest.fixture
def idle(tmp_path: Any) -> Run:
    """A run with a device whose window has no memory."""
    path = tmp_path / "idle.yaml"
    path.write_text(IDLE, encoding="utf-8")
    return lambda **changes: cosim.run(path, set=changes)


def test_a_device_that_could_not_be_started_fails_the_run(idle: Run) -> None:
    """What it does not ask for the others have, so that everything else looks better."""
    result = idle()
    assert result.failures == (f"nic0 was not started: {NO_WINDOW}",)
    assert (result.outcome, result.exit_code) == ("failed", 1)
    small = idle(**{"nic0.traffic.window": "4 KiB", "nic0.traffic.page": "4 KiB"})
    assert (small.failures, small.requests["nic0"]) == ((), 1)


def test_a_device_that_is_not_started_can_be_expected_and_then_must_not_be(idle: Run) -> None:
    assert idle(expect={"not_started": ["nic0"]}).outcome == "ok"
    small = {"nic0.traffic.window": "4 KiB", "nic0.traffic.page": "4 KiB"}
    started = idle(expect={"not_started": ["nic0"]}, **small)
    assert started.failures == ("not_started: nic0 was started, and was expected not to be",)


def test_what_nobody_starts_is_refused_as_not_started(idle: Run) -> None:
    with pytest.raises(TopologyError, match=r"iommu0 is no device that is started; .* nic"):
        idle(expect={"not_started": ["iommu0"]})


def test_a_command_queue_that_stands_in_an_error_fails_the_run(stopped: Run) -> None:
    result = stopped()
    violations, failure = result.failures
    assert violations == "violations: 1, expected 0"
    (signature,) = result.signatures
    assert signature.startswith("unrecovered-error: ")
    (error,) = result.queue_errors
    assert error.name == CMD_ILL
    assert result.boot_ps < error.since_ps < result.simulated_ps
    assert failure.startswith("iommu0.cq stands in cqcsr.cmd_ill (a command is illegal) since ")
    assert failure.endswith(" us; 2 commands wait")
    assert result.as_json()["queue_errors"] == {CMD_ILL: {"since_ps": error.since_ps, "entries": 2}}


@pytest.mark.slow
def test_it_does_so_at_whatever_moment_the_run_ends(stopped: Run) -> None:
    """The driver's handler clears the bit each time, and the command is fetched again: the queue gets no further."""
    ends = [stopped(**{"run.until": f"{150_000_000 + 170_000 * step} ps"}) for step in range(4)]
    assert {tuple(error.name for error in result.queue_errors) for result in ends} == {(CMD_ILL,)}
    assert len({result.queue_errors[0].since_ps for result in ends}) == 1


def test_it_can_be_expected_and_then_has_to_be(stopped: Run) -> None:
    known = {"signatures": ["unrecovered-error"]}
    assert stopped(expect={"queue_errors": [CMD_ILL], **known}).outcome == "ok"
    wrong = stopped(expect={"queue_errors": [CMD_ILL, "iommu0.fqcsr.fqof"], **known})
    assert wrong.failures == ("queue_errors: iommu0.fqcsr.fqof does not stand at the end, and was expected to",)


def test_an_error_that_no_queue_has_is_refused(stopped: Run) -> None:
    with pytest.raises(TopologyError, match=r"iommu0.cqcsr.cmd_il is no error of a queue; did you mean iommu0.cqcsr"):
        stopped(expect={"queue_errors": ["iommu0.cqcsr.cmd_il"]})
