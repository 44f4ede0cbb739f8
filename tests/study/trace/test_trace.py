"""A trace tells, in order, all that a kernel developer compares: registers, commands, device contexts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import cosim
from cosim.config.problems import TopologyError
from cosim.study.run.run import Point, run
from cosim.study.trace.trace import open_traces

ATTACH = """
parts:
  dram0:  {kind: memory, base: 0x8000_0000, size: 16 MiB}
  cpu0:   {kind: cpu}
  iommu0: {kind: iommu, base: 0x0300_0000}
  nic0:   {kind: dma, through: iommu0, device_id: 0x42, traffic: {pattern: none}}
domains:
  other: {}
threads:
  - {on: cpu0, does: attach-detach, devices: nic0, domains: other, detach: false, count: 1}
run: {until: 200 us}
"""


@pytest.fixture
def attach(tmp_path: Path) -> Path:
    path = tmp_path / "attach.yaml"
    path.write_text(ATTACH, encoding="utf-8")
    return path


def traced(topology: Path, driver: str = "merged") -> list[dict[str, Any]]:
    """The lines of a run's trace."""
    path = topology.with_suffix(".jsonl")
    loaded = cosim.load(topology, driver=driver)
    with open_traces([str(path)], loaded) as watchers:
        run(Point(loaded), watchers=watchers)
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def said(lines: list[dict[str, Any]]) -> list[str]:
    """Changes of device contexts and executed commands, as they are spelled."""
    kinds = {"ContextChanged": "means", "CommandExecuted": "command"}
    return [line[kinds[line["event"]]] for line in lines if line["event"] in kinds]


def test_the_parts_of_a_request_are_an_object_as_those_of_a_call_are(attach: Path) -> None:
    attach.write_text(ATTACH.replace("pattern: none", "requests: 3"), encoding="utf-8")
    lines = traced(attach)
    done = [line for line in lines if line["event"] == "DmaDone"]
    assert len(done) == 3
    assert all(sum(line["parts"].values()) == line["time_ps"] - line["issued"] for line in done)
    assert all(isinstance(line["parts"], dict) for line in lines if line["event"] == "CallDone")


def test_changes_of_a_device_context_are_told_between_the_commands_for_it(attach: Path) -> None:
    lines = traced(attach)
    first, second = [line["means"] for line in lines if line.get("field") == "fsc"]
    assert first.startswith("DC.fsc ppn=0x")
    assert first.endswith(" mode=0xa")
    assert second != first
    inval, fence = "IODIR.INVAL_DDT dv=0x1 did=0x42", "IOFENCE.C pr=0x1 pw=0x1"
    assert said(lines)[3:] == [
        *(first, "DC.ta pscid=0x1", "DC.tc v=0x1", inval, fence),
        *("DC.tc 0", inval, fence),
        *(second, "DC.ta pscid=0x2", "DC.tc v=0x1", inval, fence),
        *("IOTINVAL.VMA pscid=0x1 pscv=0x1", fence),
    ]
    changes = [line for line in lines if line["event"] == "ContextChanged"]
    assert {(line["who"], line["device_id"]) for line in changes} == {("iommu0", 0x42)}


def test_addresses_and_register_values_are_in_hexadecimal(attach: Path) -> None:
    """As numbers they would be larger than what JSON readers keep exactly."""
    text = attach.read_text(encoding="utf-8").replace("{pattern: none}", "{requests: 2, window: 4 KiB}")
    attach.write_text(text, encoding="utf-8")
    lines = traced(attach)
    for name in ("iova", "address", "value"):
        found = {line[name] for line in lines if name in line}
        assert len(found) > 1
        assert all(text == hex(int(text, 16)) for text in found)


def test_what_a_variant_does_to_a_live_context_is_told_as_well(attach: Path) -> None:
    """v2 rewrites it in place: V stays 1."""
    tc = [line["value"] for line in traced(attach, "v2") if line.get("field") == "tc"]
    assert tc == ["0x1"]


def test_a_trace_changes_nothing(attach: Path) -> None:
    without = cosim.run(attach)
    loaded = cosim.load(attach)
    with open_traces([str(attach.with_suffix(".jsonl"))], loaded) as watchers:
        assert run(Point(loaded), watchers=watchers).digest == without.digest


def test_a_disk_that_is_full_is_said_so(attach: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("there is no /dev/full")
    link = attach.with_suffix(".jsonl")
    link.symlink_to(full)
    with pytest.raises(TopologyError, match="cannot be written: No space left"):
        traced(attach)


@pytest.mark.parametrize(("suffix", "package"), [(".vcd", "pyvcd"), (".pftrace", "perfetto")])
def test_an_extra_that_is_not_installed_is_named_and_nothing_is_overwritten(
    attach: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, package: str
) -> None:
    module = package.removeprefix("py")
    for name in [name for name in sys.modules if name.startswith(("cosim.study.trace.", f"{module}."))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    path = attach.with_suffix(suffix)
    path.write_text("of yesterday", encoding="utf-8")
    with pytest.raises(cosim.TopologyError) as caught:
        cosim.run(attach, trace=path)
    wanted = f"-t {path}: {suffix} needs the package {package}: pip install 'cosim[traces]'"
    assert str(caught.value) == wanted
    assert path.read_text(encoding="utf-8") == "of yesterday"


@pytest.mark.parametrize("suffix", [".vcd", ".pftrace", ".trace"])
def test_a_full_disk_ends_each_format_and_no_run(attach: Path, suffix: str) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    text = attach.read_text(encoding="utf-8").replace("{pattern: none}", "{requests: 2, window: 4 KiB}")
    attach.write_text(text, encoding="utf-8")
    link = attach.with_suffix(suffix)
    link.symlink_to("/dev/full")
    with pytest.raises(TopologyError, match="cannot be written: No space left"):
        cosim.run(attach, trace=link)


@pytest.mark.slow
def test_nothing_of_the_extras_is_imported_by_a_run_without_a_trace() -> None:
    code = "import sys, cosim; cosim.run('quickstart', until='1 us'); print({*sys.modules} & {'vcd', 'perfetto'})"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "set()\n"
