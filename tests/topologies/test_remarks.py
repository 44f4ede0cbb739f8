"""The shipped topologies that make the remarks of the review visible, each from both sides, at the shipped timing."""

from __future__ import annotations

import pytest

import cosim
from tests.topologies.running import faults, mean_us, run

SLOW = pytest.mark.slow
DRIVERS = ("merged", "v2")
TOUCHES = {"stale-dma", "foreign-dma", "freed-memory"}
"""The oracles of what a device has reached."""


# --- Duplicate invalidations (B4) ------------------------------------------------------------------------------


@SLOW
def test_merged_sends_one_command_for_each_page_and_one_fence() -> None:
    result = run("shared_domain")
    assert result.scalars["iommu0.commands.total"] == 257
    assert result.scalars["iommu0.commands.iotinval_vma"] == 256
    assert result.scalars["iommu0.commands.iofence"] == 1


@pytest.mark.parametrize("change", [{"driver": "v2"}, {"driver__invalidate": "per-device"}])
@SLOW
def test_the_reviewed_driver_sends_them_once_for_each_of_ten_devices(change: dict[str, str]) -> None:
    result = run("shared_domain", **change)
    assert result.scalars["iommu0.commands.total"] == 2570
    assert result.scalars["iommu0.commands.iotinval_vma"] == 2560
    assert result.scalars["iommu0.commands.iofence"] == 10
    assert result.exit_code == 1
    assert "iommu0.commands.total: 2570, expected 257" in result.failures


@pytest.mark.parametrize(("driver", "commands"), [("merged", 9), ("v2", 90)])
def test_eight_pages_take_commands_in_the_same_proportion(driver: str, commands: int) -> None:
    result = run("shared_domain", driver, threads__0__pages=8, run__until="130 us")
    assert result.scalars["iommu0.commands.total"] == commands


@SLOW
def test_duplicate_commands_cost_the_unmap_several_times_its_time() -> None:
    once, ten_times = run("shared_domain"), run("shared_domain", "v2")
    call = "cpu0.map-unmap.unmap"
    assert mean_us(ten_times, call) > 5 * mean_us(once, call)


# --- A domain across two IOMMUs (B2) ---------------------------------------------------------------------------


@SLOW
def test_an_unmap_reaches_both_iommus_of_a_domain() -> None:
    result = run("two_iommus")
    for iommu in ("iommu0", "iommu1"):
        assert result.scalars[f"{iommu}.commands.iotinval_vma"] == 12 * 8
        assert result.scalars[f"{iommu}.commands.iofence"] == 12
    assert result.violation_count == faults(result) == 0


@SLOW
def test_with_one_pointer_in_the_domain_the_other_iommu_stays_stale() -> None:
    result = run("two_iommus", driver__bonds="one-iommu-pointer")
    assert result.scalars["iommu0.commands.total"] == 0
    assert result.scalars["iommu1.commands.total"] == 108
    touched = [violation for violation in result.violations if violation.oracle in TOUCHES]
    assert touched
    assert all("nic0" in violation.message for violation in touched)
    assert "flush-promises: unmap returned, never invalidated" in result.signatures


# --- The order of bond and context (B6) ------------------------------------------------------------------------


ATTACHES = {"v2": {"driver": "v2"}, "its order alone": {"driver__attach": "context-first"}}
SCALED = {
    "cpu*.timing.mmio_read": 2000,
    "cpu*.timing.mmio_write": 30,
    "cpu*.timing.mmio_arrival": 100,
    "dram0.latency": 80,
    "nic*.link": 50,
}
"""The latencies that make the window, in nanoseconds."""


def scaled(tenths: int) -> dict[str, str]:
    return {path: f"{ns * 100 * tenths} ps" for path, ns in SCALED.items()}


def test_the_latencies_that_are_scaled_are_those_of_the_topology() -> None:
    assert cosim.load("concurrent_attach", set=scaled(10)) == cosim.load("concurrent_attach")


@SLOW
@pytest.mark.parametrize("change", ATTACHES.values(), ids=list(ATTACHES))
def test_linking_the_bond_last_lets_a_device_read_pages_that_were_unmapped_and_freed(change: dict[str, str]) -> None:
    result = run("concurrent_attach", **change)
    found = {violation.oracle: violation.message for violation in result.violations}
    assert set(found) - {"context-update"} == {"stale-dma", "freed-memory", "flush-promises"}
    assert "nic1" in found["stale-dma"]
    assert "after its unmap from shared returned" in found["stale-dma"]
    assert ".map-unmap had freed it" in found["freed-memory"]
    assert result.exit_code == 1


@SLOW
@pytest.mark.parametrize("driver", ["merged", "current"])
def test_linking_it_first_does_not(driver: str) -> None:
    result = run("concurrent_attach", driver)
    assert result.violation_count == 0
    assert result.exit_code == 0


@SLOW
@pytest.mark.parametrize("tenths", [9, 11])
@pytest.mark.parametrize("change", ATTACHES.values(), ids=list(ATTACHES))
def test_no_latency_is_tuned_to_show_it(change: dict[str, str], tenths: int) -> None:
    assert run("concurrent_attach", **scaled(tenths), **change).violation_count > 0
    assert run("concurrent_attach", **scaled(tenths)).violation_count == 0


@SLOW
@pytest.mark.parametrize("seed", [2, 3, 4, 5])
@pytest.mark.parametrize("change", ATTACHES.values(), ids=list(ATTACHES))
def test_no_seed_is_chosen_to_show_it(change: dict[str, str], seed: int) -> None:
    assert run("concurrent_attach", run__seed=seed, **change).violation_count > 0


@SLOW
def test_what_a_device_asks_for_between_two_contexts_or_after_an_unmap_is_refused() -> None:
    causes = run("concurrent_attach").faults["nic1"]
    assert causes["ddt_not_valid"] > 0
    assert causes["read_page_fault"] > 0


@SLOW
@pytest.mark.parametrize("driver", DRIVERS)
def test_nothing_goes_wrong_if_the_attach_comes_long_before_the_unmaps(driver: str) -> None:
    once = {"threads__2__count": 1, "threads__2__detach": False}
    late = {f"threads__{unmapper}__start": "20 us" for unmapper in (0, 1)}
    result = run("concurrent_attach", driver, run__until="80 us", **once, **late)
    assert set(result.signatures) <= {"context-update: a context is changed while it is valid"}
    assert result.latencies["cpu0.map-unmap.unmap"].count > 0


# --- A reader against a grace period (B3) ----------------------------------------------------------------------


@SLOW
def test_a_grace_period_outlasts_the_reader_in_the_invalidation() -> None:
    result = run("rcu")
    reader = mean_us(result, "cpu0.map-unmap.iotlb_inval")
    assert reader > 30_000
    assert mean_us(result, "cpu2.synchronize-rcu.synchronize_rcu") > 30_000
    assert mean_us(result, "cpu1.attach-detach.attach") < 10, "nobody waits in the unlink"
    assert result.violation_count == 0


@SLOW
def test_without_the_stall_the_grace_period_is_short() -> None:
    result = run("rcu", stalls__0__for=0)
    assert mean_us(result, "cpu2.synchronize-rcu.synchronize_rcu") < 5_000


@SLOW
def test_without_rcu_the_reader_goes_on_from_a_freed_bond() -> None:
    result = run("rcu", driver__bonds="freed-at-once")
    (violation,) = result.violations
    assert violation.oracle == "freed-memory"
    assert "cpu0.map-unmap read" in violation.message
    assert "(Bond)" in violation.message
    assert "cpu1.attach-detach had freed it" in violation.message


@SLOW
def test_a_grace_period_in_the_unlink_makes_the_attach_wait_for_another_thread_s_flush() -> None:
    result = run("rcu", driver__bonds="waits-in-unlink")
    assert mean_us(result, "cpu1.attach-detach.attach") > 30_000
    assert result.latencies["cpu1.attach-detach.attach"].parts["rcu"] > 30_000_000_000
    assert result.violation_count == 0


# --- A fence that does not complete (C8) -----------------------------------------------------------------------


@pytest.mark.parametrize(("driver", "unmap_s"), [("merged", 90), ("v2", 0.15)])
def test_an_unmap_gives_up_on_its_fence_and_frees_the_page_all_the_same(driver: str, unmap_s: float) -> None:
    result = run("iofence_timeout", driver)
    assert mean_us(result, "cpu0.map-unmap.unmap") == pytest.approx(unmap_s * 1e6, rel=1e-4)
    assert any(violation.oracle == "stale-dma" for violation in result.violations)
    assert any("command execution timed out" in line.text for line in result.log)


def test_ideal_lets_the_page_not_go_though_its_owner_frees_it() -> None:
    result = run("iofence_timeout", "ideal", expect__violations=0)
    assert result.outcome == "ok"
    assert result.scalars["kernel.quarantined"] >= 1


@pytest.mark.parametrize("driver", DRIVERS)
def test_an_attach_waits_90_s_for_each_fence(driver: str) -> None:
    fences = run("iofence_timeout", driver).latencies["cpu1.attach-detach.cmd_sync"]
    assert fences.max_ps == pytest.approx(90e12, rel=1e-4)


@pytest.mark.parametrize("driver", DRIVERS)
def test_once_the_consumer_resumes_the_late_requests_fault(driver: str) -> None:
    result = run("iofence_timeout", driver)
    assert result.faults["nic0"]["read_page_fault"] > 0
    assert max(violation.time_ps for violation in result.violations) < 101.1e12


@SLOW
def test_a_stall_of_200_ms_is_within_the_merged_driver_s_patience_and_beyond_the_reviewed_one_s() -> None:
    changes = {"stalls__0__for": "200 ms", "expect__violations": 0, "expect__log": ()}
    assert run("iofence_timeout", "merged", **changes).outcome == "ok"
    assert run("iofence_timeout", "v2", **changes).violation_count > 0
