"""The command as a process: its exit code is the one that is documented, whatever becomes of its streams, and whenever
it is told to stop.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processor_time import wait_for

ROOT = Path(__file__).parents[1]
TINY = str(ROOT / "tests" / "tiny.yaml")
RUN = ("run", TINY, "-q")
FAILS = (*RUN, "-f", "expect.yaml")
STUCK = ("run", TINY, "-q", "--until", "100s", "--host-limit", "0.6")
LITMUS = ("conform", str(ROOT / "tests" / "litmus" / "data" / "amo_x0.jsonl"), "-v")

AT_A_MOMENT = """
import os, sys
from cosim import shell
moment, number = sys.argv.pop(1), int(sys.argv.pop(1))
calls, begin = 0, shell.begin

def told(frame, event, argument):
    global calls
    calls += event == "call"
    if event == "call" and (str(calls) == moment or frame.f_code.co_name == moment):
        sys.setprofile(None)
        os.kill(os.getpid(), number)

def begun():
    begin()
    sys.setprofile(told)

shell.begin = begun
from cosim.__main__ import main
main()
"""
"""The command, told to stop at its n-th call of a function, or at the first one of a name: no clock decides when."""


def process(*words, cwd=None, program=("-m", "cosim"), **streams):
    given = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams}
    return subprocess.Popen(
        [sys.executable, *program, *words],
        cwd=cwd,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
        **given,
    )


def ended(*words, **given):
    running = process(*words, **given)
    output, errors = running.communicate(timeout=120)
    assert "Traceback" not in (errors or "")
    return running.returncode, output, errors


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "expect.yaml").write_text("expect: {scalars: {nic0.reads: 1}}")
    return tmp_path


slow = pytest.mark.slow


# --- A reader that stops reading --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "code"),
    [
        pytest.param(("--help",), 0, id="help"),
        pytest.param(("run", "--help"), 0, id="help of a verb", marks=slow),
        pytest.param(("--version",), 0, id="version", marks=slow),
        pytest.param(RUN, 0, id="run", marks=slow),
        pytest.param((*RUN, "--json"), 0, id="json", marks=slow),
        pytest.param(FAILS, 1, id="failed", marks=slow),
        pytest.param(STUCK, 4, id="host limit", marks=slow),
        pytest.param(("check", TINY), 0, id="check", marks=slow),
        pytest.param(("check", "nothing"), 2, id="check of nothing", marks=slow),
        pytest.param(("show", TINY, "--all"), 0, id="show", marks=slow),
        pytest.param(("list", "policies"), 0, id="list", marks=slow),
        pytest.param(("schema",), 0, id="schema", marks=slow),
        pytest.param(LITMUS, 0, id="conform", marks=slow),
    ],
)
def test_a_reader_that_has_gone_changes_no_exit_code_and_is_not_spoken_of(folder, words, code):
    reading, writing = os.pipe()
    os.close(reading)
    try:
        found, _, errors = ended(*words, cwd=folder, stdout=writing)
    finally:
        os.close(writing)
    assert found == code
    assert errors == "" or code == 2


# --- An output that cannot be written ---------------------------------------------------------------------------------

FULL = "standard output cannot be written: No space left on device\n"

needs_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")


@needs_full
@pytest.mark.parametrize(
    "words",
    [
        pytest.param(("--help",), id="help"),
        pytest.param(("--version",), id="version", marks=slow),
        pytest.param(RUN, id="run", marks=slow),
        pytest.param((*RUN, "--json"), id="json", marks=slow),
        pytest.param(FAILS, id="failed", marks=slow),
        pytest.param(("check", TINY), id="check", marks=slow),
        pytest.param(("show", TINY), id="show", marks=slow),
        pytest.param(("list",), id="list", marks=slow),
        pytest.param(("schema",), id="schema", marks=slow),
        pytest.param(LITMUS, id="conform", marks=slow),
    ],
)
def test_a_full_disk_is_one_line_and_exit_code_2(folder, words):
    with open("/dev/full", "w") as full:
        assert ended(*words, cwd=folder, stdout=full) == (2, None, FULL)


def test_a_closed_standard_output_is_said_before_anything_is_done():
    closed = subprocess.run(
        [*("sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-m", "cosim", *RUN)], capture_output=True, text=True
    )
    assert closed.returncode == 2
    assert closed.stderr == "standard output is closed: there is nowhere to put what was asked for\n"


@slow
def test_a_closed_standard_error_changes_nothing():
    closed = subprocess.run(
        [*("sh", "-c", 'exec "$@" 2>&-', "sh", sys.executable, "-m", "cosim", *RUN)], capture_output=True, text=True
    )
    assert closed.returncode == 0
    assert "nic0.read" in closed.stdout


@slow
@needs_full
def test_a_trace_that_cannot_be_written_further_leaves_the_result_whole(folder):
    (folder / "full.jsonl").symlink_to("/dev/full")
    code, output, errors = ended(*RUN, "--json", "-t", "full.jsonl", "-o", "results", cwd=folder)
    assert code == 2
    assert errors == "-t full.jsonl: cannot be written: No space left on device\n"
    assert json.loads(output) == json.loads((folder / "results" / "result.json").read_text())


@slow
@needs_full
def test_results_that_cannot_be_written_to_a_folder_are_printed_all_the_same(folder):
    results = folder / "results"
    results.mkdir()
    (results / "topology.yaml.part").symlink_to("/dev/full")
    code, output, errors = ended(*RUN, "--json", "-o", "results", cwd=folder)
    assert code == 2
    assert errors == "-o results/topology.yaml: cannot be written: No space left on device\n"
    assert json.loads(output) == json.loads((results / "result.json").read_text())
    assert sorted(path.name for path in results.iterdir()) == ["log.txt", "result.json"]


# --- Told to stop -----------------------------------------------------------------------------------------------------

BEFORE = ["1", "30", "1000", "30000", "validate", "build"]
"""Moments at which nothing is measured yet."""


@slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
@pytest.mark.parametrize("moment", BEFORE)
def test_told_to_stop_before_anything_is_measured_it_ends_at_once(folder, moment, number):
    code, output, errors = ended(moment, str(int(number)), *RUN, cwd=folder, program=("-c", AT_A_MOMENT))
    assert (code, output, errors) == (130, "", "interrupted\n")


@slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
@pytest.mark.parametrize("moment", ["_activate", "_result", "as_json", "write_results"])
def test_told_to_stop_later_it_keeps_what_was_measured(folder, moment, number):
    words = (*RUN, "--json", "-o", "results", "-t", "trace.jsonl")
    code, output, errors = ended(moment, str(int(number)), *words, cwd=folder, program=("-c", AT_A_MOMENT))
    assert (code, errors) == (130, "")
    kept = json.loads(output)
    assert kept["outcome"] == ("interrupted" if moment == "_activate" else "ok")
    assert kept == json.loads((folder / "results" / "result.json").read_text())
    assert all(map(json.loads, (folder / "trace.jsonl").read_text().splitlines()))


@slow
@pytest.mark.parametrize("words", [("check", TINY), ("show", TINY), ("list",), ("schema",), LITMUS], ids=lambda w: w[0])
@pytest.mark.parametrize("moment", ["100", "3000"])
def test_every_verb_can_be_told_to_stop(words, moment):
    code, _, errors = ended(moment, str(int(signal.SIGINT)), *words, program=("-c", AT_A_MOMENT))
    assert (code, errors) == (130, "interrupted\n")


@slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
@pytest.mark.parametrize("delay_s", [0.1, 0.17, 0.3, 0.5, 0.8, 1.3, 2.1])
def test_from_outside_it_can_be_told_to_stop_at_any_time(delay_s, number):
    """Real signals at staggered times: before the first of them, the interpreter itself has begun."""
    running = process("run", TINY, "--json", "--until", "100s")
    try:
        wait_for(running, delay_s)
        running.send_signal(number)
        output, errors = running.communicate(timeout=60)
    finally:
        running.kill()
    assert running.returncode == 130
    assert errors in ("", "interrupted\n")
    if not errors:
        assert json.loads(output)["outcome"] == "interrupted"


# --- The limit of the host's time -------------------------------------------------------------------------------------

NEVER_ENDS = """
from cosim.sw.driver.policies.invalidate import PerIommu

class Endless(PerIommu):
    async def range(self, driver, domain, start, end):
        while True:
            pass
"""


@slow
def test_the_limit_of_the_hosts_time_ends_a_run_between_two_events_and_says_so():
    code, output, errors = ended(*STUCK, "--json")
    assert (code, errors) == (4, "")
    (failure,) = json.loads(output)["failures"]
    assert failure.startswith("the host's time limit of 0.6 s was reached at ")


@slow
def test_the_limit_counts_from_the_beginning_of_the_command():
    assert ended("run", TINY, "--host-limit", "0") == (4, "", "the host's time limit of 0 s was reached\n")


@slow
@pytest.mark.parametrize("told", [False, True], ids=["limit", "Ctrl-C"])
def test_a_drivers_code_that_loops_for_ever_is_broken_off(folder, told):
    (folder / "mine.py").write_text(NEVER_ENDS)
    words = (*RUN, "--json", "--driver", "mine.py:Endless")
    if told:
        found = ended("range", str(int(signal.SIGINT)), *words, cwd=folder, program=("-c", AT_A_MOMENT))
    else:
        found = ended(*words, "--host-limit", "1", cwd=folder)
    code, output, errors = found
    assert (code, errors) == (130 if told else 4, "")
    assert json.loads(output)["outcome"] == ("interrupted" if told else "stuck")
