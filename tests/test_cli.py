"""The command line as scripts rely on it: what goes where, exit codes, and what an interrupted run keeps."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

import cosim as package
from cosim import compiled
from cosim.cli import main
from tests.processor_time import wait_for

TINY = str(Path(__file__).parent / "tiny.yaml")


def cosim(*words: str):
    return CliRunner().invoke(main, list(words), catch_exceptions=False)


def test_run_prints_a_report_that_begins_with_what_limited_it():
    found = cosim("run", TINY, "-q")
    assert found.exit_code == 0
    assert "%" in found.stdout.splitlines()[0]
    assert "nic0.read" in found.stdout


def test_json_is_one_object_with_the_keys_that_scripts_rely_on():
    found = cosim("run", TINY, "--json", "--seed", "7", "-s", "nic0.traffic.size=128 B")
    result = json.loads(found.stdout)
    assert {
        *("cosim", "topology", "driver", "seed", "schedule", "outcome", "simulated_ps", "events", "digest"),
        *("scalars", "latencies", "faults", "violations"),
    } <= result.keys()
    assert (result["topology"], result["driver"], result["seed"], result["outcome"]) == ("tiny", "merged", 7, "ok")
    read = result["latencies"]["nic0.read"]
    assert {"count", "mean_ps", "p50_ps", "p95_ps", "p99_ps", "p999_ps", "max_ps", "parts"} <= read.keys()
    assert sum(read["parts"].values()) == read["mean_ps"]
    assert result["scalars"]["iommu0.commands.total"] > 0


def test_samples_and_series_are_in_the_result_and_need_one():
    found = cosim("run", TINY, "--until", "10 us", "--samples", "--series", "4us", "--json")
    result = json.loads(found.stdout)
    assert len(result["samples"]["nic0.read"]) == result["latencies"]["nic0.read"]["count"]
    assert len(result["series"]["at_ps"]) == 3
    found = cosim("run", TINY, "--series", "4us")
    assert found.exit_code == 2
    assert "say where it goes: --json, or -o DIR" in found.stderr
    for wrong, said in (("0 ns", "it must be above 0"), ("4", "has no unit")):
        found = cosim("run", TINY, "--series", wrong, "--json")
        assert found.exit_code == 2
        assert said in found.stderr


def test_a_failed_expectation_is_exit_code_1(tmp_path):
    overlay = tmp_path / "expect.yaml"
    overlay.write_text("expect: {scalars: {nic0.reads: 1}}")
    found = cosim("run", TINY, "-f", str(overlay), "-q")
    assert found.exit_code == 1
    assert "nic0.reads: " in found.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run"], "Missing argument"),
        (["run", "no-such"], "no such file"),
        (["run", TINY, "-s", "iommu0.geometry.walkrs=1"], "did you mean walkers?"),
        (["run", TINY, "-s", "nonsense"], "has no ="),
        (["run", TINY, "--until", "5"], "--until 5: run.until: 5 has no unit"),
        (["run", TINY, "--driver", "mergd"], "did you mean merged?"),
        (["run", TINY, "--driver", "merged", "--driver", "latest"], "given 2 times; give one of merged, latest"),
        (["explore", TINY, "--seed", "1", "--seed", "2"], "given 2 times; give one of 1, 2"),
        (["run", TINY, "-t", "trace.foo"], "the suffix names the format of a trace"),
        (["run", TINY, "-t", "/no/such/folder/trace.jsonl"], "cannot be written"),
        (["run", TINY, "--trace-part", "nic0"], "--trace-part: there is no trace"),
        (["run", TINY, "-t", "t.vcd", "--trace-part", "nick0"], "--trace-part nick0: matches nothing; did you mean"),
        (["run", TINY, "--slowest", "-1"], "Invalid value for '--slowest'"),
        (["show", TINY, "--svg", "--dot"], "name one of them"),
        (["rum", TINY], "No such command"),
        (["list", "nothing"], "there is no list of nothing"),
        (["conform", "no-such.jsonl"], "no such file"),
        (["conform", "no-such.jsonl", "--random", "3"], "give --driver and --against"),
        (["show", TINY, "--all", "--svg"], "name one of them"),
    ],
)
def test_wrong_usage_is_exit_code_2_and_one_clear_message(words, said):
    found = cosim(*words)
    assert found.exit_code == 2
    assert said in found.output
    assert "Traceback" not in found.output


@pytest.mark.parametrize(("runs", "form"), [(True, "compiled"), (False, "interpreted")])
def test_the_version_names_the_model_and_says_whether_the_core_is_compiled(monkeypatch, runs, form):
    monkeypatch.setattr(compiled, "runs", lambda: runs)
    assert cosim("--version").stdout == f"cosim {package.__version__}, model {package.model_version}, {form}\n"


@pytest.mark.parametrize("verb", ["", *main.commands])
def test_help_fits_80_columns(verb):
    assert max(map(len, cosim(*verb.split(), "--help").output.splitlines())) <= 80


def test_output_goes_to_a_folder_from_which_the_run_can_be_repeated(tmp_path):
    first = cosim("run", TINY, "--json", "--seed", "3", "-o", str(tmp_path / "out"))
    again = cosim("run", str(tmp_path / "out" / "topology.yaml"), "--json")
    assert json.loads(again.stdout)["digest"] == json.loads(first.stdout)["digest"]
    assert json.loads((tmp_path / "out" / "result.json").read_text()) == json.loads(first.stdout)


def test_a_trace_shows_every_register_access_and_command(tmp_path):
    trace = tmp_path / "trace.jsonl"
    assert cosim("run", TINY, "-q", "-t", str(trace)).exit_code == 0
    lines = [json.loads(line) for line in trace.read_text().splitlines()]
    accesses = [line for line in lines if line["event"] in ("RegisterRead", "RegisterWritten")]
    assert [line["register"] for line in accesses[:3]] == ["capabilities", "fctl", "ddtp"]
    commands = [line["command"] for line in lines if line["event"] == "CommandExecuted"]
    assert any("iotinval" in command.lower() for command in commands)
    assert [line["time_ps"] for line in lines] == sorted(line["time_ps"] for line in lines)


def test_show_prints_a_topology_that_loads_back(tmp_path):
    found = cosim("show", TINY, "-s", "nic0.traffic.size=128 B")
    data = yaml.safe_load(found.stdout)
    assert data["parts"]["nic0"]["traffic"]["size"] == "128 B"
    path = tmp_path / "shown.yaml"
    path.write_text(found.stdout)
    assert cosim("show", str(path)).stdout == found.stdout
    path.write_text(cosim("show", TINY, "--all").stdout)
    assert cosim("show", str(path), "--all").stdout == path.read_text()


def test_show_draws_as_well():
    assert cosim("show", TINY, "--svg").stdout.startswith("<svg ")
    assert cosim("show", TINY, "--dot").stdout.startswith('graph "tiny" {')


def test_the_slowest_are_in_the_result():
    result = json.loads(cosim("run", TINY, "--json", "--slowest", "2").stdout)
    slow = result["slowest"]["requests"]
    assert len(slow) == 2
    assert sum(step["ps"] for step in slow[0]["steps"]) == slow[0]["ps"]


def test_check_says_ok_and_schema_is_a_json_schema():
    assert cosim("check", TINY).stdout == f"{TINY}: ok\n"
    schema = json.loads(cosim("schema").stdout)
    assert "parts" in schema["properties"]


@pytest.mark.slow
def test_ctrl_c_keeps_what_was_measured_and_is_exit_code_130():
    command = [sys.executable, "-m", "cosim", "run", TINY, "--json", "--until", "1s"]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )
    wait_for(process, 4)
    os.kill(process.pid, signal.SIGINT)
    output, errors = process.communicate(timeout=30)
    assert process.returncode == 130, errors
    assert json.loads(output)["latencies"]["nic0.read"]["count"] > 0
