"""The rule of the `slow` marker, for `make slow-check`: what takes more than a quarter of a second has it.

Counted is the time that processors spent on a test, its child processes included, and not the clock on the wall, so
that a busy machine accuses nobody; no test's verdict depends on it.

Tests run interpreted, also where there is a compiled core: some derive from its classes, or replace what they do. What
compares the two forms starts processes of its own; `make fast-test` asks for the other.
"""

import gc
import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

os.environ.setdefault("COSIM_COMPILED", "0")  # no file beside this one has imported cosim yet

settings.register_profile("the same anywhere", derandomize=True, deadline=None)
settings.load_profile("the same anywhere")

LIMIT_S = 0.25
REASONS = {
    "test_what_models_count_time_for_is_in_the_list_and_nothing_else": "reads all models",
    "test_a_few_operations_leave_a_system_in_order": "the one of its kind in every run",
    "test_the_page_on_correctness_has_the_numbers": "replays every scenario",
    "test_output_goes_to_a_folder_from_which_the_run_can_be_repeated": "two whole runs with all their output",
    "test_a_trace_shows_every_register_access_and_command": "a whole run with its trace",
    "test_it_is_a_schema": "checks all of the schema",
    "test_the_resolved_topology_of_a_result_runs_again_by_itself": "two whole runs",
    "test_a_schedule_perturbs_the_run_that_it_names_and_no_other": "two whole runs that ask for every action",
    "test_an_action_that_asks_again_is_answered_by_its_own_number_and_how_often_it_was_held": "three whole runs",
    "test_every_effect_and_choice_of_a_run_is_on_the_page": "two whole runs that ask for every action",
    "test_the_page_says_of_each_whether_a_schedule_holds_it": "the same",
    "test_to_explore_without_a_deviation_changes_nothing": "three whole runs",
    "test_a_random_schedule_makes_one_run": "a whole run on each executor",
    "test_a_signal_ends_it_and_what_was_found_so_far_is_kept": "forks some runs, as every search does",
    "test_a_search_that_stops_early_says_how_far_it_came_and_is_not_called_clean": "the same",
    "test_points_that_differ_only_after_boot_share_it_and_are_those_of_whole_runs": "eight runs, in two ways",
    "test_replications_that_share_their_boot_are_those_of_whole_runs": "six runs, in two ways",
    "test_what_was_added_survives_that_its_process_is_killed": "starts an interpreter",
    "test_what_is_there_is_not_run_again_and_replications_and_axes_are_added": "four sweeps",
    "test_every_point_is_run_with_every_replication_and_runs_are_those_of_cosim_run": "eight runs",
    "test_what_the_first_sentence_names_is_what_to_enlarge_in_a_short_window": "two runs each of a random system",
    "test_what_compiled_drivers_and_clusters_need_is_not_imported_without_them": "starts interpreters",
    "test_only_what_is_listed_changes_after_its_construction": "reads all modules of software",
    "test_every_chapter_that_a_module_cites_has_that_number_and_title": "reads all modules",
    "test_a_module_imports_only_from_the_layers_below_it": "reads all modules of a layer",
    "test_each_line_that_makes_order_or_sends_can_be_taken_out": "links the objects of a driver anew",
    "test_a_few_topologies_measure_the_same": "starts an interpreter with the core, and one without",
    "test_what_cannot_be_is_answered_in_a_line_and_nothing_is_written": "the first of them imports what fits",
}
"""Tests that are slow, and worth their time in every run."""
TOLERANCE = 2
"""Processors differ: a test is named if it takes so many times the limit."""


gc.disable()  # until all tests are collected: nothing of that is garbage, and to look for it takes long


def pytest_collection_finish() -> None:
    """What stays for the whole session, thousands of tests and all modules, is looked at by no later collection."""
    gc.collect()
    gc.freeze()
    gc.enable()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow-check", action="store_true", help="fail if a test without the slow marker is slow")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    before = sum(os.times()[:4])
    try:
        return (yield)
    finally:
        if item.get_closest_marker("slow") is None:
            item.user_properties.append(("processor_s", sum(os.times()[:4]) - before))


def _name(nodeid: str) -> str:
    return nodeid.split("::")[-1].partition("[")[0]


class SlowCheck:
    """Gathers the time of every test, of all workers, and fails the session if one is slow without the marker.

    It fails as well if a reason is told for a test that was not run, since it is called otherwise now.
    """

    def __init__(self) -> None:
        self.slow: dict[str, float] = {}
        self.gone = set(REASONS)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.gone.discard(_name(report.nodeid))
        if report.when == "call":
            spent = dict(report.user_properties).get("processor_s", 0.0)
            assert isinstance(spent, float)
            if spent > LIMIT_S * TOLERANCE and _name(report.nodeid) not in REASONS:
                self.slow[report.nodeid] = spent

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if (self.slow or self.gone) and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.section(
            f"slow without the marker: over {LIMIT_S} s of a processor, {TOLERANCE} times tolerated"
        )
        for name, spent in sorted(self.slow.items(), key=lambda found: -found[1]):
            terminalreporter.line(f"{spent:6.2f} s  {name}")
        for name in sorted(self.gone):
            terminalreporter.line(f"there is a reason for it in tests/conftest.py, and no such test: {name}")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--slow-check") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(SlowCheck(), "slow-check")
