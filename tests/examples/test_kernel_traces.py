"""The example that compares traces with kernels: a trace and a log of the same accesses give the same lines."""

from __future__ import annotations

import contextlib
import io
import json
import runpy
import sys
from pathlib import Path

import pytest

import cosim
from cosim.study.run.run import Point, run
from cosim.study.trace.trace import open_traces

EXAMPLE = Path(__file__).parents[2] / "examples" / "04_kernel_traces.py"
BASE = 0x301_0000

LOG = """\
memory_region_ops_read cpu 0 mr 0x55d1c0 addr 0x10000005 value 0x60 size 1 name 'serial'
memory_region_ops_read cpu 0 mr 0x55d2a0 addr 0x3010000 value 0x2e10000e10 size 8 name 'riscv-iommu-regs'
memory_region_ops_write cpu 0 mr 0x55d2a0 addr 0x3010018 value 0x2080080c size 8 name 'riscv-iommu-regs'
memory_region_ops_write cpu 0 mr 0x55d2a0 addr 0x3010024 value 0x0 size 4 name 'riscv-iommu-regs'
memory_region_ops_write cpu 0 mr 0x55d2a0 addr 0x3010048 value 0x103 size 4 name 'riscv-iommu-regs'
memory_region_ops_write cpu 0 mr 0x55d2a0 addr 0x3010024 value 0x1 size 4 name 'riscv-iommu-regs'
riscv_iommu_cmd riscv-iommu: command 0x100001401 0x3fffc000
memory_region_ops_write cpu 0 mr 0x55d2a0 addr 0x3010024 value 0x3 size 4 name 'riscv-iommu-regs'
riscv_iommu_cmd riscv-iommu: command 0x10200000003 0x0
riscv_iommu_cmd riscv-iommu: command 0x3002 0x0
memory_region_ops_read cpu 0 mr 0x55d2a0 addr 0x3010020 value 0x2 size 4 name 'riscv-iommu-regs'
memory_region_ops_read cpu 0 mr 0x55d2a0 addr 0x3010020 value 0x3 size 4 name 'riscv-iommu-regs'
"""

ATTACH = """
parts:
  dram0:  {kind: memory, base: 0x8000_0000, size: 16 MiB}
  cpu0:   {kind: cpu}
  iommu0: {kind: iommu, base: 0x0300_0000}
  nic0:   {kind: dma, through: iommu0}
threads:
  - {on: cpu0, does: map-unmap, domain: nic0, pages: 3, count: 2}
run: {until: 100 us}
"""


def lines(path: Path) -> list[str]:
    """What the script prints of a file; in this process, since to start one takes longer than the script does."""
    with pytest.MonkeyPatch.context() as patched, contextlib.redirect_stdout(io.StringIO()) as printed:
        patched.setattr(sys, "argv", [str(EXAMPLE), str(path)])
        runpy.run_path(str(EXAMPLE), run_name="__main__")
    return printed.getvalue().splitlines()


def test_a_log_is_told_without_what_differs_from_run_to_run(tmp_path: Path) -> None:
    """Pages, addresses, values that are read, the number of polls; two commands behind one doorbell stand out."""
    log = tmp_path / "kernel.log"
    log.write_text(LOG, encoding="utf-8")
    assert lines(log) == [
        "R capabilities",
        "W cqb=0xc",
        "W cqt=0x0",
        "W cqcsr=0x103",
        "IOTINVAL.VMA av=0x1 pscid=0x1 pscv=0x1 addr",
        "W cqt=0x3",
        "IODIR.INVAL_DDT dv=0x1 did=0x1",
        "IOFENCE.C pr=0x1 pw=0x1",
        "R cqh",
    ]


def as_log(event: dict[str, object]) -> str:
    """A line of a trace, as the log of QEMU would have it."""
    if event["event"] == "CommandFetched":
        return f"riscv_iommu_cmd riscv-iommu: command {' '.join(event['words'])}"  # type: ignore[arg-type]
    kind = {"RegisterRead": "read", "RegisterWritten": "write"}.get(str(event["event"]))
    if kind is None:
        return "something else"
    at = BASE + int(str(event["offset"]))
    return f"memory_region_ops_{kind} cpu 0 mr 0x1 addr {at:#x} value {event['value']} size 8 name 'riscv-iommu-regs'"


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("missing.log", None, "No such file or directory"),
        ("empty.jsonl", "", "there is no register access and no command in it"),
        ("vectors.jsonl", '{"steps": []}', "neither a trace (.jsonl) nor a log of QEMU"),
        ("other.jsonl", "parts:", "neither a trace (.jsonl) nor a log of QEMU"),
    ],
)
def test_another_file_is_refused_in_a_line(tmp_path: Path, name: str, content: str | None, why: str) -> None:
    if content is not None:
        (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(SystemExit) as refused:
        lines(tmp_path / name)
    assert refused.value.code == f"{tmp_path / name}: {why}"


@pytest.mark.slow
def test_a_trace_and_a_log_of_the_same_are_told_alike(tmp_path: Path) -> None:
    topology, trace, log = (tmp_path / name for name in ("attach.yaml", "trace.jsonl", "kernel.log"))
    topology.write_text(ATTACH, encoding="utf-8")
    loaded = cosim.load(topology)
    with open_traces([str(trace)], loaded) as watchers:
        run(Point(loaded), watchers=watchers)
    events = [json.loads(line) for line in trace.read_text(encoding="utf-8").splitlines()]
    log.write_text("\n".join(map(as_log, events)), encoding="utf-8")
    told = lines(log)
    assert told == [line for line in lines(trace) if not line.startswith("DC")]
    assert told.count("IOTINVAL.VMA av=0x1 pscid=0x1 pscv=0x1 addr") == 6
    assert told.count("IOFENCE.C pr=0x1 pw=0x1") == 4
